"""The catalogue of market data that must be refused or told about: each case writes a folder of bars with one fault in it.

A case of a symbol leaves the other symbol usable (status 1, and the rest is done); a case of the whole source leaves nothing (status 2).
"""

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.pipeline.command import bars
from tests.unit.resources.test_market_data import BAD_FILES, write_one_parquet, write_symbol_folders

Change = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class MarketCase:
    """`write` makes the folder's fault; `words` stand in the message; `options` go to the command."""

    write: Callable[[Path], object]
    words: tuple[str, ...]
    status: int = 1
    options: tuple[str, ...] = ()


def changed_rows(column: str, value: object, rows: slice = slice(7, 8)) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame[column] = frame[column].astype(object) if isinstance(value, str) else frame[column]
        frame.loc[frame.index[rows], column] = value
        return frame

    return change


def symbol_bad(change: Change, as_csv: bool = False) -> Callable[[Path], object]:
    """The symbol BAD, its bars changed."""

    def write(root: Path) -> object:
        frame = change(bars(60))
        return frame.to_csv(root / "BAD.csv", index=False) if as_csv else frame.to_parquet(root / "BAD.parquet")

    return write


def bytes_of(suffix: str, content: bytes) -> Callable[[Path], object]:
    return lambda root: (root / f"BAD.{suffix}").write_bytes(content)


def zoned_texts(*endings: str) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame["timestamp"] = [f"{time}T00:00:00{endings[n % len(endings)]}" for n, time in enumerate(frame["timestamp"].astype(str))]
        return frame

    return change


def hourly_from(start: str) -> Change:
    return lambda frame: frame.assign(timestamp=pd.date_range(start, periods=len(frame), freq="h").astype(str))


def repeated_hour(frame: pd.DataFrame) -> pd.DataFrame:
    times = pd.date_range("2021-11-06 20:00", periods=len(frame), freq="h", tz="America/New_York").tz_localize(None)
    return frame.assign(timestamp=times.astype(str))


def small_gzip_bomb(root: Path) -> None:
    line = b"2020-01-01,1,1,1,1,1\n"
    (root / "BAD.csv.gz").write_bytes(gzip.compress(b"timestamp,open,high,low,close,volume\n" + line * 200_000, compresslevel=9))


def small_parquet_bomb(root: Path) -> None:
    constant = pa.array(np.zeros(2_000_000))
    pq.write_table(pa.table(dict.fromkeys(("timestamp", "open", "high", "low", "close"), constant)), root / "BAD.parquet", compression="zstd")


