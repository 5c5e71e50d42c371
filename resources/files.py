"""Writing so that no reader ever sees half a file, and file names that data cannot abuse."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

MAX_NAME_BYTES = 180


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


def decode_name(encoded: str) -> str:
    """The text that `encode_name` was given, for names it did not shorten."""
    return "" if encoded == "%" else unquote(encoded)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file under a temporary name beside its place and rename it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
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
def folder_written_atomically(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `path` when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=".writing-"))
    try:
        yield temporary
        os.chmod(temporary, 0o755)  # noqa: S103 - as readable as any folder a user makes
        if path.exists():
            retired = Path(tempfile.mkdtemp(dir=path.parent, prefix=".retired-"))
            os.replace(path, retired / "old")
            os.replace(temporary, path)
            shutil.rmtree(retired, ignore_errors=True)
        else:
            os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
