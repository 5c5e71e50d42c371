"""Market data sources: every layout read alike, and a catalogue of files that are refused by name."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.sections.data import DataConfig
from resources.market_data.names import name_problem
from resources.market_data.readers import FileContent, read_bars_file, read_header, read_unchanged
from resources.market_data.records import DataError, Layout, MarketData, ProblemCode, UnusableFileError, printable
from resources.market_data.sources import DATA_SOURCES, column_names, files_fingerprint, list_market_files, load_market_data


def make_bars(n_rows: int = 40, seed: int = 0) -> pd.DataFrame:
    close = 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, n_rows)))
    times = pd.date_range("2020-01-01", periods=n_rows, freq="D")
    return pd.DataFrame({"timestamp": times, "open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1000.0})


def directory(path: Path, **settings: object) -> DataConfig:
    return DataConfig.model_validate({"source": "directory", "path": str(path), **settings})


def load(path: Path, **settings: object) -> MarketData:
    return load_market_data(directory(path, **settings))


def codes(data: MarketData) -> dict[str, ProblemCode]:
    return {problem.symbol: problem.code for problem in data.problems}


# Layouts -------------------------------------------------------------------------------------------------------------


def write_parquet_files(root: Path, frames: dict[str, pd.DataFrame]) -> Path:
    for symbol, frame in frames.items():
        frame.to_parquet(root / f"{symbol}.parquet")
    return root


def write_csv_files(root: Path, frames: dict[str, pd.DataFrame]) -> Path:
    for symbol, frame in frames.items():
        frame.to_csv(root / f"{symbol}.csv", index=False)
    return root


def write_zipped_csv_files(root: Path, frames: dict[str, pd.DataFrame]) -> Path:
    for symbol, frame in frames.items():
        frame.to_csv(root / f"{symbol}.csv.gz", index=False)
    return root


def write_symbol_folders(root: Path, frames: dict[str, pd.DataFrame]) -> Path:
    for symbol, frame in frames.items():
        folder = root / f"symbol={symbol}"
        folder.mkdir(parents=True)
        frame.iloc[:15].to_parquet(folder / "part-0.parquet")
        frame.iloc[15:].to_parquet(folder / "part-1.parquet")
    return root


def write_interval_folder(root: Path, frames: dict[str, pd.DataFrame]) -> Path:
    write_symbol_folders(root / "interval=1d", frames)
    return root


def write_one_parquet(root: Path, frames: dict[str, pd.DataFrame]) -> Path:
    pd.concat([frame.assign(symbol=symbol) for symbol, frame in frames.items()]).to_parquet(root / "panel.parquet")
    return root / "panel.parquet"


def write_one_csv_in_a_folder(root: Path, frames: dict[str, pd.DataFrame]) -> Path:
    pd.concat([frame.assign(symbol=symbol) for symbol, frame in frames.items()]).sort_values("timestamp", kind="stable").to_csv(root / "panel.csv", index=False)
    return root


LAYOUTS: dict[str, tuple[Callable[[Path, dict[str, pd.DataFrame]], Path], Layout]] = {
    "parquet files": (write_parquet_files, Layout.FILE_PER_SYMBOL),
    "csv files": (write_csv_files, Layout.FILE_PER_SYMBOL),
    "zipped csv files": (write_zipped_csv_files, Layout.FILE_PER_SYMBOL),
    "symbol folders": (write_symbol_folders, Layout.FOLDER_PER_SYMBOL),
    "interval and symbol folders": (write_interval_folder, Layout.FOLDER_PER_SYMBOL),
    "one parquet": (write_one_parquet, Layout.ONE_FILE),
    "one csv in a folder": (write_one_csv_in_a_folder, Layout.ONE_FILE),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_frames(tmp_path: Path, layout: str) -> None:
    frames = {"BBB": make_bars(seed=1), "AAA": make_bars(seed=2)}
    write, expected = LAYOUTS[layout]
    data = load(write(tmp_path, frames))
    assert data.layout is expected
    assert list(data.frames) == ["AAA", "BBB"]
    assert data.problems == ()
    for symbol, frame in frames.items():
        read = data.frames[symbol]
        np.testing.assert_array_equal(read[["open", "close"]].to_numpy(), frame[["open", "close"]].to_numpy())
        assert pd.to_datetime(read["timestamp"]).to_list() == frame["timestamp"].to_list()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_columns_of_every_layout_are_known_without_its_rows(tmp_path: Path, layout: str) -> None:
    path = LAYOUTS[layout][0](tmp_path, {"AAA": make_bars(), "BBB": make_bars().assign(fwd_ret_1d=0.5)})
    assert set(column_names(list_market_files(directory(path)))) - {"symbol", "__index_level_0__"} == {*make_bars().columns, "fwd_ret_1d"}


def test_one_file_without_symbol_column_is_the_symbol_it_is_named_for(tmp_path: Path) -> None:
    write_csv_files(tmp_path, {"AAPL": make_bars()})
    for path in (tmp_path, tmp_path / "AAPL.csv"):
        data = load(path)
        assert (list(data.frames), data.layout) == (["AAPL"], Layout.FILE_PER_SYMBOL)


def test_the_interval_that_a_folder_states_is_reported(tmp_path: Path) -> None:
    frames = {"AAA": make_bars()}
    write_symbol_folders(tmp_path / "a" / "interval=5m", frames)
    assert load(tmp_path / "a").interval_minutes == 5
    assert load(tmp_path / "a" / "interval=5m").interval_minutes == 5
    assert load(write_interval_folder(tmp_path / "b", frames)).interval_minutes == 1440


def test_several_intervals_in_one_folder_are_listed(tmp_path: Path) -> None:
    for interval in ("5m", "1h"):
        write_symbol_folders(tmp_path / f"interval={interval}", {"AAA": make_bars()})
    with pytest.raises(DataError, match=r"several bar intervals: interval=1h, interval=5m"):
        load(tmp_path)


def test_an_index_of_times_without_a_name_is_the_time_column(tmp_path: Path) -> None:
    frame = make_bars().set_index("timestamp").rename_axis(None)
    frame.to_parquet(tmp_path / "AAA.parquet")
    frame.to_csv(tmp_path / "BBB.csv")
    data = load(tmp_path)
    assert data.problems == ()
    assert all("timestamp" in read.columns for read in data.frames.values())


def test_a_symbol_spelled_like_a_missing_value_stays_a_symbol(tmp_path: Path) -> None:
    write_one_csv_in_a_folder(tmp_path, {"NA": make_bars(), "TRUE": make_bars(), "null": make_bars()})
    assert list(load(tmp_path).frames) == ["NA", "TRUE", "null"]


def test_a_symbol_folder_name_is_decoded(tmp_path: Path) -> None:
    write_symbol_folders(tmp_path, {"BTC%2FUSD": make_bars(), "AAA": make_bars()})
    assert list(load(tmp_path).frames) == ["AAA", "BTC/USD"]


def test_whole_numbers_may_turn_into_decimals_late_in_a_csv(tmp_path: Path) -> None:
    frame = make_bars(60_000)
    frame["timestamp"] = pd.date_range("2020-01-01", periods=len(frame), freq="min")
    frame["volume"] = frame["volume"].astype(int).astype(str)
    frame.loc[59_990:, "volume"] = "0.5"
    frame["late"] = np.where(frame.index > 59_000, "1.5", "")
    frame.to_csv(tmp_path / "AAA.csv", index=False)
    read = load(tmp_path).frames["AAA"]
    assert (read["volume"].iloc[-1], read["late"].iloc[-1], np.isnan(read["late"].iloc[0])) == (0.5, 1.5, True)


def test_text_columns_are_reported_and_left_out(tmp_path: Path) -> None:
    write_csv_files(tmp_path, {"AAA": make_bars().assign(exchange="XNYS"), "BBB": make_bars()})
    data = load(tmp_path)
    assert data.ignored_columns == {"exchange": 1}
    assert "exchange" not in data.frames["AAA"].columns


def test_files_that_are_no_market_data_are_reported(tmp_path: Path) -> None:
    write_parquet_files(tmp_path, {"AAA": make_bars(), "BBB": make_bars()})
    for name in ("README.md", "_SUCCESS", ".hidden.parquet"):
        (tmp_path / name).write_text("x")
    data = load(tmp_path)
    assert set(data.ignored) == {"README.md", "_SUCCESS", ".hidden.parquet"}
    assert "3 other entries ignored" in data.describe()


# The symbol filter ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_symbols_asked_for_are_read(tmp_path: Path, layout: str) -> None:
    path = LAYOUTS[layout][0](tmp_path, {"AAA": make_bars(), "BBB": make_bars(), "CCC": make_bars()})
    assert list(load(path, symbols=("CCC", "AAA")).frames) == ["AAA", "CCC"]


def test_an_unknown_symbol_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    write_parquet_files(tmp_path, {"AAPL": make_bars(), "MSFT": make_bars()})
    with pytest.raises(DataError, match=r"'AAPPL' \(did you mean 'AAPL'\?\).*there are AAPL, MSFT"):
        load(tmp_path, symbols=("AAPPL",))
    with pytest.raises(DataError, match=r"'msft' \(did you mean 'MSFT'\?\)"):
        load(tmp_path, symbols=("msft",))


@pytest.mark.parametrize("source", DATA_SOURCES)
def test_asking_for_no_symbol_is_an_error(tmp_path: Path, source: str) -> None:
    write_parquet_files(tmp_path, {"AAPL": make_bars(), "MSFT": make_bars()})
    with pytest.raises(DataError, match=r"data\.symbols is empty"):
        load_market_data(DataConfig.model_validate({"source": source, "path": str(tmp_path), "symbols": ()}))


def test_a_broken_symbol_that_nobody_asked_for_is_no_problem(tmp_path: Path) -> None:
    write_parquet_files(tmp_path, {"AAA": make_bars()})
    (tmp_path / "BAD.parquet").write_bytes(b"")
    assert load(tmp_path, symbols=("AAA",)).problems == ()
    assert codes(load(tmp_path)) == {"BAD": ProblemCode.EMPTY_FILE}


# The catalogue of bad files ------------------------------------------------------------------------------------------


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink)
    return bytes(sink.getvalue())


CSV = make_bars().to_csv(index=False).encode()
PARQUET = parquet_bytes(make_bars())
DUPLICATED = pa.Table.from_arrays([pa.array([1.0, 2.0])] * 3, names=["close", "x", "x"])


def duplicate_parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(DUPLICATED, sink)
    return bytes(sink.getvalue())


BAD_FILES: dict[str, tuple[str, bytes, ProblemCode, str]] = {
    "empty parquet": ("parquet", b"", ProblemCode.EMPTY_FILE, "0 bytes"),
    "empty csv": ("csv", b"", ProblemCode.EMPTY_FILE, "0 bytes"),
    "empty gzip": ("csv.gz", gzip.compress(b""), ProblemCode.UNREADABLE, "Empty CSV"),
    "text named parquet": ("parquet", CSV, ProblemCode.WRONG_TYPE, "first bytes"),
    "parquet named csv": ("csv", PARQUET, ProblemCode.WRONG_TYPE, "Parquet"),
    "gzip named csv": ("csv", gzip.compress(CSV), ProblemCode.WRONG_TYPE, "gzip"),
    "text named gzip": ("csv.gz", CSV, ProblemCode.WRONG_TYPE, "first bytes"),
    "excel named csv": ("csv", b"PK\x03\x04" + b"x" * 90, ProblemCode.WRONG_TYPE, "Excel"),
    "truncated parquet": ("parquet", PARQUET[: len(PARQUET) // 2], ProblemCode.TRUNCATED, "PAR1"),
    "parquet of magic bytes only": ("parquet", b"PAR1PAR1", ProblemCode.TRUNCATED, "PAR1"),
    "parquet with a broken footer": ("parquet", PARQUET[:-40] + b"\xff" * 32 + PARQUET[-8:], ProblemCode.UNREADABLE, "write it again"),
    "truncated gzip": ("csv.gz", gzip.compress(CSV)[:-200], ProblemCode.TRUNCATED, "ends too early"),
    "gzip with a flipped bit": ("csv.gz", gzip.compress(CSV)[:40] + b"\xff\xff" + gzip.compress(CSV)[42:], ProblemCode.UNREADABLE, "write it again"),
    "truncated csv": ("csv", CSV[: CSV.rindex(b",", 0, len(CSV) - 12)], ProblemCode.UNREADABLE, "columns"),
    "encrypted footer": ("parquet", b"PARE" + b"x" * 90 + b"PARE", ProblemCode.ENCRYPTED, "decrypt"),
    "encrypted tail": ("parquet", b"PAR1" + b"x" * 90 + b"PARE", ProblemCode.ENCRYPTED, "decrypt"),
    "csv without rows": ("csv", CSV.split(b"\n")[0] + b"\n", ProblemCode.NO_ROWS, "0 rows"),
    "parquet without rows": ("parquet", parquet_bytes(make_bars().iloc[:0]), ProblemCode.NO_ROWS, "0 rows"),
    "duplicate column in csv": ("csv", b"timestamp,open,open\n2020-01-01,1,2\n", ProblemCode.DUPLICATE_COLUMN, "'open'"),
    "duplicate column by case": ("csv", b"timestamp,open,Open\n2020-01-01,1,2\n", ProblemCode.DUPLICATE_COLUMN, "'Open'"),
    "duplicate column in parquet": ("parquet", duplicate_parquet(), ProblemCode.DUPLICATE_COLUMN, "'x'"),
    "text price in csv": ("csv", b"timestamp,open,high,low,close\n2020-01-01,1,2,1,1\n2020-01-02,1,2,1,oops\n", ProblemCode.TEXT_COLUMN, "row 2 'oops'"),
    "an exponent beyond 32 bits beside text": ("csv", b"timestamp,close\n2020-01-01,1E2147483648\n2020-01-02,oops\n", ProblemCode.TEXT_COLUMN, "row 2 'oops'"),
    "digits parted by underscores": ("csv", b"timestamp,close\n2020-01-01,1.5\n2020-01-02,1_0\n", ProblemCode.TEXT_COLUMN, "row 2 '1_0'"),
    "decimal commas": ("csv", b'timestamp,open,high,low,close\n2020-01-01,"1,5",2,1,1\n', ProblemCode.TEXT_COLUMN, "1,5"),
    "text price in parquet": ("parquet", parquet_bytes(make_bars().astype({"close": str})), ProblemCode.TEXT_COLUMN, "'close'"),
    "semicolons": ("csv", CSV.replace(b",", b";"), ProblemCode.WRONG_TYPE, "commas"),
    "ragged rows": ("csv", b"timestamp,open\n2020-01-01,1,2,3\n", ProblemCode.UNREADABLE, "columns"),
    "no text encoding": ("csv", "timestamp,öpen\n2020-01-01,1\n".encode("utf-16"), ProblemCode.UNREADABLE, "UTF-8"),
    "null bytes": ("csv", b"\0" * 300, ProblemCode.UNREADABLE, "cannot be read"),
    "another symbol inside": ("parquet", parquet_bytes(make_bars().assign(symbol="OTHER")), ProblemCode.SYMBOL_MISMATCH, "'OTHER'"),
    "several symbols inside": ("csv", b"timestamp,symbol,close\n2020-01-01,BAD,1\n2020-01-01,X,1\n", ProblemCode.SYMBOL_MISMATCH, "'X'"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named_and_the_other_symbol_goes_on(tmp_path: Path, case: str) -> None:
    suffix, content, code, words = BAD_FILES[case]
    write_parquet_files(tmp_path, {"GOOD": make_bars()})
    (tmp_path / f"BAD.{suffix}").write_bytes(content)
    data = load(tmp_path)
    assert list(data.frames) == ["GOOD"]
    assert codes(data) == {"BAD": code}
    (problem,) = data.problems
    assert words in problem.message
    assert f"BAD.{suffix}" in str(problem)
    assert "\n" not in str(problem)
    assert set(make_bars().columns) <= set(column_names(list_market_files(directory(tmp_path))))


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_alone_is_an_error_with_the_same_words(tmp_path: Path, case: str) -> None:
    suffix, content, code, words = BAD_FILES[case]
    (tmp_path / f"BAD.{suffix}").write_bytes(content)
    (tmp_path / f"WORSE.{suffix}").write_bytes(b"")
    with pytest.raises(DataError) as raised:
        load(tmp_path)
    assert code in str(raised.value)
    assert words in str(raised.value)


def test_more_columns_than_the_bound_are_refused_with_the_bound(tmp_path: Path) -> None:
    wide = pd.concat([make_bars(5), pd.DataFrame(0.0, index=range(5), columns=[f"f{n}" for n in range(10_000)])], axis=1)
    wide.to_csv(tmp_path / "WIDE.csv", index=False)
    write_parquet_files(tmp_path, {"GOOD": make_bars()})
    data = load(tmp_path)
    assert codes(data) == {"WIDE": ProblemCode.TOO_MANY_COLUMNS}
    assert "10,006 columns > data.max_columns 5,000" in data.problems[0].message
    assert list(load(tmp_path, max_columns=10_006).frames) == ["GOOD", "WIDE"]


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    write_parquet_files(root, {"AAA": make_bars()})
    write_parquet_files(outside, {"SECRET": make_bars()})
    (root / "store").mkdir()
    write_parquet_files(root / "store", {"kept": make_bars()})
    (root / "IN.parquet").symlink_to(root / "store" / "kept.parquet")
    (root / "OUT.parquet").symlink_to(outside / "SECRET.parquet")
    (root / "GONE.parquet").symlink_to(root / "nothing.parquet")
    data = load(root)
    assert list(data.frames) == ["AAA", "IN"]
    assert codes(data) == {"OUT": ProblemCode.OUTSIDE_FOLDER, "GONE": ProblemCode.UNREADABLE}


def test_what_leads_out_of_the_folder_or_is_no_file_is_listed_without_size(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_parquet_files(tmp_path, {"SECRET": make_bars()})
    write_parquet_files(root, {"AAA": make_bars(), "BBB": make_bars()})
    (root / "IN.parquet").symlink_to(root / "AAA.parquet")
    (root / "OUT.parquet").symlink_to(tmp_path / "SECRET.parquet")
    (root / "ZERO.csv").symlink_to("/dev/zero")
    (root / "DIR.parquet").mkdir()
    os.mkfifo(root / "PIPE.csv")
    assert {file.symbol for file in list_market_files(directory(root)) if file.size_bytes} == {"AAA", "BBB", "IN"}


def test_a_linked_symbol_folder_outside_is_refused(tmp_path: Path) -> None:
    write_symbol_folders(tmp_path / "root", {"AAA": make_bars()})
    write_symbol_folders(tmp_path / "outside", {"BBB": make_bars()})
    (tmp_path / "root" / "symbol=BBB").symlink_to(tmp_path / "outside" / "symbol=BBB")
    assert codes(load(tmp_path / "root")) == {"BBB": ProblemCode.OUTSIDE_FOLDER}


def test_a_data_folder_that_is_a_link_itself_is_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    write_parquet_files(tmp_path / "real", {"AAA": make_bars(), "BBB": make_bars()})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert list(load(tmp_path / "link").frames) == ["AAA", "BBB"]


def test_folders_and_pipes_named_like_files_are_refused_without_waiting(tmp_path: Path) -> None:
    write_parquet_files(tmp_path, {"AAA": make_bars()})
    (tmp_path / "DIR.parquet").mkdir()
    os.mkfifo(tmp_path / "PIPE.csv")
    assert codes(load(tmp_path)) == {"DIR": ProblemCode.NOT_A_FILE, "PIPE": ProblemCode.NOT_A_FILE}


def test_a_symbol_folder_without_files_is_named(tmp_path: Path) -> None:
    write_symbol_folders(tmp_path, {"AAA": make_bars()})
    (tmp_path / "symbol=EMPTY").mkdir()
    assert codes(load(tmp_path)) == {"EMPTY": ProblemCode.NO_FILE}


@pytest.mark.parametrize("target", ["symbol=BAD", "nowhere", "plain.txt"])
def test_a_symbol_folder_that_is_a_link_to_no_folder_costs_that_symbol(target: str, tmp_path: Path) -> None:
    write_symbol_folders(tmp_path, {"AAA": make_bars()})
    (tmp_path / "plain.txt").write_text("x")
    (tmp_path / "symbol=BAD").symlink_to(tmp_path / target)
    data = load(tmp_path)
    assert (list(data.frames), codes(data)) == (["AAA"], {"BAD": ProblemCode.UNREADABLE})
    assert "cannot be listed" in data.problems[0].message
    assert {file.symbol for file in list_market_files(directory(tmp_path))} == {"AAA"}


def test_an_interval_folder_that_is_a_link_to_itself_is_left_aside(tmp_path: Path) -> None:
    write_interval_folder(tmp_path, {"AAA": make_bars()})
    (tmp_path / "interval=5m").symlink_to(tmp_path / "interval=5m")
    assert (list(load(tmp_path).frames), load(tmp_path).ignored) == (["AAA"], ("interval=5m",))


@pytest.mark.parametrize(("make", "words"), [(os.mkfifo, "is a pipe or a device"), (lambda path: path.symlink_to(path), "cannot be looked at")])
def test_a_data_path_that_is_neither_folder_nor_file_is_an_error_in_words(make: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    make(tmp_path / "bars")
    for ask in (load_market_data, list_market_files):
        with pytest.raises(DataError, match=words):
            ask(directory(tmp_path / "bars"))


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write_csv_files(tmp_path, {"AAA": make_bars()}) / "AAA.csv"

    def read_while_written(place: Path) -> FileContent:
        content = read_bars_file(place, 100)
        with open(place, "a") as file:
            file.write("2020-03-01,1,1,1,1,1\n")
        return content

    assert len(read_unchanged(path, lambda place: read_bars_file(place, 100)).frame) == 40
    with pytest.raises(UnusableFileError, match="changed while it was read") as raised:
        read_unchanged(path, read_while_written)
    assert raised.value.code is ProblemCode.FILE_CHANGED


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["parquet", "csv", "csv.gz"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 20)), min_size=1, max_size=6),
)
def test_damaged_bytes_are_read_or_refused_and_nothing_else(tmp_path: Path, kind: str, edits: list[tuple[float, bytes, int]]) -> None:
    content = {"parquet": PARQUET, "csv": CSV, "csv.gz": gzip.compress(CSV, mtime=0)}[kind]
    for place, inserted, removed in edits:
        start = int(place * len(content))
        content = content[:start] + inserted + content[start + removed :]
    path = tmp_path / f"X.{kind}"
    path.write_bytes(content)
    assert all(isinstance(name, str) for name in read_header(path))
    try:
        outcome = f"{len(read_bars_file(path, 1000).frame)} rows; read"
    except UnusableFileError as error:
        outcome = str(error)
    assert ";" in outcome
    assert not outcome.startswith("0 rows")


def test_a_csv_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "AAA.csv").write_bytes(b"\xef\xbb\xbf" + CSV)
    assert list(load(tmp_path).frames["AAA"].columns) == ["timestamp", "open", "high", "low", "close", "volume"]


def test_dates_decimals_truth_values_and_categories_in_parquet_are_read(tmp_path: Path) -> None:
    table = pa.table(
        {
            "date": pa.array(make_bars()["timestamp"].dt.date),
            "close": pa.array(make_bars()["close"].round(2).astype(str)).cast(pa.decimal128(12, 2)),
            "flag": pa.array([True, None] * 20),
            "level": pa.array([1.5, 2.5] * 20).dictionary_encode(),
            "nested": pa.array([[1.0]] * 40),
        }
    )
    pq.write_table(table, tmp_path / "AAA.parquet")
    data = load(tmp_path)
    frame = data.frames["AAA"]
    assert frame["date"].to_list() == make_bars()["timestamp"].to_list()
    np.testing.assert_allclose(frame["close"], make_bars()["close"].round(2))
    assert (frame["flag"].iloc[0], np.isnan(frame["flag"].iloc[1]), frame["level"].iloc[1]) == (1.0, True, 2.5)
    assert data.ignored_columns == {"nested": 1}


# Names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", " A", "A ", "A\nB", "A\tB", "\u202eCOD", "\udcff", "A\\B", "..", ".", "../x", "/etc/passwd", "a/../b", "-rf", "<b>", "A|B", 'A"B', "x" * 101]
)
def test_hostile_names_are_refused(name: str) -> None:
    problem = name_problem(name, "somewhere")
    assert problem is not None
    assert problem.code is ProblemCode.BAD_NAME
    assert str(problem).isprintable()


@pytest.mark.parametrize("name", ["AAPL", "BRK.B", "BRK-B", "^GSPC", "EURUSD=X", "BTC/USD", "600519.SS", "三菱", "ÅF", "A B", "ES_F", "x" * 100])
def test_names_that_exchanges_use_are_accepted(name: str) -> None:
    assert name_problem(name, "somewhere") is None


def test_hostile_names_in_a_symbol_column_cost_only_themselves(tmp_path: Path) -> None:
    frames = {name: make_bars() for name in ("GOOD", "../../etc/passwd", "A\nB", "-rf")}
    data = load(write_one_parquet(tmp_path, frames))
    assert list(data.frames) == ["GOOD"]
    assert set(codes(data).values()) == {ProblemCode.BAD_NAME}


def test_an_undecodable_file_name_is_a_named_problem(tmp_path: Path) -> None:
    write_parquet_files(tmp_path, {"AAA": make_bars()})
    with open(os.path.join(os.fsencode(tmp_path), b"B\xff.parquet"), "wb") as file:
        file.write(PARQUET)
    data = load(tmp_path)
    assert [problem.code for problem in data.problems] == [ProblemCode.BAD_NAME]
    str(data.problems[0]).encode("utf-8")


@pytest.mark.parametrize("second", ["aapl.parquet", "AAPL.csv", "Aapl.csv.gz"])
def test_symbols_that_collide_are_all_refused(tmp_path: Path, second: str) -> None:
    write_parquet_files(tmp_path, {"AAPL": make_bars(), "MSFT": make_bars()})
    if second.endswith("parquet"):
        make_bars().to_parquet(tmp_path / second)
    else:
        make_bars().to_csv(tmp_path / second, index=False)
    data = load(tmp_path)
    assert list(data.frames) == ["MSFT"]
    assert set(codes(data).values()) == {ProblemCode.NAME_COLLISION}
    assert all("AAPL.parquet" in problem.message for problem in data.problems)


def test_symbols_of_one_file_that_differ_by_case_are_refused(tmp_path: Path) -> None:
    data = load(write_one_parquet(tmp_path, {"aapl": make_bars(), "AAPL": make_bars(), "MSFT": make_bars()}))
    assert (list(data.frames), codes(data)) == (["MSFT"], {"AAPL": ProblemCode.NAME_COLLISION, "aapl": ProblemCode.NAME_COLLISION})


def test_rows_without_symbol_are_named_by_count_and_row(tmp_path: Path) -> None:
    frame = make_bars().assign(symbol="AAA")
    frame.loc[[3, 7], "symbol"] = None
    frame.to_parquet(tmp_path / "panel.parquet")
    data = load(tmp_path)
    assert len(data.frames["AAA"]) == 38
    assert "2 rows have no symbol, the first is row 4" in data.problems[0].message


# Folders -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "it is empty"),
        (("README.md", "notes.xlsx"), "it holds README.md, notes.xlsx"),
        (("AAA.parquet", "symbol=BBB/"), "mixes layouts: files, symbol= folders"),
        (("interval=5m/", "symbol=BBB/"), "mixes layouts"),
        (("interval=5m/",), "should hold symbol=<SYMBOL> folders"),
        (("interval=soon/symbol=AAA/",), "interval is not understood"),
        (("interval=0m/symbol=AAA/",), "interval is not understood"),
    ],
)
def test_a_folder_that_is_no_layout_is_an_error_that_says_what_it_holds(tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    for name in names:
        (tmp_path / name).mkdir(parents=True) if name.endswith("/") else (tmp_path / name).write_text("x")
    with pytest.raises(DataError) as raised:
        load(tmp_path)
    assert words in str(raised.value)


@pytest.mark.parametrize("path", [None, "/nowhere/at/all", "a\0b", "x" * 300, "/etc/hostname/bars"])
def test_a_path_that_leads_nowhere_is_an_error(path: str | None) -> None:
    config = DataConfig(source="directory", path=path)
    for ask in (load_market_data, list_market_files):
        with pytest.raises(DataError, match=r"data\.path"):
            ask(config)


def test_a_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bars.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"not one of \.parquet \.csv \.csv\.gz"):
        load(tmp_path / "bars.xlsx")


# The registry and the sensor's view ----------------------------------------------------------------------------------


def test_every_setting_of_data_source_has_an_entry_and_every_entry_a_setting() -> None:
    for name, source in DATA_SOURCES.items():
        assert DataConfig.model_validate({"source": name}).source == source.name


def test_the_sample_has_five_symbols_without_jumps_at_splits() -> None:
    data = load_market_data(DataConfig())
    assert {symbol: len(frame) for symbol, frame in data.frames.items()} == {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}
    apple = data.frames["AAPL"].set_index("timestamp")
    split_return = apple.loc["2005-02-28", "close"] / apple.loc["2005-02-25", "close"] - 1
    assert abs(split_return - (44.86 * 2 / 88.99 - 1)) < 1e-6
    assert all((frame["high"] >= frame[["open", "close"]].max(axis=1)).all() for frame in data.frames.values())


def test_the_sample_knows_its_symbols() -> None:
    assert list(load_market_data(DataConfig(symbols=("MSFT", "AAPL"))).frames) == ["AAPL", "MSFT"]
    with pytest.raises(DataError, match="there are AAPL, FB, GOOG, IBM, MSFT"):
        load_market_data(DataConfig(symbols=("TSLA",)))


def test_the_fingerprint_changes_with_a_file_and_not_with_order(tmp_path: Path) -> None:
    write_parquet_files(tmp_path, {"AAA": make_bars(), "BBB": make_bars()})
    before = list_market_files(directory(tmp_path))
    assert [(file.symbol, file.size_bytes > 0) for file in before] == [("AAA", True), ("BBB", True)]
    assert files_fingerprint(before) == files_fingerprint(before[::-1]) == files_fingerprint(list_market_files(directory(tmp_path)))
    make_bars(41).to_parquet(tmp_path / "BBB.parquet")
    assert files_fingerprint(list_market_files(directory(tmp_path))) != files_fingerprint(before)


def test_text_from_data_cannot_steer_a_terminal() -> None:
    assert printable("a\x1b[31m\nb") == "a\\x1b[31m\\nb"
    assert len(printable("x" * 500)) == 120


def test_a_small_file_of_many_bytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "ZIPPED.csv.gz").write_bytes(gzip.compress(CSV.split(b"\n")[0] + b"\n" + b"2020-01-01,1,1,1,1,1\n" * 100_000))
    pq.write_table(pa.table(dict.fromkeys(("timestamp", "close"), pa.array(np.zeros(200_000)))), tmp_path / "REPEATED.parquet")
    (tmp_path / "PLAIN.csv").write_bytes(CSV + b"2020-03-01,1,1,1,1,1\n" * 100_000)
    write_parquet_files(tmp_path, {"GOOD": make_bars()})
    data = load(tmp_path, max_file_bytes=1_000_000)
    assert list(data.frames) == ["GOOD"]
    assert codes(data) == dict.fromkeys(("PLAIN", "REPEATED", "ZIPPED"), ProblemCode.TOO_LARGE)
    assert all("data.max_file_bytes 1,000,000" in problem.message for problem in data.problems)
    assert {"PLAIN", "ZIPPED"} < set(load(tmp_path).frames)
