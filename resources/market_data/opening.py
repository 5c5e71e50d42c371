"""Reaching a file of market data without being led astray: not out of its folder, not into a pipe or a device.

Belongs here: the rule on links, and opening. Does not: what the bytes mean (`readers`), or whether they are whole (`digest`).
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from resources.market_data.records import ProblemCode, UnusableFileError, printable


def inside(path: Path, root: Path) -> Path:
    """The real path of a file.

    Parameters
    ----------
    root : real path of the folder that no link may lead out of.

    Raises
    ------
    UnusableFileError
        A link that leads nowhere, or out of `root`.
    """
    try:
        resolved = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise UnusableFileError(ProblemCode.UNREADABLE, "is a link that leads nowhere; mend or remove it") from None
    if not resolved.is_relative_to(root):
        message = f"is a link to {printable(str(resolved))}, outside {printable(str(root))}; copy the file into the folder"
        raise UnusableFileError(ProblemCode.OUTSIDE_FOLDER, message)
    return resolved


def open_regular(path: Path) -> BinaryIO:
    """A file opened for reading, at once: whoever opens a pipe as usual waits for somebody to write into it.

    Raises
    ------
    UnusableFileError
        A folder, a pipe or a device.
    OSError
        It is not there, or may not be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise UnusableFileError(ProblemCode.NOT_A_FILE, "is a folder or a device, not a file; write one file, or symbol=<SYMBOL>/ folders")
