"""What a terminal can show: width, colour, line drawing.

Belongs here: asking a stream and the environment, and colouring text that is otherwise the same. Does not: any word. Colour goes to a terminal alone, and
not where `NO_COLOR` is set or `TERM` is dumb, so a file, a pipe and a test see plain text.
"""

import os
import re
import shutil
from typing import TextIO

from rich import box

WIDTH = 130  # where the terminal does not say, and at most
NARROWEST = 40
_CODES = {"ROUTE_CROSS_SECTIONAL": 34, "ROUTE_SYMBOL_SPECIFIC": 32, "ROUTE_BOTH": 35, "ROUTE_EXPERIMENTAL_ONLY": 33, "ROUTE_BLOCKED": 2}
GOOD, BAD = 32, 31
_GATE = re.compile(r"^(    )(ok|NO)(?= )", re.MULTILINE)
_ROUTE = re.compile("|".join(sorted(_CODES, key=len, reverse=True)))


def width() -> int:
    """Columns to fill: the terminal's, or `COLUMNS`, within reason."""
    return max(NARROWEST, min(WIDTH, shutil.get_terminal_size((WIDTH, 40)).columns))


def is_terminal(stream: TextIO) -> bool:
    """Whether control characters mean something to who reads the stream."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colour(stream: TextIO) -> bool:
    """Whether colour may be written, by the terminal and by `NO_COLOR` (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def coloured(text: str, code: int) -> str:
    """Text in one of the sixteen colours, which a user's own scheme decides on."""
    return f"\x1b[{code}m{text}\x1b[0m"


def painted(text: str) -> str:
    """The same text with routes and the outcomes of gates in colour."""
    text = _GATE.sub(lambda found: found[1] + coloured(found[2], GOOD if found[2] == "ok" else BAD), text)
    return _ROUTE.sub(lambda found: coloured(found[0], _CODES[found[0]]), text)


def table_box(stream: TextIO) -> box.Box:
    """Lines of a table that the stream's encoding has."""
    try:
        "┏━┓│".encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return box.ASCII
    return box.HEAVY_HEAD
