"""One command at a time writes under an output folder, and what a killed one left there is cleared away.

Belongs here: the lock on an output folder, and telling half-written leftovers. Does not: writing (`resources.files`), or runs (`resources.instance`).

The locks are the kernel's (flock), so that they end with the process that holds them, however that ends. The command holds the folder alone. Runs that
the UI started hold it together, and of those that write the tables and plans of the tree one holds the pen: the others wait for it. So runs of two plans
never mix in one folder.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from resources.files import TEMPORARY_PREFIXES

LOCK_FILE = ".lock"
PEN_FILE = ".pen"
JOBS_FILE = ".jobs"
POLL_SECONDS = 0.2
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
        _take(file, output)
        file.seek(0)
        file.truncate()
        file.write(json.dumps({"command": command, "pid": os.getpid()}) + "\n")
        file.flush()
        clear_leftovers(output)
        yield


@contextmanager
def output_shared(output: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold an output folder together with other runs, against a command that would hold it alone; waits for one that does.

    Parameters
    ----------
    tell : hears once, in words, what is waited for.
    """
    with _lock_file(output) as file:
        _wait(file, fcntl.LOCK_SH, lambda: tell(f"waiting for {_holder(file)}, which works in {output}"))
        yield


@contextmanager
def pen_held(output: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other run writes the tables and plans of an output folder, and keep others from it until the block ends; `tell` as above."""
    with _lock_file(output, PEN_FILE) as file:
        _wait(file, fcntl.LOCK_EX, lambda: tell(f"waiting for another run, which writes the tables and plans of {output}"))
        yield


@contextmanager
def held_for_run(output: Path, run_tags: Mapping[str, str], tell: Callable[[str], None]) -> Iterator[bool]:
    """Hold an output folder for a run; yields False in a process of the command, which holds it alone already.

    A run of the command that is executed again from the UI keeps its tags, so the process is asked too.
    """
    if run_tags.get(COMMAND_TAG) == str(os.getpid()):
        yield False
    else:
        with output_shared(output, tell):
            yield True


@contextmanager
def jobs_held(models_root: Path, names: Sequence[str]) -> Iterator[None]:
    """Keep every other process from the same jobs until the block ends; waits while one is at work on any of them.

    One file for all jobs, of which each job locks the byte that its name hashes to; in one order, so that two processes cannot wait for each other.
    """
    models_root.mkdir(parents=True, exist_ok=True)
    with (models_root / JOBS_FILE).open("ab") as file:
        for place in sorted({int(hashlib.sha256(name.encode()).hexdigest()[:15], 16) for name in names}):
            fcntl.lockf(file, fcntl.LOCK_EX, 1, place)
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
def _lock_file(output: Path, name: str = LOCK_FILE) -> Iterator[IO[str]]:
    try:
        output.mkdir(parents=True, exist_ok=True)
        # Not truncated on opening: it may tell who holds the lock.
        file = os.fdopen(os.open(output / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise OutputError(f"output folder {output} cannot be written: {error.strerror}; name another with --output-dir, or mend its permissions") from None
    with file:
        yield file


def _wait(file: IO[str], kind: int, tell: Callable[[], None]) -> None:
    told = False
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                tell()
                told = True
            time.sleep(POLL_SECONDS)
        else:
            return


def _take(file: IO[str], output: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(f"output folder {output} is in use by {_holder(file)}; wait until it is done, or name another with --output-dir") from None
    except OSError as error:
        raise OutputError(f"output folder {output} cannot be locked: {error.strerror}; name one on a file system with locks (--output-dir)") from None


def _holder(file: IO[str]) -> str:
    """Who took the lock alone last; a run of the UI leaves no name."""
    try:
        file.seek(0)
        told = json.loads(file.read(_MAX_HOLDER_CHARACTERS))
        pid = int(told["pid"])
        os.kill(pid, 0)
    except (ValueError, KeyError, TypeError, OSError):
        return "another run"
    return f"`switchyard {told['command']}` (process {pid})"
