"""What reading market data gives back: frames, files, and problems as values.

Belongs here: the words and plain records shared by every source. Does not: reading (`readers`), finding files
(`layouts`), or the meaning of a bar (`training_assets.panel.cleaning`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

TIME_COLUMNS = ("timestamp", "ts", "date", "datetime")
SYMBOL_COLUMN = "symbol"


class DataError(ValueError):
    """Market data of which nothing can be used; the message says what, where, the value against the bound, and the mend."""


class Layout(StrEnum):
    """How the files of a source are arranged."""

    SAMPLE = "sample"
    FILE_PER_SYMBOL = "file_per_symbol"
    FOLDER_PER_SYMBOL = "folder_per_symbol"
    ONE_FILE = "one_file"


class ProblemCode(StrEnum):
    """Why a symbol, or some of its rows, cannot be used."""

    BAD_NAME = "BAD_NAME"
    NAME_COLLISION = "NAME_COLLISION"
    SYMBOL_MISMATCH = "SYMBOL_MISMATCH"
    MISSING_SYMBOL = "MISSING_SYMBOL"
    NO_FILE = "NO_FILE"
    NOT_A_FILE = "NOT_A_FILE"
    OUTSIDE_FOLDER = "OUTSIDE_FOLDER"
    UNREADABLE = "UNREADABLE"
    EMPTY_FILE = "EMPTY_FILE"
    NO_ROWS = "NO_ROWS"
    WRONG_TYPE = "WRONG_TYPE"
    TRUNCATED = "TRUNCATED"
    ENCRYPTED = "ENCRYPTED"
    FILE_CHANGED = "FILE_CHANGED"
    DUPLICATE_COLUMN = "DUPLICATE_COLUMN"
    TOO_MANY_COLUMNS = "TOO_MANY_COLUMNS"
    TOO_LARGE = "TOO_LARGE"
    TEXT_COLUMN = "TEXT_COLUMN"
    MISSING_COLUMN = "MISSING_COLUMN"
    BAD_TIMESTAMP = "BAD_TIMESTAMP"
    MIXED_ZONES = "MIXED_ZONES"
    AMBIGUOUS_TIME = "AMBIGUOUS_TIME"
    NONEXISTENT_TIME = "NONEXISTENT_TIME"
    DUPLICATE_TIME = "DUPLICATE_TIME"
    UNSORTED_TIME = "UNSORTED_TIME"
    MISSING_PRICE = "MISSING_PRICE"
    INFINITE_PRICE = "INFINITE_PRICE"
    NON_POSITIVE_PRICE = "NON_POSITIVE_PRICE"
    HIGH_BELOW_LOW = "HIGH_BELOW_LOW"
    OUTSIDE_RANGE = "OUTSIDE_RANGE"
    BAD_VOLUME = "BAD_VOLUME"
    TOO_FEW_ROWS = "TOO_FEW_ROWS"
    OFFSET_CLOCK = "OFFSET_CLOCK"


class UnusableFileError(ValueError):
    """A file that cannot be used; `code` names the reason."""

    def __init__(self, code: ProblemCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class DataProblem:
    """One thing that is wrong with one symbol's data; `symbol` is empty where it is no symbol's, or nobody knows whose.

    `where` names the file, column, row and time as far as they are known; `message` says what was found against which
    bound and what to do. Row numbers count data rows from 1, the header not counted.
    """

    symbol: str
    code: ProblemCode
    where: str
    message: str

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        whose = f"{printable(self.symbol)}: " if self.symbol else ""
        return f"{whose}{self.code}: {self.message}{place}"


@dataclass(frozen=True)
class MarketFile:
    """One file of a source as it stood when it was listed: `modified_ns` is nanoseconds since 1970 UTC; what is no file that may be read has size 0."""

    path: str
    symbol: str | None  # None where the symbols stand inside the file
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True)
class MarketData:
    """Everything a source holds, as read and not yet checked as bars.

    Attributes
    ----------
    frames : one frame a symbol, symbols in name order; columns as spelled in the file, text columns other than time left out. The index is
        the row's position in its file, counted from 0.
    layout : the layout that was detected.
    root : the folder or file that was read.
    interval_minutes : what the layout itself states (`interval=5m`), or None.
    ignored : names of files and folders that are no market data.
    ignored_columns : column name to the number of symbols in which it was left out, being text or nested.
    """

    frames: Mapping[str, pd.DataFrame]
    layout: Layout
    root: str
    files: tuple[MarketFile, ...]
    problems: tuple[DataProblem, ...]
    interval_minutes: int | None
    ignored: tuple[str, ...]
    ignored_columns: Mapping[str, int]

    def describe(self) -> str:
        """One line for people: what was found, in which layout, and what was left out."""
        size = sum(file.size_bytes for file in self.files)
        refused = len({problem.symbol for problem in self.problems})
        text = f"{len(self.frames)} symbols from {len(self.files)} files ({size:,} bytes) in layout {self.layout} at {printable(self.root)}"
        text += f"; {refused} symbols refused" if refused else ""
        return text + (f"; {len(self.ignored)} other entries ignored: {', '.join(self.ignored[:3])}" if self.ignored else "")


def printable(text: str) -> str:
    """The text with everything that is not printable escaped, cut at 120 characters, safe in a terminal or a log."""
    shown = "".join(character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode() for character in text)
    return shown if len(shown) <= 120 else f"{shown[:117]}..."


def list_problems(problems: tuple[DataProblem, ...], limit: int = 5) -> str:
    """The first problems, one a line, and how many more there are."""
    lines = [str(problem) for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"and {len(problems) - limit} more")
    return "\n".join(lines)
