"""The worker pool on a Ray cluster: the same tasks, results and promises as `resources.worker_pool`, on as many machines as the cluster has.

Belongs here: actors, their deaths and overruns. Does not: what a task computes, or which cluster there is: Ray takes that from `RAY_ADDRESS`, and without
it starts one on this machine. Workers read the same output folder, so it lies on a disk that all of them see.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from resources.process_limits import THREAD_VARIABLES, single_threaded
from resources.worker_pool import MAX_STARTUP_CRASHES, Item, TaskResult, Value, WorkerError


class RayWorker:
    """One actor: prepared once, then one task at a time, held to one thread. What a task raises comes back as text."""

    def __init__(self) -> None:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        self._state: Any = None

    def prepare(self, prepare: Callable[..., Any], arguments: tuple[Any, ...]) -> str | None:
        """None once prepared, else the error."""
        try:
            self._state = prepare(*arguments)
        except Exception as error:  # noqa: BLE001 - process boundary: told to the driver, which raises
            return f"{type(error).__name__}: {error}"
        return None

    def perform(self, task: Callable[[Any, Any], Any], item: Any) -> tuple[Any, str | None]:
        """The task's value, or its error."""
        try:
            with single_threaded():
                return task(self._state, item), None
        except Exception as error:  # noqa: BLE001 - process boundary: becomes the item's error
            return None, f"{type(error).__name__}: {error}"


def run_tasks_on_ray(
    prepare: Callable[..., Any], prepare_args: tuple[Any, ...], task: Callable[[Any, Item], Value], items: Iterable[Item], workers: int, limit_seconds: float
) -> Iterator[TaskResult[Item, Value]]:
    """As `resources.worker_pool.run_tasks`, with actors of one CPU each in place of processes; `workers` is how many there are at most."""
    queue = deque(items)
    if not queue:
        return
    with _cluster():
        pool = _ActorPool(prepare, prepare_args, task, limit_seconds)
        try:
            for _ in range(min(workers, len(queue))):
                pool.start()
            while queue or pool.busy:
                pool.assign(queue)
                yield from pool.collect(replace=bool(queue))
        finally:
            pool.close()


@contextmanager
def _cluster() -> Iterator[None]:
    """Connected to the cluster that `RAY_ADDRESS` names, or to one of this process's own; one that was connected before stays so."""
    import ray

    connected = ray.is_initialized()
    if not connected:
        ray.init(address=os.environ.get("RAY_ADDRESS") or "local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        if not connected:
            ray.shutdown()


class _ActorPool:
    """Actors, each preparing, idle, or at work on one item; `_pending` holds what each will answer with."""

    def __init__(self, prepare: Callable[..., Any], prepare_args: tuple[Any, ...], task: Callable[[Any, Any], Any], limit_seconds: float) -> None:
        import ray

        self._ray: Any = ray
        self._prepare, self._task = (prepare, prepare_args), task
        self._limit_seconds = limit_seconds
        self._pending: dict[Any, tuple[Any, Any, float]] = {}  # answer to come -> actor, the item in a list of one (none while it prepares), deadline
        self._idle: list[Any] = []
        self._startup_crashes = 0

    @property
    def busy(self) -> bool:
        return any(held for _, held, _ in self._pending.values())

    def start(self) -> None:
        actor = self._ray.remote(num_cpus=1)(RayWorker).remote()
        self._pending[actor.prepare.remote(*self._prepare)] = (actor, [], float("inf"))

    def assign(self, queue: deque[Any]) -> None:
        while queue and self._idle:
            actor, item = self._idle.pop(), queue.popleft()
            self._pending[actor.perform.remote(self._task, item)] = (actor, [item], time.monotonic() + self._limit_seconds)

    def collect(self, replace: bool) -> Iterator[TaskResult[Any, Any]]:
        """Wait for the next answer, death or overrun, and turn it into results; replace actors that died while there is work."""
        nearest = min((deadline for _, _, deadline in self._pending.values()), default=float("inf"))
        timeout = None if nearest == float("inf") else max(0.0, nearest - time.monotonic())
        done, waiting = self._ray.wait(list(self._pending), num_returns=1, timeout=timeout)
        for answer in done:
            yield from self._settle(answer, replace)
        for answer in waiting:
            actor, held, deadline = self._pending[answer]
            if time.monotonic() >= deadline:
                del self._pending[answer]
                self._ray.kill(actor)
                yield self._crashed(held[0], f"stopped after {self._limit_seconds:g} seconds", replace)

    def close(self) -> None:
        for actor in [*self._idle, *(actor for actor, _, _ in self._pending.values())]:
            self._ray.kill(actor)

    def _settle(self, answer: Any, replace: bool) -> Iterator[TaskResult[Any, Any]]:
        actor, held, _ = self._pending.pop(answer)
        try:
            content = self._ray.get(answer)
        except self._ray.exceptions.RayActorError as error:
            if held:
                yield self._crashed(held[0], f"worker died: {str(error).splitlines()[0]}", replace)
            else:
                self._count_startup_crash(error)
            return
        except self._ray.exceptions.RayError as error:  # what was sent could not be read there, for instance code that the machine does not have
            raise WorkerError(f"a worker could not read what it was sent; install the same code on every machine of the cluster: {error}") from None
        if held:
            value, fault = content
            yield TaskResult(held[0], value) if fault is None else TaskResult(held[0], None, fault)
        elif content is not None:
            raise WorkerError(f"a worker could not be prepared: {content}")
        else:
            self._startup_crashes = 0
        self._idle.append(actor)

    def _crashed(self, item: Any, error: str, replace: bool) -> TaskResult[Any, Any]:
        if replace:
            self.start()
        return TaskResult(item, None, error, crashed=True)

    def _count_startup_crash(self, error: Exception) -> None:
        self._startup_crashes += 1
        if self._startup_crashes >= MAX_STARTUP_CRASHES:
            raise WorkerError(f"{self._startup_crashes} workers in a row died before they were ready, the last with {str(error).splitlines()[0]}")
        self.start()
