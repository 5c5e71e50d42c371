"""One command at a time writes under an output folder, and what a killed one left there is cleared away.

Belongs here: the lock on an output folder, and telling half-written leftovers. Does not: writing (`resources.files`), or runs (`resources.instance`).

The lock is the kernel's (flock), so that it ends with the process that holds it, however that ends. The command holds it alone; the steps of runs that
the UI started hold it together, since Dagster keeps those apart. So runs of two plans never mix in one folder.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from resources.files import TEMPORARY_PREFIXES

LOCK_FILE = ".lock"
COMMAND_TAG = "switchyard/command"  # on a run: id of the process of the command that executes it, and holds the folder for all of its runs
_MAX_HOLDER_CHARACTERS = 500


class OutputError(RuntimeError):
    """An output folder that cannot be written now; the message says why, and what to do."""


@contextmanager
def output_locked(output: Path, command: str) -> Iterator[None]:
    """Hold an output folder alone until the block ends, cleared of what killed writers left; the folder is made where there is none.

    Raises
    ------
    OutputError
        At once when another process writes there (waiting would hide why nothing happens), or when the folder cannot be written.
    """
    with _lock_file(output) as file:
        _take(file, fcntl.LOCK_EX, output)
        file.seek(0)
        file.truncate()
        file.write(json.dumps({"command": command, "pid": os.getpid()}) + "\n")
        file.flush()
        clear_leftovers(output)
        yield


@contextmanager
def output_shared(output: Path) -> Iterator[None]:
    """Hold an output folder together with other steps of runs, against a command that would hold it alone; errors as `output_locked`."""
    with _lock_file(output) as file:
        _take(file, fcntl.LOCK_SH, output)
        yield


def clear_leftovers(output: Path) -> tuple[str, ...]:
    """Delete files and folders under the temporary names of writers that were killed; returns their paths. Call it under the lock."""
    cleared = []
    for root, folders, files in os.walk(output):
        for name in [*folders, *files]:
            if name.startswith(TEMPORARY_PREFIXES):
                path = Path(root, name)
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
                cleared.append(str(path))
        folders[:] = [name for name in folders if not name.startswith(".")]
    return tuple(cleared)


@contextmanager
def _lock_file(output: Path) -> Iterator[IO[str]]:
    try:
        output.mkdir(parents=True, exist_ok=True)
        # Not truncated on opening: it may tell who holds the lock.
        file = os.fdopen(os.open(output / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise OutputError(f"output folder {output} cannot be written: {error.strerror}; name another with --output-dir, or mend its permissions") from None
    with file:
        yield file


def _take(file: IO[str], kind: int, output: Path) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(f"output folder {output} is in use by {_holder(file)}; wait until it is done, or name another with --output-dir") from None
    except OSError as error:
        raise OutputError(f"output folder {output} cannot be locked: {error.strerror}; name one on a file system with locks (--output-dir)") from None


def _holder(file: IO[str]) -> str:
    """Who took the lock alone last; a run of the UI leaves no name."""
    try:
        told = json.loads(file.read(_MAX_HOLDER_CHARACTERS))
        pid = int(told["pid"])
        os.kill(pid, 0)
    except (ValueError, KeyError, TypeError, OSError):
        return "another run"
    return f"`switchyard {told['command']}` (process {pid})"
