"""A process pool that survives its workers.

Belongs here: worker processes, their pipes and signals. Does not: the bounds of a piece of work (`resources.process_limits`), or what a task computes.

The standard library's executor breaks as a whole when one worker dies and cannot stop one task. Here each worker has a pipe of its own, so a
crash or an overrun is laid at the door of the one task that caused it, and the other workers never notice.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from resources.process_limits import THREAD_VARIABLES, release_unused_memory, single_threaded

Item = TypeVar("Item")
Value = TypeVar("Value")

MAX_STARTUP_CRASHES = 3


class WorkerError(RuntimeError):
    """A worker that could not be started or prepared; nothing that it was meant to do was done."""


def default_workers() -> int:
    """One worker a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class TaskResult(Generic[Item, Value]):
    """What became of one item: its value, or in words why there is none. `crashed` means its worker died or had to be killed."""

    item: Item
    value: Value | None
    error: str | None = None
    crashed: bool = False


def run_tasks(
    prepare: Callable[..., Any], prepare_args: tuple[Any, ...], task: Callable[[Any, Item], Value], items: Iterable[Item], workers: int, limit_seconds: float
) -> Iterator[TaskResult[Item, Value]]:
    """Run `task(state, item)` for every item in fresh processes, yielding results as they finish.

    Parameters
    ----------
    prepare : called once in each worker with `prepare_args`; what it returns is the `state` of that worker's tasks.
    task : a function of a module, as `prepare` is; an exception it raises becomes the item's error.
    items : started in this order.
    workers : processes, each held to one thread.
    limit_seconds : a task that runs longer has its worker killed, and a new one takes its place.

    Raises
    ------
    WorkerError
        When `prepare` fails, or `MAX_STARTUP_CRASHES` workers in a row die before they are ready.
    """
    queue = deque(items)
    if not queue:
        return
    release_unused_memory()  # this process only waits from here on, beside workers that need it
    pool = _Pool(prepare, prepare_args, task, limit_seconds)
    try:
        for _ in range(min(workers, len(queue))):
            pool.start_worker()
        while queue or pool.busy:
            pool.assign(queue)
            yield from pool.collect(replace=bool(queue))
    finally:
        pool.close()


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    held: deque[Any] = field(default_factory=deque)  # the one item in work
    deadline: float = float("inf")


class _Pool:
    def __init__(self, prepare: Callable[..., Any], prepare_args: tuple[Any, ...], task: Callable[[Any, Any], Any], limit_seconds: float) -> None:
        self._job = (prepare, prepare_args, task)
        self._limit_seconds = limit_seconds
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._startup_crashes = 0

    @property
    def busy(self) -> bool:
        return any(worker.held for worker in self._workers)

    def start_worker(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, *self._job), daemon=True)
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))

    def assign(self, queue: deque[Any]) -> None:
        for worker in self._workers:
            if worker.ready and not worker.held and queue:
                item = queue.popleft()
                worker.held.append(item)
                worker.deadline = time.monotonic() + self._limit_seconds
                # A worker that died while idle is found by `collect`, which then reports this item as crashed.
                with suppress(BrokenPipeError, ConnectionResetError):
                    worker.pipe.send(item)

    def collect(self, replace: bool) -> Iterator[TaskResult[Any, Any]]:
        """Wait for the next event and turn it into results; replace dead workers while there is work for them."""
        nearest = min((worker.deadline for worker in self._workers), default=float("inf"))
        timeout = None if nearest == float("inf") else max(0.0, nearest - time.monotonic())
        heard = set(wait([worker.pipe for worker in self._workers], timeout))
        for worker in list(self._workers):
            if worker.pipe in heard:
                yield from self._read(worker, replace)
            elif worker.held and time.monotonic() >= worker.deadline:
                worker.process.kill()
                yield self._bury(worker, f"stopped after {self._limit_seconds:g} seconds", replace)

    def close(self) -> None:
        for worker in self._workers:
            worker.process.kill() if worker.held else worker.process.terminate()
            worker.pipe.close()  # ends a worker too that was not listening to signals yet
        for worker in self._workers:
            worker.process.join()
        self._workers.clear()

    def _read(self, worker: _Worker, replace: bool) -> Iterator[TaskResult[Any, Any]]:
        try:
            kind, content = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            told = None
        except Exception as error:  # noqa: BLE001 - process boundary: what comes through the pipe may raise anything when it is put together again
            told = f"worker process gave an answer that cannot be read: {type(error).__name__}: {error}"
            worker.process.kill()
        else:
            yield from self._heard(worker, kind, content)
            return
        worker.process.join()
        if worker.held:
            yield self._bury(worker, told or f"worker process died with exit code {worker.process.exitcode}", replace)
        else:
            if not worker.ready:
                self._count_startup_crash(worker)
            self._remove(worker, replace)

    def _heard(self, worker: _Worker, kind: str, content: Any) -> Iterator[TaskResult[Any, Any]]:
        if kind == "unprepared":
            raise WorkerError(f"a worker could not be prepared: {content}")
        if kind == "ready":
            worker.ready, self._startup_crashes = True, 0
            return
        item, worker.deadline = worker.held.popleft(), float("inf")
        yield TaskResult(item, content) if kind == "value" else TaskResult(item, None, content)

    def _bury(self, worker: _Worker, error: str, replace: bool) -> TaskResult[Any, Any]:
        worker.process.join()
        self._remove(worker, replace)
        return TaskResult(worker.held.popleft(), None, error, crashed=True)

    def _remove(self, worker: _Worker, replace: bool) -> None:
        worker.pipe.close()
        self._workers.remove(worker)
        if replace:
            self.start_worker()

    def _count_startup_crash(self, worker: _Worker) -> None:
        self._startup_crashes += 1
        if self._startup_crashes >= MAX_STARTUP_CRASHES:
            raise WorkerError(f"{self._startup_crashes} workers in a row died before they were ready, the last with exit code {worker.process.exitcode}")


def _serve(pipe: Connection, prepare: Callable[..., Any], prepare_args: tuple[Any, ...], task: Callable[[Any, Any], Any]) -> None:
    """A worker's whole life. Ends when its parent closes the pipe, or is gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    # A shell's background job is started deaf to interrupts, Dagster then makes its process deaf to SIGTERM as well, and children inherit that.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # for libraries not loaded yet; `single_threaded` for those that are
    with single_threaded():
        try:
            state = prepare(*prepare_args)
        except Exception as error:  # noqa: BLE001 - process boundary: told to the parent, which raises
            pipe.send(("unprepared", f"{type(error).__name__}: {error}"))
            return
        pipe.send(("ready", None))
        while True:
            try:
                item = pipe.recv()
            except EOFError:
                return
            try:
                pipe.send(("value", task(state, item)))
            except Exception as error:  # noqa: BLE001 - process boundary: becomes the item's error, an answer that cannot be sent too
                pipe.send(("error", f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    """End this process in the middle of its task when its parent is gone: nobody waits for the result, and the next run may be at the same work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
