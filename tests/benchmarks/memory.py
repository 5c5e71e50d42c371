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
# What planning imports, without any data: the interpreter's own share of every figure.
IMPORTS = "import routing_assets.definitions, routing_assets.cli, lightgbm, sklearn, talib, scipy.stats, great_expectations, pyarrow.parquet"


@dataclass
class MemoryPeak:
    """The largest sum over the tree. `pss_bytes` counts every resident page once; `private_bytes` leaves out pages of files, which the system may drop."""

    pss_bytes: int = 0
    private_bytes: int = 0
    at_seconds: float = 0.0
    samples: list[tuple[float, int, int]] = field(default_factory=list)


def tree_bytes(pid: int) -> tuple[int, int]:
    """Proportional set size, and its part that no file backs, summed over a process and its descendants."""
    total = anonymous = 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(OSError):
                sizes = _rollup(process.pid)
                total, anonymous = total + sizes["Pss"], anonymous + sizes["Pss_Anon"]
    return total, anonymous


@contextmanager
def memory_watched(pid: int) -> Iterator[MemoryPeak]:
    """Sample a process tree in a thread while the block runs."""
    peak, stop, started = MemoryPeak(), threading.Event(), time.monotonic()

    def watch() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            total, anonymous = tree_bytes(pid)
            at = time.monotonic() - started
            peak.samples.append((at, total, anonymous))
            peak.private_bytes = max(peak.private_bytes, anonymous)
            if total > peak.pss_bytes:
                peak.pss_bytes, peak.at_seconds = total, at

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def interpreter_bytes() -> int:
    """Proportional set size of a Python process that has imported what planning imports, and nothing else."""
    code = f"{IMPORTS}\nimport sys\nprint('ready', flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        total, _ = tree_bytes(process.pid)
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
