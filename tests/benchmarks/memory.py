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

SAMPLE_SECONDS = 0.2
# What planning imports, without any data: the interpreter's own share of every figure. A worker imports the command and what a fit needs.
IMPORTS = "import routing_assets.definitions, routing_assets.cli, lightgbm, sklearn, talib, scipy.stats, great_expectations, pyarrow.parquet"
WORKER_IMPORTS = "import routing_assets.cli, routing_assets.evidence.gbm_screen, lightgbm"


@dataclass
class MemoryPeak:
    """The largest sum over the tree. `pss_bytes` counts every resident page once; `private_bytes` leaves out pages of files, which the system may drop;
    `by_process` are the processes' shares of the largest sum, the command first, then whatever it started."""

    pss_bytes: int = 0
    private_bytes: int = 0
    by_process: tuple[int, ...] = ()
    at_seconds: float = 0.0
    samples: list[tuple[float, int, int]] = field(default_factory=list)


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
def memory_watched(pid: int) -> Iterator[MemoryPeak]:
    """Sample a process tree in a thread while the block runs."""
    peak, stop, started = MemoryPeak(), threading.Event(), time.monotonic()

    def watch() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            sizes = tree_bytes(pid)
            total, anonymous = sum(one[0] for one in sizes), sum(one[1] for one in sizes)
            at = time.monotonic() - started
            peak.samples.append((at, total, anonymous))
            peak.private_bytes = max(peak.private_bytes, anonymous)
            if total > peak.pss_bytes:
                peak.pss_bytes, peak.at_seconds, peak.by_process = total, at, tuple(one[0] for one in sizes)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
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


def run_watched(command: Sequence[str]) -> tuple[subprocess.CompletedProcess[str], MemoryPeak, float]:
    """Run a command to its end; its output, the memory of its tree, and the seconds it took."""
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process, memory_watched(process.pid) as peak:
        output, errors = process.communicate()
    return subprocess.CompletedProcess(list(command), process.returncode, output, errors), peak, time.monotonic() - started


def _rollup(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    return {name.rstrip(":"): int(value) * 1024 for name, value in (line.split()[:2] for line in lines)}
