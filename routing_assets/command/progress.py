"""Progress on stderr: a line that renews itself on a terminal, a plain line a stage otherwise.

Belongs here: turning run events into text. Does not: anything that a run decides. Steps redirect the process's streams while they run, so the
terminal is held by a descriptor of its own.
"""

import os
import re
import sys
import time
from dataclasses import dataclass, field
from typing import TextIO

_DONE_OF_TOTAL = re.compile(r"(\d+)/(\d+): ")


@dataclass
class Progress:
    """Listens to a run's events; `seconds` collects wall time by step."""

    quiet: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    _started: dict[str, float] = field(default_factory=dict)
    _terminal: bool = False
    _stream: TextIO | None = None

    def __post_init__(self) -> None:
        if not self.quiet:
            self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
            self._stream = (
                os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="backslashreplace") if _has_descriptor(sys.stderr) else sys.stderr
            )

    def __call__(self, kind: str, step: str, message: str) -> None:
        if kind == "STEP_START":
            self._started[step] = time.monotonic()
            self._renew(f"{step} ...")
        elif kind in ("STEP_SUCCESS", "STEP_FAILURE"):
            taken = time.monotonic() - self._started.pop(step, time.monotonic())
            self.seconds[step] = self.seconds.get(step, 0.0) + taken
            self.line(f"{step:<34} {'done' if kind == 'STEP_SUCCESS' else 'FAILED'} in {taken:6.1f} s")
        elif kind == "LOG" and (count := _DONE_OF_TOTAL.search(message)):
            self._renew(self._counted(step, int(count[1]), int(count[2])))

    def line(self, text: str) -> None:
        """One whole line."""
        if self._stream is not None:
            self._stream.write(f"\r\x1b[2K{text}\n" if self._terminal else f"{text}\n")
            self._stream.flush()

    def _counted(self, step: str, done: int, total: int) -> str:
        elapsed = time.monotonic() - self._started.get(step, time.monotonic())
        left = elapsed / done * (total - done) if done else 0.0
        return f"{step} {done}/{total}, {elapsed:.0f} s, about {left:.0f} s left"

    def _renew(self, text: str) -> None:
        if self._stream is not None and self._terminal:
            self._stream.write(f"\r\x1b[2K{text}")
            self._stream.flush()


def _has_descriptor(stream: TextIO) -> bool:
    try:
        stream.fileno()
    except (OSError, ValueError):
        return False
    return True
