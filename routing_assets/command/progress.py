"""Progress on stderr: a line that renews itself on a terminal, a plain line a stage otherwise.

Belongs here: turning run events into text. Does not: anything that a run decides. Steps redirect the process's streams while they run, so the
terminal is held by a descriptor of its own; and a step says nothing for minutes at times, so a thread keeps its clock going.
"""

import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

from routing_assets.command.terminal import BAD, GOOD, coloured, has_colour, is_terminal

_DONE_OF_TOTAL = re.compile(r"^(?:\S+ )?(\d+)/(\d+): ")
NAME_WIDTH = 36
TICK_SECONDS = 1.0


@dataclass
class _Step:
    """The step at work: its name, its place among the run's, when it began, how much of it is done where it says so, and when it began to."""

    name: str
    place: int
    began: float
    done: int = 0
    total: int = 0
    counting: float = 0.0


@dataclass
class Progress:
    """Listens to a run's events; `seconds` collects wall time by step.

    `expected` holds the seconds that each step took when it last succeeded here, for a step that does not count what it does. `stream` is stderr where
    it is not given.
    """

    expected: Mapping[str, float] = field(default_factory=dict)
    stream: TextIO | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    _terminal: bool = False
    _colour: bool = False
    _n_steps: int = 0
    _n_begun: int = 0
    _step: _Step | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        given = self.stream or sys.stderr
        self._terminal, self._colour = is_terminal(given), has_colour(given)
        self.stream = os.fdopen(os.dup(given.fileno()), "w", encoding="utf-8", errors="backslashreplace") if _has_descriptor(given) else given
        if self._terminal:
            threading.Thread(target=self._tick, name="progress", daemon=True).start()

    def __call__(self, kind: str, step: str, message: str) -> None:
        with self._lock:
            if kind == "STEPS":
                self._n_steps, self._n_begun = int(message), 0
            elif kind == "STEP_START":
                self._n_begun += 1
                self._step = _Step(step, self._n_begun, time.monotonic())
                self._renew()
            elif kind in ("STEP_SUCCESS", "STEP_FAILURE") and self._step is not None:
                self._finish(self._step, kind == "STEP_SUCCESS")
            elif kind == "LOG" and self._step is not None and (count := _DONE_OF_TOTAL.search(message)):
                # The first report sets the clock of the counting, since what comes before it is of another kind.
                self._step.counting = self._step.counting if self._step.total else time.monotonic() - TICK_SECONDS
                self._step.done, self._step.total = int(count[1]), int(count[2])
                self._renew()

    def line(self, text: str) -> None:
        """One whole line."""
        with self._lock:
            self._write(f"\r\x1b[2K{text}\n" if self._terminal else f"{text}\n")

    def _finish(self, step: _Step, succeeded: bool) -> None:
        taken = time.monotonic() - step.began
        self.seconds[step.name] = self.seconds.get(step.name, 0.0) + taken
        self._step = None
        word = "done" if succeeded else "FAILED"
        word = coloured(word, GOOD if succeeded else BAD) if self._colour else word
        self.line(f"{self._named(step):<{NAME_WIDTH + 8}} {word} in {taken:6.1f} s")

    def _named(self, step: _Step) -> str:
        place = f"[{step.place:>{len(str(self._n_steps))}}/{self._n_steps}] " if self._n_steps else ""
        return f"{place}{step.name}"

    def _renew(self) -> None:
        """Write the line of the step at work anew, cut to the terminal, since a wrapped line cannot be renewed."""
        if self._terminal and self._step is not None:
            self._write(f"\r\x1b[2K{self._at_work(self._step)[: self._columns() - 1]}")

    def _at_work(self, step: _Step) -> str:
        elapsed = time.monotonic() - step.began
        parts = [f"{step.done}/{step.total}"] if step.total else []
        parts.append(f"{_clock(elapsed)} elapsed")
        if step.done:
            parts.append(f"about {_clock((time.monotonic() - step.counting) / step.done * (step.total - step.done))} left")
        elif step.name in self.expected:
            parts.append(f"about {_clock(max(self.expected[step.name] - elapsed, 0.0))} left, as last time")
        return f"{self._named(step)}  {', '.join(parts)}"

    def _columns(self) -> int:
        assert self.stream is not None
        try:
            return max(os.get_terminal_size(self.stream.fileno()).columns, 20)
        except OSError:
            return 80

    def _tick(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            with self._lock:
                self._renew()

    def _write(self, text: str) -> None:
        assert self.stream is not None
        self.stream.write(text)
        self.stream.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _has_descriptor(stream: TextIO) -> bool:
    try:
        stream.fileno()
    except (OSError, ValueError):
        return False
    return True
