"""Writing so that no reader ever sees half a file, and file names that data cannot abuse."""

import ctypes
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

MAX_NAME_BYTES = 180
# What a killed writer may leave: never read, and cleared by the next command that writes there.
WRITING_PREFIX, RETIRED_PREFIX = ".writing-", ".retired-"
TEMPORARY_PREFIXES = (WRITING_PREFIX, RETIRED_PREFIX)
_THIS_FOLDER, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def encode_name(name: str) -> str:
    """A file name for any text: one path component, reversible unless longer than `MAX_NAME_BYTES`, then unique by hash."""
    encoded = quote(name, safe="=+^@").replace("%20", " ")
    if not encoded.strip(". ") or encoded[0] in ". " or encoded[-1] in ". ":
        encoded = "".join(f"%{ord(character):02X}" if character in ". " else character for character in encoded)
    if not encoded:
        encoded = "%"
    if len(encoded) > MAX_NAME_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        encoded = f"{encoded[: MAX_NAME_BYTES - 17]}~{digest}"
    return encoded


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file under a temporary name beside its place and rename it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=WRITING_PREFIX)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty folder on the file system of `parent`, gone after the block; what is linked from it elsewhere stays."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=WRITING_PREFIX) as folder:
        yield Path(folder)


@contextmanager
def folder_written_atomically(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `path` when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=_unfinished_prefix(path)))
    try:
        yield temporary
        os.chmod(temporary, 0o755)  # noqa: S103 - as readable as any folder a user makes
        if path.exists():
            _take_place(temporary, path)
        else:
            os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def clear_unfinished(path: Path) -> None:
    """Delete what writers of the folder `path` that were killed have left beside it; nobody may be writing that folder meanwhile."""
    prefix = _unfinished_prefix(path)
    for place in path.parent.iterdir() if path.parent.is_dir() else ():
        if place.name.startswith(prefix) and "-" not in place.name.removeprefix(prefix):
            shutil.rmtree(place, ignore_errors=True)


def _unfinished_prefix(path: Path) -> str:
    """What the temporary name of a folder begins with; random letters without a hyphen follow."""
    return f"{WRITING_PREFIX}{path.name}-"


def _take_place(new: Path, old: Path) -> None:
    """Put a folder where another is, and delete that one.

    Both change places in one step where the system can (Linux), so that a reader finds one or the other and never none; elsewhere in two renames.
    """
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if exchange is not None and exchange(_THIS_FOLDER, os.fsencode(new), _THIS_FOLDER, os.fsencode(old), _EXCHANGE) == 0:
        shutil.rmtree(new, ignore_errors=True)
        return
    retired = Path(tempfile.mkdtemp(dir=old.parent, prefix=RETIRED_PREFIX))
    os.replace(old, retired / "old")
    os.replace(new, old)
    shutil.rmtree(retired, ignore_errors=True)
