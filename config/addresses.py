"""Addresses that may carry a password, and keeping it out of sight.

Belongs here: telling user-info in an address, and leaving it out of what is shown. Does not: reaching an address (`resources.remote_store`).
"""

import re

# Up to the last @ of the host's part; and where that part has no port after its colon, a password with a slash in it, up to the last @ of all.
_USER_INFO = re.compile(r"([\w+.-]*)(:?//)(?:([^/\s]*)@|([^/@\s]*:(?!\d*(?:/|$))\S*)@)")
_CONTAINER_BEFORE_HOST = ("abfs", "abfss")


def has_user_info(address: str) -> bool:
    """Whether an address names a user, or a user and a password; a container before the account of an Azure store is neither."""
    return any(found[1].lower() not in _CONTAINER_BEFORE_HOST or ":" in (found[3] or found[4]) for found in _USER_INFO.finditer(address))


def without_user_info(text: str) -> str:
    """The text with what stands before the host left out of every address in it."""
    return _USER_INFO.sub(r"\1\2", text)
