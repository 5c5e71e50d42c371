"""Alignment: what joins, what is refused by name, and what is read from the clock."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sections.data import DataConfig
from config.sections.targets import TargetConfig
from resources.market_data.records import DataError, ProblemCode
from resources.market_data.sources import load_market_data
from training_assets.panel.alignment import Alignment, align_bars
from training_assets.panel.clock import session_codes
from training_assets.panel.data_hash import data_hash


def make_bars(times: pd.DatetimeIndex | int = 60, seed: int = 0) -> pd.DataFrame:
    index = pd.date_range("2020-01-01", periods=times, freq="D") if isinstance(times, int) else times
    close = 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, len(index))))
    opens = close * 1.001
    return pd.DataFrame({"timestamp": index, "open": opens, "high": opens * 1.01, "low": close * 0.99, "close": close, "volume": 1000.0})


def align(frames: dict[str, pd.DataFrame], layout_interval: int | None = None, **settings: object) -> Alignment:
    return align_bars(frames, DataConfig.model_validate(settings), TargetConfig(), layout_interval)


def codes(aligned: Alignment) -> dict[str, set[ProblemCode]]:
    found: dict[str, set[ProblemCode]] = {}
    for problem in aligned.problems:
        found.setdefault(problem.symbol, set()).add(problem.code)
    return found


def times_of(aligned: Alignment, symbol: str) -> list[pd.Timestamp]:
    bars = aligned.bars
    code = bars.symbols.index(symbol)
    rows = slice(bars.symbol_offsets[code], bars.symbol_offsets[code + 1])
    return list(pd.to_datetime(bars.times_ns[bars.time_codes[rows]], utc=True))


# Joining -------------------------------------------------------------------------------------------------------------


def test_ragged_symbols_with_gaps_join_on_the_union_of_their_times() -> None:
    long, late = make_bars(100, seed=1), make_bars(100, seed=2).iloc[40:]
    gappy = make_bars(100, seed=3).drop(index=range(50, 60))
    aligned = align({"LATE": late, "LONG": long, "GAPPY": gappy})
    bars = aligned.bars
    assert bars.symbols == ("GAPPY", "LATE", "LONG")
    assert np.diff(bars.symbol_offsets).tolist() == [90, 60, 100]
    assert bars.times_ns.tolist() == long["timestamp"].astype("datetime64[ns]").astype("int64").tolist()
    np.testing.assert_array_equal(bars.values[3], np.concatenate([gappy["close"], late["close"], long["close"]]))
    assert times_of(aligned, "LATE")[0] == pd.Timestamp("2020-02-10", tz="UTC")
    assert [coverage.n_missing for coverage in aligned.report.coverage] == [10, 0, 0]
    assert aligned.problems == ()


def test_the_order_of_frames_changes_nothing() -> None:
    frames = {symbol: make_bars(seed=seed) for seed, symbol in enumerate("DACB")}
    first, second = align(frames).bars, align(dict(reversed(list(frames.items())))).bars
    assert first.symbols == second.symbols
    np.testing.assert_array_equal(first.values, second.values)


@pytest.mark.parametrize("name", ["timestamp", "ts", "date", "datetime", "Date", "TIMESTAMP"])
def test_every_spelling_of_the_time_column_is_read(name: str) -> None:
    assert align({"A": make_bars().rename(columns={"timestamp": name})}).bars.n_rows == 60


def test_an_index_of_times_and_capital_columns_are_read() -> None:
    frame = make_bars().set_index("timestamp").rename(columns=str.capitalize)
    np.testing.assert_array_equal(align({"A": frame}).bars.values, align({"A": make_bars()}).bars.values)


def test_bars_without_volume_are_fine_and_said_so() -> None:
    aligned = align({"A": make_bars().drop(columns="volume")})
    assert not aligned.bars.has_volume
    assert np.isnan(aligned.bars.values[4]).all()
    assert any("volume" in note for note in aligned.report.notes)


def test_supplied_columns_are_kept_and_told_apart() -> None:
    with_both = make_bars().assign(alpha=1.0, y_up_5d=0.5, exchange="XNYS", flag=True)
    with_both.loc[:9, "alpha"] = np.nan
    with_both.loc[20, "alpha"] = np.inf
    aligned = align({"A": with_both, "B": make_bars().assign(beta=2)})
    bars, report = aligned.bars, aligned.report
    assert bars.supplied_names == ("alpha", "beta", "flag", "y_up_5d")
    assert report.supplied_features == ("alpha", "beta", "flag")
    assert report.supplied_targets == ("y_up_5d",)
    assert report.ignored_columns == {"exchange": 1}
    alpha, beta = bars.supplied[0], bars.supplied[1]
    assert np.isnan(alpha[:10]).all()
    assert np.isnan(alpha[60:]).all()
    assert np.isnan(alpha[20])
    assert (alpha[21:60] == 1.0).all()
    assert np.isnan(beta[:60]).all()
    assert (beta[60:] == 2.0).all()
    assert any("1 infinite values of alpha" in note for note in report.notes)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n_symbols=st.integers(1, 5), keep=st.floats(0.5, 1.0))
def test_what_goes_in_comes_out_by_symbol_and_time(seed: int, n_symbols: int, keep: float) -> None:
    rng = np.random.default_rng(seed)
    frames = {f"S{code}": make_bars(100, seed=code).loc[rng.random(100) < keep].assign(alpha=rng.random()) for code in range(n_symbols)}
    frames["S0"] = make_bars(100, seed=0)
    bars = align(frames, min_rows=10).bars
    oracle = pd.concat([frame.assign(symbol=symbol) for symbol, frame in sorted(frames.items())])
    assert [bars.symbols[code] for code in bars.symbol_codes] == oracle["symbol"].to_list()
    np.testing.assert_array_equal(bars.times_ns[bars.time_codes], oracle["timestamp"].to_numpy("datetime64[ns]").astype(np.int64))
    np.testing.assert_array_equal(bars.values.T, oracle[["open", "high", "low", "close", "volume"]].to_numpy())
    assert np.array_equal(bars.times_ns, np.unique(bars.times_ns))
    if n_symbols > 1:
        np.testing.assert_array_equal(bars.supplied[0], oracle["alpha"].to_numpy())


# Bad rows: twins -----------------------------------------------------------------------------------------------------


def put(column: str, value: float, row: int = 7) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def plant(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[row, column] = value
        return frame

    return plant


def swap_rows(frame: pd.DataFrame) -> pd.DataFrame:
    order = list(range(len(frame)))
    order[7], order[8] = order[8], order[7]
    return frame.iloc[order].reset_index(drop=True)


def repeat_row(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame.iloc[:8], frame.iloc[7:]], ignore_index=True)


def repeat_time(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[8, "timestamp"] = frame.loc[7, "timestamp"]
    return frame


def miss_time(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[7, "timestamp"] = pd.NaT
    return frame


def write_a_word_for_a_time(frame: pd.DataFrame) -> pd.DataFrame:
    texts = frame.assign(timestamp=frame["timestamp"].dt.strftime("%Y-%m-%d"))
    texts.loc[7, "timestamp"] = "01/08/2020"
    return texts


FAULTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], ProblemCode, str]] = {
    "missing price": (put("open", np.nan), ProblemCode.MISSING_PRICE, "row 8"),
    "infinite price": (put("high", np.inf), ProblemCode.INFINITE_PRICE, "high inf"),
    "zero price": (put("low", 0.0), ProblemCode.NON_POSITIVE_PRICE, "low 0"),
    "high below low": (put("high", 1.0), ProblemCode.HIGH_BELOW_LOW, "high 1"),
    "close above high": (put("close", 1000.0), ProblemCode.OUTSIDE_RANGE, "close 1000"),
    "open below low": (put("open", 0.5), ProblemCode.OUTSIDE_RANGE, "open 0.5"),
    "negative volume": (put("volume", -1.0), ProblemCode.BAD_VOLUME, "volume -1"),
    "infinite volume": (put("volume", np.inf), ProblemCode.BAD_VOLUME, "volume inf"),
    "unsorted": (swap_rows, ProblemCode.UNSORTED_TIME, "row 9"),
    "repeated row": (repeat_row, ProblemCode.DUPLICATE_TIME, "row 9"),
    "repeated time": (repeat_time, ProblemCode.DUPLICATE_TIME, "row 8"),
    "missing time": (miss_time, ProblemCode.BAD_TIMESTAMP, "row 8"),
    "time that is no ISO 8601": (write_a_word_for_a_time, ProblemCode.BAD_TIMESTAMP, "01/08/2020"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_planted_fault_refuses_that_symbol_with_that_reason_and_no_other(fault: str) -> None:
    plant, code, place = FAULTS[fault]
    assert align({"CLEAN": make_bars(), "TWIN": make_bars()}).problems == ()
    aligned = align({"CLEAN": make_bars(), "TWIN": plant(make_bars())})
    assert aligned.bars.symbols == ("CLEAN",)
    assert codes(aligned) == {"TWIN": {code}}
    assert place in str(aligned.problems[0])
    assert "against data.max_bad_row_fraction 0" in str(aligned.problems[0])


@pytest.mark.parametrize("fault", FAULTS)
def test_few_bad_rows_are_dropped_and_reported_where_settings_allow_it(fault: str) -> None:
    plant, code, _ = FAULTS[fault]
    aligned = align({"CLEAN": make_bars(), "TWIN": plant(make_bars())}, max_bad_row_fraction=0.05)
    assert aligned.problems == ()
    assert [(problem.symbol, problem.code) for problem in aligned.report.dropped] == [("TWIN", code)]
    assert 58 <= aligned.report.coverage[1].n_rows <= 60
    assert aligned.report.coverage[1].n_dropped == (2 if fault == "repeated time" else 1)


def test_a_negative_price_is_not_above_zero() -> None:
    aligned = align({"CLEAN": make_bars(), "TWIN": put("low", -5.0)(make_bars())})
    assert codes(aligned) == {"TWIN": {ProblemCode.NON_POSITIVE_PRICE}}


def test_bad_wicks_are_valid_bars() -> None:
    frame = put("low", 0.005)(make_bars())
    frame.loc[9, "high"] = 1e6
    assert align({"A": frame}).problems == ()


def test_rounding_of_narrow_floats_is_no_fault_and_more_is() -> None:
    frame = make_bars()
    frame["high"] = frame["open"].to_numpy() * (1 - 5e-7)
    assert align({"A": frame}).problems == ()
    frame["high"] = frame["open"].to_numpy() * (1 - 5e-6)
    with pytest.raises(DataError, match="OUTSIDE_RANGE"):
        align({"A": frame})


def test_of_unequal_rows_of_one_time_none_is_kept_and_of_equal_ones_the_first() -> None:
    frame = pd.concat([make_bars(), make_bars().iloc[[59, 59]]], ignore_index=True)
    assert align({"A": frame}, max_bad_row_fraction=0.1).bars.n_rows == 60
    frame.loc[61, "close"] += 0.01
    assert align({"A": frame}, max_bad_row_fraction=0.1).bars.n_rows == 59


def test_a_file_newest_first_is_told_to_be_sorted() -> None:
    with pytest.raises(DataError, match=r"UNSORTED_TIME.*sort the rows by time"):
        align({"A": make_bars().iloc[::-1].reset_index(drop=True)})


def test_missing_columns_are_named_with_what_there_is() -> None:
    aligned = align({"A": make_bars(), "B": make_bars().rename(columns={"close": "last"}), "C": make_bars().drop(columns="timestamp")})
    assert codes(aligned) == {"B": {ProblemCode.MISSING_COLUMN}, "C": {ProblemCode.MISSING_COLUMN}}
    assert "close are missing, there are timestamp, open, high, low, last" in aligned.problems[0].message


def test_too_short_symbols_are_left_out_with_the_bound() -> None:
    aligned = align({"A": make_bars(), "B": make_bars(29), "C": make_bars(30)})
    assert aligned.bars.symbols == ("A", "C")
    assert "29 usable rows < data.min_rows 30" in aligned.problems[0].message


def test_one_row_is_enough_where_settings_say_so() -> None:
    assert align({"A": make_bars(1)}, min_rows=1, interval_minutes=1440).bars.n_rows == 1
    with pytest.raises(DataError, match=r"cannot be inferred.*data\.interval_minutes"):
        align({"A": make_bars(1)}, min_rows=1)


def test_nothing_left_is_an_error_that_tells_why() -> None:
    with pytest.raises(DataError, match=r"(?s)no symbol can be used.*A: NON_POSITIVE_PRICE.*B: TOO_FEW_ROWS"):
        align({"A": put("low", 0.0)(make_bars()), "B": make_bars(3)})
    with pytest.raises(DataError, match="there are no symbols"):
        align({})


# The clock -----------------------------------------------------------------------------------------------------------


def with_times(times: object) -> pd.DataFrame:
    frame = make_bars(len(times))  # type: ignore[arg-type]
    return frame.assign(timestamp=times)


def test_naive_times_are_read_in_the_configured_zone() -> None:
    aligned = align({"A": make_bars()}, timezone="America/New_York")
    assert times_of(aligned, "A")[0] == pd.Timestamp("2020-01-01 05:00", tz="UTC")
    assert times_of(align({"A": make_bars()}), "A")[0] == pd.Timestamp("2020-01-01", tz="UTC")


def test_times_with_a_zone_keep_their_instant_whatever_the_setting() -> None:
    index = pd.date_range("2020-01-01", periods=60, freq="D", tz="Asia/Tokyo")
    for times in (index, index.strftime("%Y-%m-%dT%H:%M:%S%z")):
        aligned = align({"A": with_times(times)}, timezone="America/New_York")
        assert times_of(aligned, "A") == list(index.tz_convert("UTC"))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_whole_number_times_are_read_by_their_size(unit: str) -> None:
    index = pd.date_range("2020-01-01", periods=60, freq="D")
    numbers = index.as_unit(unit).asi8  # type: ignore[arg-type]
    for times in (numbers, numbers.astype(str)):
        assert times_of(align({"A": with_times(times)}), "A") == list(index.tz_localize("UTC"))


def test_dates_written_as_numbers_are_dates() -> None:
    index = pd.date_range("2020-01-01", periods=60, freq="D")
    assert times_of(align({"A": with_times(index.strftime("%Y%m%d").astype(int))}), "A") == list(index.tz_localize("UTC"))


@pytest.mark.parametrize(
    "times",
    [
        np.arange(60),
        np.linspace(0.1, 0.9, 60),
        np.r_[np.arange(59) + 1_600_000_000, 1_600_000_000_000_000],
        np.full(60, "soon"),
        np.full(60, "9" * 19),
        np.full(60, "9" * 20),
        np.full(60, "9" * 400),
        np.full(60, "1700-01-01"),
        np.full(60, True),
    ],
    ids=["row numbers", "fractions", "mixed units", "words", "19 digits", "20 digits", "400 digits", "too early", "truth values"],
)
def test_times_that_are_none_are_refused(times: object) -> None:
    assert codes(align({"GOOD": make_bars(), "BAD": with_times(times)}))["BAD"] >= {ProblemCode.BAD_TIMESTAMP}


def test_times_with_and_without_zone_in_one_column_are_refused() -> None:
    texts = [f"{time:%Y-%m-%dT%H:%M:%S}" for time in pd.date_range("2020-01-01", periods=60, freq="D")]
    texts[7] += "+02:00"
    aligned = align({"GOOD": make_bars(), "MIXED": with_times(texts)})
    assert codes(aligned) == {"MIXED": {ProblemCode.MIXED_ZONES}}
    assert "row 8" in aligned.problems[0].where
    assert align({"MIXED": with_times(texts)}, max_bad_row_fraction=0.05).bars.n_rows == 59


def test_offsets_that_follow_the_season_are_one_clock() -> None:
    index = pd.date_range("2020-10-20", periods=60, freq="D", tz="America/New_York")
    texts = [time.isoformat() for time in index]
    assert len({text[-6:] for text in texts}) == 2
    assert times_of(align({"A": with_times(texts)}), "A") == list(index.tz_convert("UTC"))


@pytest.mark.parametrize(("day", "hour", "code"), [("2020-11-01", "01:00", ProblemCode.AMBIGUOUS_TIME), ("2020-03-08", "02:00", ProblemCode.NONEXISTENT_TIME)])
def test_a_local_time_that_the_clock_skips_or_repeats_is_named(day: str, hour: str, code: ProblemCode) -> None:
    index = pd.date_range(day, periods=60, freq="h")
    aligned = align({"GOOD": with_times(index + pd.Timedelta(days=10)), "FOLD": with_times(index)}, timezone="America/New_York")
    assert codes(aligned) == {"FOLD": {code}}
    assert f"{day} {hour}" in str(aligned.problems[0])
    assert "America/New_York" in aligned.problems[0].message
    assert align({"FOLD": with_times(index)}).problems == ()


def test_an_unknown_zone_is_an_error() -> None:
    with pytest.raises(DataError, match=r"data\.timezone 'Mars/Base' is no IANA time zone"):
        align({"A": make_bars()}, timezone="Mars/Base")


# Interval and sessions -----------------------------------------------------------------------------------------------


def trading_hours(days: int, first_hour: int = 14, hours: int = 7, minute: int = 0) -> pd.DatetimeIndex:
    starts = pd.bdate_range("2020-01-01", periods=days)
    return pd.DatetimeIndex([start + pd.Timedelta(hours=first_hour + hour, minutes=minute) for start in starts for hour in range(hours)])


def test_intraday_sessions_are_the_pauses_that_all_symbols_share() -> None:
    aligned = align({"A": make_bars(trading_hours(20)), "B": make_bars(trading_hours(20, first_hour=15))})
    assert aligned.bars.interval_minutes == 60
    assert aligned.report.n_sessions == 20
    assert aligned.report.median_bars_a_session == 8
    assert "20 sessions of 8 bars" in aligned.report.describe()
    assert aligned.report.interval_stated_by is None


def test_a_pause_of_one_symbol_alone_ends_no_session() -> None:
    continuous = pd.date_range("2020-01-01", periods=170, freq="h")
    assert align({"A": make_bars(trading_hours(5)), "B": make_bars(continuous)}).report.n_sessions == 1


def test_a_pause_ends_a_session_only_beyond_the_bound() -> None:
    hours = np.array([0, 1, 4, 8], dtype=np.int64) * 3_600_000_000_000
    assert session_codes(hours, 60, 3).tolist() == [0, 0, 0, 1]
    assert session_codes(hours, 60, 2).tolist() == [0, 0, 1, 2]
    assert session_codes(hours, 1440, 2).tolist() == [0, 0, 0, 0]


def test_symbols_of_several_intervals_are_an_error_that_lists_them() -> None:
    frames = {"HOURLY": make_bars(trading_hours(20)), "DAILY": make_bars(60), "WEEKLY": make_bars(pd.date_range("2020-01-01", periods=40, freq="7D"))}
    with pytest.raises(DataError, match=r"60 minutes \(HOURLY\); 1440 minutes \(DAILY\); 10080 minutes \(WEEKLY\)"):
        align(frames)


def test_a_sparse_symbol_of_the_same_interval_is_welcome() -> None:
    days = pd.date_range("2020-01-01", periods=300, freq="D")
    sparse = days[np.sort(np.random.default_rng(0).choice(300, 90, replace=False))]
    assert align({"DENSE": make_bars(days), "SPARSE": make_bars(sparse)}).problems == ()


def test_a_stated_interval_is_held_against_the_timestamps() -> None:
    assert align({"A": make_bars()}, interval_minutes=1440).report.interval_stated_by == "data.interval_minutes"
    with pytest.raises(DataError, match=r"data\.interval_minutes says 60 minutes, but bars are 1440 minutes apart"):
        align({"A": make_bars()}, interval_minutes=60)
    with pytest.raises(DataError, match="the source says 5 minutes"):
        align({"A": make_bars()}, layout_interval=5)
    with pytest.raises(DataError, match="but the source states 5 minutes"):
        align({"A": make_bars()}, layout_interval=5, interval_minutes=1440)


def test_bars_shorter_than_a_minute_are_refused() -> None:
    with pytest.raises(DataError, match="30 seconds apart"):
        align({"A": make_bars(pd.date_range("2020-01-01", periods=60, freq="30s"))})


def test_a_symbol_stamped_beside_the_others_is_refused() -> None:
    frames = {symbol: make_bars(trading_hours(20)) for symbol in "AB"} | {"ODD": make_bars(trading_hours(20, minute=30))}
    aligned = align(frames)
    assert codes(aligned) == {"ODD": {ProblemCode.OFFSET_CLOCK}}
    assert "00:30" in aligned.problems[0].message
    assert aligned.bars.interval_minutes == 60


def test_two_clocks_of_equal_weight_are_an_error() -> None:
    with pytest.raises(DataError, match="never meet: A 00:00, B 00:30"):
        align({"A": make_bars(trading_hours(20)), "B": make_bars(trading_hours(20, minute=30))})


# Real input and content ----------------------------------------------------------------------------------------------


def test_the_sample_aligns_without_a_problem() -> None:
    data = load_market_data(DataConfig())
    aligned = align_bars(data.frames, DataConfig(), TargetConfig(), data.interval_minutes)
    assert aligned.problems == ()
    assert np.diff(aligned.bars.symbol_offsets).tolist() == [3270, 196, 2148, 3270, 3270]
    assert "daily or longer, one session" in aligned.report.describe()


def test_the_content_hash_sees_every_value_and_no_order() -> None:
    frames = {"A": make_bars(seed=1).assign(alpha=1.0, beta=np.nan), "B": make_bars(seed=2)}
    bars = align(frames).bars
    same = align({"B": frames["B"], "A": frames["A"][["beta", "close", "alpha", "timestamp", "volume", "low", "high", "open"]]}).bars
    assert data_hash(bars) == data_hash(same)
    assert len(data_hash(bars)) == 16
    changed = [
        align({"A": frames["A"], "C": frames["B"]}).bars,
        align({"A": frames["A"].rename(columns={"alpha": "gamma"}), "B": frames["B"]}).bars,
        align({"A": put("alpha", 2.0)(frames["A"].copy()), "B": frames["B"]}).bars,
        align({"A": put("volume", 1001.0)(frames["A"].copy()), "B": frames["B"]}).bars,
        align({"A": frames["A"], "B": frames["B"].assign(timestamp=frames["B"]["timestamp"] + pd.Timedelta(days=1))}).bars,
        align({"A": frames["A"], "B": frames["B"].iloc[:-1]}).bars,
        replace(bars, interval_minutes=720),
    ]
    assert len({data_hash(other) for other in [bars, *changed]}) == len(changed) + 1


def test_the_content_hash_does_not_depend_on_the_order_of_symbols() -> None:
    bars = align({"A": make_bars(60, seed=1), "B": make_bars(40, seed=2)}).bars
    turned = replace(
        bars,
        symbols=("B", "A"),
        symbol_offsets=np.array([0, 40, 100]),
        time_codes=np.concatenate([bars.time_codes[60:], bars.time_codes[:60]]),
        values=np.concatenate([bars.values[:, 60:], bars.values[:, :60]], axis=1),
    )
    assert data_hash(turned) == data_hash(bars)
