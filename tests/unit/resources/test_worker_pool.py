"""The pool hands every item out once, and lays crashes and overruns at the right door."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resources.worker_pool import WorkerError, run_tasks


def prepare(base: int) -> int:
    return base


def prepare_badly(base: int) -> int:
    raise ValueError(f"no good base {base}")


def prepare_dying(base: int) -> int:
    os._exit(3)


class Poison:
    """Bursts when the other side of a pipe puts it together again."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return int, ("no number",)


def poisoned(base: int, item: int) -> object:
    return {13: Poison(), 66: lambda: base}.get(item, base + item)


def task(base: int, item: int) -> int:
    if item == 13:
        raise ValueError("unlucky")
    if item == 66:
        os._exit(5)
    if item == 99:
        time.sleep(60)
    return base + item


def threads(base: int, item: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def test_every_item_comes_back_once_and_errors_name_their_own_item() -> None:
    results = list(run_tasks(prepare, (100,), task, [1, 2, 13, 3], 2, 30.0))
    assert sorted(result.value for result in results if result.value is not None) == [101, 102, 103]
    (failed,) = [result for result in results if result.value is None]
    assert (failed.item, failed.crashed, failed.error) == (13, False, "ValueError: unlucky")


def test_a_crash_and_an_overrun_cost_only_the_items_that_caused_them() -> None:
    results = {result.item: result for result in run_tasks(prepare, (0,), task, [99, 66, 1, 2, 3], 2, 1.5)}
    assert {item for item, result in results.items() if result.value is not None} == {1, 2, 3}
    assert results[66].crashed
    assert "exit code 5" in str(results[66].error)
    assert results[99].crashed
    assert results[99].error == "stopped after 1.5 seconds"


def test_workers_end_though_their_parent_is_deaf_to_signals() -> None:
    """As a command is that a script has started in the background."""
    code = """if True:
        import signal
        from resources.worker_pool import run_tasks
        from tests.unit.resources.test_worker_pool import prepare, task

        if __name__ == "__main__":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            print(sorted(result.value for result in run_tasks(prepare, (0,), task, [1, 2, 3], 2, 30.0)))
    """
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == "[1, 2, 3]"


def test_an_answer_that_cannot_be_sent_or_read_costs_only_its_own_item() -> None:
    results = {result.item: result for result in run_tasks(prepare, (0,), poisoned, [13, 66, 1, 2, 3], 2, 30.0)}
    assert {item: result.value for item, result in results.items() if result.value is not None} == {1: 1, 2: 2, 3: 3}
    assert results[13].crashed
    assert "an answer that cannot be read: ValueError" in str(results[13].error)
    assert not results[66].crashed
    assert "pickle" in str(results[66].error)


def test_workers_that_cannot_be_prepared_are_an_error_that_says_why() -> None:
    with pytest.raises(WorkerError, match="ValueError: no good base 7"):
        list(run_tasks(prepare_badly, (7,), task, [1], 1, 30.0))


def test_workers_that_die_before_they_are_ready_are_given_up() -> None:
    with pytest.raises(WorkerError, match="3 workers in a row died"):
        list(run_tasks(prepare_dying, (7,), task, [1], 1, 30.0))


def prepare_once_in_three(folder: Path) -> Path:
    starts = folder / "starts"
    with starts.open("a", encoding="utf-8") as told:
        told.write(".")
    if starts.stat().st_size % 3:
        os._exit(3)
    return folder


def die_once(folder: Path, item: int) -> int:
    if item == 66:
        os._exit(5)
    return item


def test_crashes_before_workers_are_ready_count_in_a_row(tmp_path: Path) -> None:
    results = {result.item: result for result in run_tasks(prepare_once_in_three, (tmp_path,), die_once, [66, 1, 2], 1, 30.0)}
    assert results[66].crashed
    assert (results[1].value, results[2].value) == (1, 2)


def prepare_folder(folder: Path) -> Path:
    return folder


def each_in_a_worker_of_its_own(folder: Path, item: int) -> int:
    """The worker's process, once all four are at work; item 0 goes on until told to end."""
    (folder / f"item_{item}").touch()
    wait_until(lambda: len(list(folder.glob("item_*"))) == 4)
    if item == 0:
        wait_until((folder / "end").exists)
        time.sleep(1.0)  # the parent hears of the deaths first
    return os.getpid()


def test_workers_that_die_while_they_have_nothing_to_do_cost_nothing(tmp_path: Path) -> None:
    results = run_tasks(prepare_folder, (tmp_path,), each_in_a_worker_of_its_own, [0, 1, 2, 3], 4, 60.0)
    for _ in range(3):
        pid = next(results).value
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    (tmp_path / "end").touch()
    assert [(result.item, result.error) for result in results] == [(0, None)]


def test_a_worker_has_one_thread_and_no_items_start_no_worker() -> None:
    assert [result.value for result in run_tasks(prepare, (0,), threads, [1], 1, 30.0)] == ["1"]
    assert list(run_tasks(prepare_badly, (0,), threads, [], 1, 30.0)) == []


ABANDONED = """
import os, sys, time
from pathlib import Path
from resources.worker_pool import run_tasks

def prepare(folder):
    return Path(folder)

def task(folder, item):
    (folder / "worker.txt").write_text(str(os.getpid()))
    time.sleep(60)

if __name__ == "__main__":
    list(run_tasks(prepare, (sys.argv[1],), task, [1], 1, 120.0))
"""


def test_a_worker_whose_parent_is_killed_stops_in_the_middle_of_its_task(tmp_path: Path) -> None:
    script = tmp_path / "abandoned.py"
    script.write_text(ABANDONED)
    parent = subprocess.Popen([sys.executable, script, tmp_path], env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])})
    told = tmp_path / "worker.txt"
    wait_until(lambda: told.exists() and told.read_text() != "")
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_running(int(told.read_text())))


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process does anything still; one that nobody has reaped does not."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    return told != "" and not told.startswith("Z")