def link_to_outside(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir(exist_ok=True)
    bars(60).to_parquet(outside / "secret.parquet")
    (root / "BAD.parquet").symlink_to(outside / "secret.parquet")


def undecodable_name(root: Path) -> None:
    with open(os.path.join(os.fsencode(root), b"BAD\xff.parquet"), "wb") as file:
        file.write(b"PAR1")


def wide(root: Path) -> None:
    pd.concat([bars(40), pd.DataFrame(0.0, index=range(40), columns=[f"f{n}" for n in range(10_000)])], axis=1).to_csv(root / "BAD.csv", index=False)


def two_columns_of_one_name(root: Path) -> None:
    (root / "BAD.csv").write_text("timestamp,open,high,low,close,close\n2020-01-01,1,1,1,1,1\n", encoding="utf-8")


def swap_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[[*range(10), 12, 11, 10, *range(13, len(frame))]].reset_index(drop=True)


def repeat_row(frame: pd.DataFrame) -> pd.DataFrame:
    repeated = frame.iloc[[*range(20), 19, *range(20, len(frame))]].reset_index(drop=True)
    repeated.loc[20, "close"] += 0.001
    return repeated


def emptied(root: Path) -> None:
    for path in root.iterdir():
        path.unlink()


def only(write: Callable[[Path], object]) -> Callable[[Path], object]:
    """Nothing in the folder but what `write` makes."""

    def write_alone(root: Path) -> None:
        emptied(root)
        write(root)

    return write_alone


def two_intervals(root: Path) -> None:
    for interval in ("5m", "1h"):
        write_symbol_folders(root / f"interval={interval}", {"AAA": bars(60)})


def mixed_clocks(root: Path) -> None:
    for name, step in (("AAA", "5min"), ("BBB", "h")):
        bars(60).assign(timestamp=pd.date_range("2020-01-01", periods=60, freq=step)).to_parquet(root / f"{name}.parquet")


DST = ("--set", "data.timezone=America/New_York")
LIMIT = ("--set", "data.max_file_bytes=1000000")

# One symbol is refused by name, GOOD goes on.
SYMBOL_CASES: dict[str, MarketCase] = {
    **{f"file: {name}": MarketCase(bytes_of(suffix, content), (code, words)) for name, (suffix, content, code, words) in BAD_FILES.items()},
    "file: a folder named like a file": MarketCase(lambda root: (root / "BAD.parquet").mkdir(), ("BAD: NOT_A_FILE", "BAD.parquet")),
    "file: a pipe named like a file": MarketCase(lambda root: os.mkfifo(root / "BAD.csv"), ("BAD: NOT_A_FILE",)),
    "file: a link that leads nowhere": MarketCase(lambda root: (root / "BAD.csv").symlink_to(root / "gone.csv"), ("BAD: UNREADABLE", "leads nowhere")),
    "file: a link to itself": MarketCase(lambda root: (root / "BAD.csv").symlink_to(root / "BAD.csv"), ("BAD: UNREADABLE",)),
    "file: a link out of the folder": MarketCase(link_to_outside, ("BAD: OUTSIDE_FOLDER", "copy the file into the folder")),
    "file: a link to a device": MarketCase(lambda root: (root / "BAD.csv").symlink_to("/dev/zero"), ("BAD: OUTSIDE_FOLDER", "/dev/zero")),
    "file: 10,000 columns": MarketCase(wide, ("BAD: TOO_MANY_COLUMNS", "10,006 columns > data.max_columns 5,000")),
    "file: a small gzip of much text": MarketCase(small_gzip_bomb, ("BAD: TOO_LARGE", "> data.max_file_bytes 1,000,000"), options=LIMIT),
    "file: a small Parquet of many rows": MarketCase(small_parquet_bomb, ("BAD: TOO_LARGE", "> data.max_file_bytes 1,000,000"), options=LIMIT),
    "file: two columns of one name": MarketCase(two_columns_of_one_name, ("BAD: DUPLICATE_COLUMN", "'close'")),
    "name: not decodable": MarketCase(undecodable_name, ("BAD_NAME",)),
    "name: letter case alone tells two apart": MarketCase(
        lambda root: [bars(60).to_parquet(root / f"{name}.parquet") for name in ("BAD", "bad")], ("NAME_COLLISION",)
    ),
    "name: one symbol in two files": MarketCase(
        lambda root: (bars(60).to_parquet(root / "BAD.parquet"), bars(60).to_csv(root / "BAD.csv", index=False)), ("BAD: NAME_COLLISION",)
    ),
    "rows: one only": MarketCase(symbol_bad(lambda frame: frame.iloc[:1]), ("BAD: TOO_FEW_ROWS", "1 usable rows < data.min_rows 30")),
    "rows: no price column": MarketCase(symbol_bad(lambda frame: frame.drop(columns="close")), ("BAD: MISSING_COLUMN", "close")),
    "rows: no time column": MarketCase(symbol_bad(lambda frame: frame.drop(columns="timestamp")), ("BAD: MISSING_COLUMN", "timestamp")),
    "rows: close and Close": MarketCase(symbol_bad(lambda frame: frame.assign(Close=1.0)), ("BAD: DUPLICATE_COLUMN",)),
    "rows: objects for prices": MarketCase(symbol_bad(lambda frame: frame.astype({"open": str})), ("BAD: TEXT_COLUMN", "'open'")),
    "price: missing": MarketCase(symbol_bad(changed_rows("close", np.nan)), ("BAD: MISSING_PRICE", "row 8")),
    "price: infinite": MarketCase(symbol_bad(changed_rows("high", np.inf)), ("BAD: INFINITE_PRICE", "row 8")),
    "price: zero": MarketCase(symbol_bad(changed_rows("low", 0.0)), ("BAD: NON_POSITIVE_PRICE", "row 8")),
    "price: negative": MarketCase(symbol_bad(changed_rows("open", -5.0)), ("BAD: NON_POSITIVE_PRICE", "-5")),
    "price: high below low": MarketCase(symbol_bad(changed_rows("high", 1e-3)), ("BAD: HIGH_BELOW_LOW", "row 8")),
    "price: close above high": MarketCase(symbol_bad(changed_rows("close", 1e5)), ("BAD: OUTSIDE_RANGE", "row 8")),
    "volume: negative": MarketCase(symbol_bad(changed_rows("volume", -1.0)), ("BAD: BAD_VOLUME", "row 8")),
    "price: wrong in every row": MarketCase(symbol_bad(changed_rows("close", -1.0, slice(None))), ("BAD: NON_POSITIVE_PRICE", "60")),
    "time: twice": MarketCase(symbol_bad(repeat_row), ("BAD: DUPLICATE_TIME", "row 20", "keep one row a time")),
    "time: out of order": MarketCase(symbol_bad(swap_rows), ("BAD: UNSORTED_TIME",)),
    "time: no time": MarketCase(symbol_bad(changed_rows("timestamp", "yesterday"), as_csv=True), ("BAD: BAD_TIMESTAMP", "yesterday")),
    "time: missing": MarketCase(symbol_bad(changed_rows("timestamp", pd.NaT)), ("BAD: BAD_TIMESTAMP", "row 8")),
    "time: year 12000": MarketCase(symbol_bad(changed_rows("timestamp", "12000-01-01"), as_csv=True), ("BAD: BAD_TIMESTAMP",)),
    "time: some with a zone": MarketCase(symbol_bad(zoned_texts("+00:00", ""), as_csv=True), ("BAD: MIXED_ZONES",)),
    "time: the hour that a clock skips": MarketCase(symbol_bad(hourly_from("2021-03-13 20:00"), as_csv=True), ("BAD: NONEXISTENT_TIME", "02:00"), options=DST),
    "time: the hour that a clock repeats": MarketCase(symbol_bad(repeated_hour, as_csv=True), ("BAD: AMBIGUOUS_TIME", "01:00"), options=DST),
    "time: integers past what a clock can hold": MarketCase(
        symbol_bad(lambda frame: frame.assign(timestamp=np.int64(2**63 - 1) - np.arange(len(frame))[::-1])), ("BAD: BAD_TIMESTAMP",)
    ),
    "number: an integer past 64 bits": MarketCase(symbol_bad(changed_rows("volume", "99999999999999999999999999"), as_csv=True), (), status=0),
}

# Nothing can be used, nothing is started.
SOURCE_CASES: dict[str, MarketCase] = {
    "source: an empty folder": MarketCase(emptied, ("it is empty",), 2),
    "source: no market files": MarketCase(only(lambda root: (root / "README.md").write_text("x")), ("README.md",), 2),
    "source: several intervals in folders": MarketCase(only(two_intervals), ("interval=1h, interval=5m",), 2),
    "source: several intervals in the times": MarketCase(only(mixed_clocks), ("interval",), 2),
    "source: a path longer than a name can be": MarketCase(lambda root: None, ("--data-dir", "300 bytes > 255"), 2, ("--data-dir", "x" * 300)),
    "source: mixed layouts": MarketCase(lambda root: write_symbol_folders(root, {"BBB": bars(60)}), ("mixes layouts",), 2),
    "source: every symbol refused": MarketCase(only(symbol_bad(changed_rows("close", np.nan))), ("no symbol can be used", "MISSING_PRICE"), 2),
    "source: a hostile name in a symbol column": MarketCase(
        only(lambda root: write_one_parquet(root, {"../../etc/passwd": bars(60)})), ("BAD_NAME", "../../etc/passwd"), 2
    ),
    "source: an unknown symbol": MarketCase(lambda root: None, ("'GOD'", "did you mean 'GOOD'?"), 2, ("--symbols", "GOD")),
    "source: a target without a horizon": MarketCase(
        only(symbol_bad(lambda frame: frame.assign(y_next=0.5))), ("y_next", "horizon"), 2, ("--set", "targets.builtin=[]")
    ),
    "source: no such time zone": MarketCase(lambda root: None, ("data.timezone", "Mars/Olympus"), 2, ("--set", "data.timezone=Mars/Olympus")),
    "source: another interval than the bars have": MarketCase(lambda root: None, ("interval_minutes",), 2, ("--set", "data.interval_minutes=7")),
}
