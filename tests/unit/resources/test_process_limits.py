"""The bounds a piece of work runs under: each holds, each lets what is within it pass, and freed memory goes back to the system."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from resources.process_limits import TimeLimitError, ended_with_process, measured, release_unused_memory, time_limit


def private_bytes() -> int:
    """Resident bytes of this process that no file backs."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:])
    return int(fields["Anonymous"].split()[0]) * 1024


def test_a_block_past_its_time_limit_is_stopped_and_one_within_it_is_not() -> None:
    with measured() as watch, pytest.raises(TimeLimitError, match=r"0\.05 seconds"), time_limit(0.05):
        time.sleep(5)
    assert watch.seconds < 1.0
    with time_limit(0.05):
        pass
    time.sleep(0.1)


class SlowToGo:
    """Takes longer to finalize than the limit of the block it is in, where Python drops what a signal raises."""

    def __del__(self) -> None:
        time.sleep(0.2)


def finalize_and_go_on() -> None:
    SlowToGo()
    time.sleep(5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_limit_that_is_raised_into_nothing_is_raised_again() -> None:
    with measured() as watch, pytest.raises(TimeLimitError), time_limit(0.1):
        finalize_and_go_on()
    assert watch.seconds < 2.0


def test_no_alarm_is_left_behind_however_late_a_block_ends() -> None:
    before = signal.getsignal(signal.SIGALRM)
    for late in range(40):
        with contextlib.suppress(TimeLimitError), time_limit(0.001):
            time.sleep(0.0008 + 0.00001 * late)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


NATIVE_CALL = """
import ctypes, sys
from resources.process_limits import ended_with_process

with ended_with_process(60.0, "that of a block around it"), ended_with_process(0.2, "the named reason"):
    ctypes.CDLL(None).usleep(int(sys.argv[1]))
print("went on")
"""


@pytest.mark.parametrize(("microseconds", "status", "out", "err"), [(30_000_000, 1, "", "the named reason\n"), (700_000, 0, "went on\n", "")])
def test_a_native_call_that_does_not_come_back_ends_its_process_and_one_that_does_goes_on(microseconds: int, status: int, out: str, err: str) -> None:
    """The second is late, and within the grace."""
    ended = subprocess.run([sys.executable, "-c", NATIVE_CALL, str(microseconds)], capture_output=True, text=True, timeout=25, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, out, err)


def test_the_blocks_of_a_process_are_watched_by_one_thread() -> None:
    with ended_with_process(60.0, "the first"):
        threads = threading.active_count()
        for _ in range(50):
            with ended_with_process(30.0, "those within it"):
                assert threading.active_count() == threads
    with ended_with_process(0.01, "one that ends within the grace"):
        time.sleep(0.1)
    assert threading.active_count() == threads


def test_what_was_freed_is_given_back_to_the_system() -> None:
    # Pieces below the size that the allocator maps one by one, with one small piece that lives on behind each.
    pieces = [(np.ones(100_000, np.uint8), np.ones(100, np.uint8)) for _ in range(2_000)]
    kept = [small for _, small in pieces]
    held = private_bytes()
    del pieces
    release_unused_memory()
    assert len(kept) == 2_000
    if sys.platform == "linux":
        assert held - private_bytes() > 150_000_000
