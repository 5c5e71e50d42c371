"""Memory of a process and all it started, pages shared between them or mapped from one file counted once.

Belongs here: sums of proportional set sizes over a process tree (Linux). Does not: what is run.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.5  # a sample walks every page table of the tree
# What planning imports, without any data: the interpreter's own share of every figure. A worker imports the command and what a fit needs.
IMPORTS = "import routing_assets.definitions, routing_assets.cli, lightgbm, sklearn, talib, scipy.stats, great_expectations, pyarrow.parquet"
WORKER_IMPORTS = "import routing_assets.cli, routing_assets.evidence.gbm_screen, lightgbm"


MEGABYTE = 1_000_000
IDLE_MEGABYTES = 40  # a process below it tracks resources for Python and does nothing else


@dataclass(frozen=True)
class Sample:
    """A process tree at one moment: each process's share of resident pages, and of those that no file backs; the command first, then what it started."""

    at_seconds: float = 0.0
    shares: tuple[int, ...] = ()
    private: tuple[int, ...] = ()

    @property
    def n_workers(self) -> int:
        return sum(1 for share in self.shares[1:] if share > MEGABYTE * IDLE_MEGABYTES)


@dataclass
class MemoryWatch:
    """A process tree over time."""

    samples: list[Sample] = field(default_factory=list)

    def peak(self, interpreter: int = 0, worker: int = 0) -> Sample:
        """The moment at which most was held beyond what idle interpreters of the command and of each worker hold."""
        return max(self.samples, key=lambda one: sum(one.shares) - interpreter - worker * one.n_workers)


def tree_bytes(pid: int) -> list[tuple[int, int]]:
    """Proportional set size, and its part that no file backs, of a process and of its descendants."""
    found = []
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(OSError):
                sizes = _rollup(process.pid)
                found.append((sizes["Pss"], sizes["Pss_Anon"]))
    return found


@contextmanager
def memory_watched(pid: int) -> Iterator[MemoryWatch]:
    """Sample a process tree in a thread while the block runs."""
    watched, stop, started = MemoryWatch(), threading.Event(), time.monotonic()

    def watch() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            sizes = tree_bytes(pid)
            watched.samples.append(Sample(time.monotonic() - started, tuple(one[0] for one in sizes), tuple(one[1] for one in sizes)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        stop.set()
        thread.join()


def interpreter_bytes(imports: str = IMPORTS) -> int:
    """Proportional set size of a Python process that has imported something, and nothing else."""
    code = f"{imports}\nimport sys\nprint('ready', flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        total = sum(one[0] for one in tree_bytes(process.pid))
        process.communicate("")
    return total


def run_watched(command: Sequence[str]) -> tuple[subprocess.CompletedProcess[str], MemoryWatch, float]:
    """Run a command to its end; its output, the memory of its tree, and the seconds it took."""
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process, memory_watched(process.pid) as watched:
        output, errors = process.communicate()
    return subprocess.CompletedProcess(list(command), process.returncode, output, errors), watched, time.monotonic() - started


def _rollup(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    return {name.rstrip(":"): int(value) * 1024 for name, value in (line.split()[:2] for line in lines)}
