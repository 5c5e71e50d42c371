"""What a piece of work may take of its process, and what it took: one thread, a time limit, a stopwatch, memory.

Belongs here: thread settings, alarms, clocks, the allocators of one process. Does not: other processes (`resources.worker_pool`).
"""

import ctypes
import gc
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import FrameType

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
GRACE_SECONDS = 2.0
"""What a block is given beyond its last limit: a process that was stopped and goes on finds all its limits passed at once."""


RAISED_AGAIN_SECONDS = 0.5
"""Until a time limit is raised once more in a block that goes on: Python drops what a signal raises inside a finalizer or a callback from C."""


class TimeLimitError(TimeoutError):
    """A piece of work that ran past its time limit and was stopped."""


@dataclass
class Stopwatch:
    """Seconds that a `measured` block took."""

    seconds: float = 0.0


@contextmanager
def measured() -> Iterator[Stopwatch]:
    """Time a block of code on the wall clock."""
    watch, started = Stopwatch(), time.perf_counter()
    try:
        yield watch
    finally:
        watch.seconds = time.perf_counter() - started


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeLimitError` inside the block once it has run for `seconds`, and again every half a second until it ends.

    Works in the main thread of a process on systems with SIGALRM, between two bytecodes: a single long call into a library is
    stopped only when it returns. Elsewhere it does nothing; `ended_with_process` still holds.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def overrun(signum: int, frame: FrameType | None) -> None:
        raise TimeLimitError(f"stopped after {seconds:g} seconds")

    def end() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)

    previous = signal.signal(signal.SIGALRM, overrun)
    signal.setitimer(signal.ITIMER_REAL, seconds, RAISED_AGAIN_SECONDS)
    try:
        try:
            yield
        finally:
            end()
    finally:
        end()  # an alarm in the very moment the block ends is raised before or inside the first one


@contextmanager
def ended_with_process(seconds: float, reason: str) -> Iterator[None]:
    """End this process with status 1, and the reason on its standard error, when the block still runs after `seconds`.

    For what no exception can stop: a call into a library that does not return. One that does not let go of the interpreter's lock
    either is not stopped by this.
    """
    watchdog = _watchdog(os.getpid())
    block = watchdog.watch(seconds, reason)
    try:
        yield
    finally:
        watchdog.forget(block)


@dataclass
class _Watched:
    """A block that runs: when its process ends for it, and whether that time has come once already."""

    deadline: float
    reason: str
    passed: bool = False


class _Watchdog:
    """The thread that ends a process, one for all the blocks of that process: to start one a block would cost more than a small fit.

    It sleeps until the first deadline that it knows, and is woken only for an earlier one, so that blocks that end in time do not switch threads.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._blocks: dict[int, _Watched] = {}
        self._sleeps_until = float("inf")
        threading.Thread(target=self._run, daemon=True).start()

    def watch(self, seconds: float, reason: str) -> int:
        block = _Watched(time.monotonic() + seconds, reason)
        with self._changed:
            self._blocks[id(block)] = block
            if block.deadline < self._sleeps_until:
                self._changed.notify()
        return id(block)

    def forget(self, block: int) -> None:
        with self._changed:
            del self._blocks[block]

    def _run(self) -> None:
        with self._changed:
            while True:
                self._end_where_due(time.monotonic())
                self._sleeps_until = min((block.deadline for block in self._blocks.values()), default=float("inf"))
                self._changed.wait(None if self._sleeps_until == float("inf") else max(0.0, self._sleeps_until - time.monotonic()))

    def _end_where_due(self, now: float) -> None:
        for block in self._blocks.values():
            if now >= block.deadline:
                if block.passed:
                    os.write(2, f"{block.reason}\n".encode())  # not through `sys.stderr`, whose lock the block may hold
                    os._exit(1)
                block.deadline, block.passed = now + GRACE_SECONDS, True


@cache
def _watchdog(pid: int) -> _Watchdog:
    """That of the process `pid`, which is this one: a fork has no thread of its parent's."""
    return _Watchdog()


def peak_memory_bytes() -> int:
    """The most memory that this process has held since it began, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Hold every BLAS and OpenMP library that is loaded to one thread inside the block, and give back what it was."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


def release_unused_memory() -> None:
    """Give the system back what this process has freed: the allocators of numpy, pandas and Arrow keep it for themselves.

    Worth its tenth of a second before a long wait or a change of stage, not in a loop.
    """
    import pyarrow

    gc.collect()
    pyarrow.default_memory_pool().release_unused()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
