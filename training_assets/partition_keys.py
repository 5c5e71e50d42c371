"""Partition keys for any target and symbol name, and which keys come and go with a plan.

Belongs here: the one place that builds and parses keys, and the pure sums under the sensors. Does not: anything that talks to an instance.

A key keeps what a person reads and escapes (percent-encoded UTF-8) what folders, the range separator `...`, the pair separator or the UI would trip over.
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

PAIR_SEPARATOR = "|"
MAX_NAME_CHARACTERS = 200
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Zl", "Zp"})
_ESCAPED = frozenset('/\\|,[]"%*?<>#&;`$')


def name_key(name: str) -> str:
    """The partition key of one target or symbol name; `key_name` gives the name back.

    Raises
    ------
    ValueError
        The name is empty, longer than 200 characters, or no text that UTF-8 can hold.
    """
    if not name:
        raise ValueError("an empty name cannot be a partition key")
    if len(name) > MAX_NAME_CHARACTERS:
        raise ValueError(f"name of {len(name)} characters > {MAX_NAME_CHARACTERS} cannot be a partition key: {name[:40]!r}...")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"name {name!a} is no valid text and cannot be a partition key") from None
    return "".join(_escape(character) if _is_escaped(name, position) else character for position, character in enumerate(name))


def key_name(key: str) -> str:
    """The name that `name_key` was given."""
    return unquote(key, errors="strict")


def pair_key(target: str, symbol: str) -> str:
    """The partition key of a (target, symbol) pair: `target|symbol`, both escaped."""
    return f"{name_key(target)}{PAIR_SEPARATOR}{name_key(symbol)}"


def parse_pair_key(key: str) -> tuple[str, str]:
    """Target and symbol of a pair's key. Raises ValueError for a key that `pair_key` did not make."""
    target, separator, symbol = key.partition(PAIR_SEPARATOR)
    if not separator or not target or not symbol or PAIR_SEPARATOR in symbol:
        raise ValueError(f"{key!r} is no pair key; expected target{PAIR_SEPARATOR}symbol")
    return key_name(target), key_name(symbol)


@dataclass(frozen=True)
class PartitionChanges:
    """What to do with a partition set: keys to add, to delete now, and to delete once no run uses them."""

    add: tuple[str, ...]
    delete: tuple[str, ...]
    deferred: tuple[str, ...]

    @property
    def any(self) -> bool:
        return bool(self.add or self.delete)


def partition_changes(wanted: Sequence[str] | None, existing: Collection[str], in_flight: Collection[str]) -> PartitionChanges:
    """Compare the keys a plan wants with those that exist.

    Parameters
    ----------
    wanted : keys of the plan in order; None means the plan could not be read, and nothing changes (a failed read is not an empty plan).
    in_flight : keys that a running or queued run uses; deleting one would kill finished work when it is written, so it waits.
    """
    if wanted is None:
        return PartitionChanges((), (), ())
    keep = set(wanted)
    have = set(existing)
    retired = [key for key in existing if key not in keep]
    busy = set(in_flight)
    return PartitionChanges(
        add=tuple(dict.fromkeys(key for key in wanted if key not in have)),
        delete=tuple(key for key in retired if key not in busy),
        deferred=tuple(key for key in retired if key in busy),
    )


def _is_escaped(name: str, position: int) -> bool:
    character = name[position]
    if character == ".":  # a second dot in a row could spell the range separator, a name of dots a folder
        return name[position - 1 : position] == "." or not name.strip(".")
    if character == " ":
        return position in (0, len(name) - 1)
    return character in _ESCAPED or character.isspace() or unicodedata.category(character) in _INVISIBLE


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
