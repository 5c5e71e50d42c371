"""Where bars come from and how their clock is read (`config/universe.yaml`)."""

from typing import Literal

from pydantic import Field

from config.sections.base import Fraction, PositiveInt, Section


class DataConfig(Section):
    """The market data source and its clock."""

    source: Literal["sample", "directory"] = Field(
        "sample", description="`sample` is the packaged daily panel of five US stocks; `directory` reads `data.path`."
    )
    path: str | None = Field(None, description="Folder, or one file, that holds the bars; needed when `data.source` is `directory`.")
    symbols: tuple[str, ...] | None = Field(None, description="Symbols to use; null means every symbol found.")
    timezone: str = Field("UTC", description="Zone in which naive timestamps are read (IANA name); stored times are UTC.")
    interval_minutes: PositiveInt | None = Field(None, description="Bar interval in minutes; null infers it from the timestamps.")
    session_gap_bars: PositiveInt = Field(3, description="On intraday bars, a pause of more than this many intervals that all symbols share ends a session.")
    min_rows: PositiveInt = Field(30, description="A symbol with fewer usable bars than this is reported and left out.")
    max_bad_row_fraction: Fraction = Field(
        0.0, description="Largest fraction of a symbol's rows that may be bad (and is then dropped, reported); above it the symbol is refused."
    )
    max_columns: PositiveInt = Field(5_000, description="A file with more columns than this is refused.")
    max_file_bytes: PositiveInt = Field(
        8_000_000_000, description="A file that holds more bytes than this once decompressed is refused, before it is read, in bytes."
    )
