"""What holds for every entry of the target registry, on ragged random panels with gaps."""

import numpy as np
import pytest
from target_bars import future_removed, future_replaced, random_bars

from config.sections.base import TaskType
from training_assets.panel.panel import Bars
from training_assets.panel.targets.base import Labels, Target
from training_assets.panel.targets.registry import TARGETS

HORIZON = 5
STRETCH = 3.0
EVERY_TARGET = pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))


def build(target: Target, bars: Bars, horizon: int = HORIZON, cross_sessions: bool = False, stretch: float = STRETCH) -> Labels:
    params = {**target.defaults, **({"history_bars": 40} if "history_bars" in target.defaults else {})}
    return target.build(bars, horizon, params, cross_sessions, stretch)


@pytest.fixture(scope="module")
def daily() -> Bars:
    return random_bars(seed=3)


@pytest.fixture(scope="module")
def intraday() -> Bars:
    return random_bars(seed=5, n_times=210, interval_minutes=60, session_length=14)


@EVERY_TARGET
def test_values_are_of_the_declared_task(target: Target, daily: Bars) -> None:
    labels = build(target, daily)
    known = labels.values[np.isfinite(labels.values)]
    assert known.size > 300
    if target.task_type is TaskType.REGRESSION:
        assert target.classes == ()
        assert np.unique(known).size > 4
    else:
        assert len(target.classes) == (2 if target.task_type is TaskType.BINARY_CLASSIFICATION else max(3, len(target.classes)))
        assert set(known) == set(range(len(target.classes))), "every class code occurs, and nothing else"


@EVERY_TARGET
def test_a_label_ends_after_its_row_and_is_null_exactly_where_it_has_no_end(target: Target, daily: Bars) -> None:
    labels = build(target, daily)
    known = np.isfinite(labels.values)
    assert np.array_equal(known, labels.end_codes >= 0)
    assert np.all(labels.end_codes[known] >= daily.time_codes[known] + HORIZON)
    assert np.all(labels.end_codes[~known] == -1)
    assert labels.values.shape == labels.end_codes.shape == (daily.n_rows,)
    assert labels.end_codes.dtype == np.int32


@EVERY_TARGET
def test_the_last_rows_of_each_symbol_have_no_label(target: Target, daily: Bars) -> None:
    labels = build(target, daily)
    for stop in daily.symbol_offsets[1:]:
        assert np.isnan(labels.values[stop - HORIZON : stop]).all()


@EVERY_TARGET
@pytest.mark.parametrize("cut", [1, HORIZON, 41, 97, 159])
def test_a_label_known_before_the_cut_does_not_change_when_the_future_is_removed_or_replaced(target: Target, cut: int, daily: Bars) -> None:
    whole = build(target, daily)
    shorter, kept = future_removed(daily, cut)
    removed, replaced = build(target, shorter), build(target, future_replaced(daily, cut, seed=cut))
    settled = (whole.end_codes >= 0) & (whole.end_codes < cut)
    assert np.array_equal(removed.values[settled[kept]], whole.values[settled])
    assert np.array_equal(replaced.values[settled], whole.values[settled])
    assert np.array_equal(replaced.end_codes[settled], whole.end_codes[settled])


@EVERY_TARGET
def test_the_future_beyond_the_row_does_change_its_label(target: Target, daily: Bars) -> None:
    whole, replaced = build(target, daily), build(target, future_replaced(daily, 60, seed=1))
    reaching = (daily.time_codes < 60) & (whole.end_codes >= 60) & np.isfinite(replaced.values)
    assert reaching.sum() > 5
    assert not np.array_equal(whole.values[reaching], replaced.values[reaching])


@EVERY_TARGET
def test_an_intraday_label_never_leaves_its_session_unless_asked(target: Target, intraday: Bars) -> None:
    within, across = build(target, intraday), build(target, intraday, cross_sessions=True)
    known = within.end_codes >= 0
    assert known.sum() > 50
    assert np.array_equal(intraday.session_codes[within.end_codes[known]], intraday.session_codes[intraday.time_codes[known]])
    crossing = across.end_codes >= 0
    assert np.any(intraday.session_codes[across.end_codes[crossing]] != intraday.session_codes[intraday.time_codes[crossing]])


@EVERY_TARGET
def test_a_label_within_a_session_does_not_see_the_next_session(target: Target, intraday: Bars) -> None:
    whole, replaced = build(target, intraday), build(target, future_replaced(intraday, 140, seed=2))
    before = intraday.time_codes < 140
    assert np.array_equal(whole.values[before], replaced.values[before], equal_nan=True)


@EVERY_TARGET
def test_one_symbol_does_not_reach_into_another_unless_the_target_is_cross_sectional(target: Target, daily: Bars) -> None:
    start, stop = int(daily.symbol_offsets[1]), int(daily.symbol_offsets[2])
    values = daily.values.copy()
    rng = np.random.default_rng(0)
    values[:4, :start] *= np.exp(rng.normal(0.0, 0.3, start))
    values[:4, stop:] *= np.exp(rng.normal(0.0, 0.3, daily.n_rows - stop))
    other = Bars(**{**daily.__dict__, "values": values})
    same = np.array_equal(build(target, daily).values[start:stop], build(target, other).values[start:stop], equal_nan=True)
    assert same is not target.cross_sectional


@EVERY_TARGET
def test_labels_do_not_depend_on_the_price_scale(target: Target, daily: Bars) -> None:
    scaled = Bars(**{**daily.__dict__, "values": daily.values * np.array([[8.0], [8.0], [8.0], [8.0], [1.0]])})
    np.testing.assert_allclose(build(target, scaled).values, build(target, daily).values, rtol=1e-9, atol=1e-12)


@EVERY_TARGET
@pytest.mark.parametrize("horizon", [1, 7, 1_000])
def test_hostile_bars_give_no_infinity_and_no_error(target: Target, horizon: int) -> None:
    bars = random_bars(seed=11, n_symbols=3, n_times=60)
    values = bars.values.copy()
    values[:4, : bars.symbol_offsets[1]] = 10.0
    labels = build(target, Bars(**{**bars.__dict__, "values": values}), horizon)
    assert not np.isinf(labels.values).any()
    if horizon == 1_000:
        assert np.isnan(labels.values).all()


@EVERY_TARGET
def test_no_rows_give_no_labels(target: Target) -> None:
    none = np.zeros(0, np.int32)
    bars = Bars((), np.zeros(0, np.int64), np.zeros(1, np.int64), none, np.zeros((5, 0)), none, 1_440, (), np.zeros((0, 0)))
    assert build(target, bars).values.shape == (0,)


@EVERY_TARGET
def test_an_entry_describes_itself(target: Target) -> None:
    assert TARGETS[target.name] is target
    assert target.description.endswith(".")
    assert list(target.classes) == sorted(target.classes)
