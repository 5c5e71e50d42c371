"""Horizons, names, parameters, supplied targets and the refusals of the target registry."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from target_bars import bars_from, flat_candles, one_symbol, random_bars, with_supplied

from config.sections.base import TaskType
from config.sections.splits import SplitConfig
from config.sections.targets import SuppliedTarget, TargetConfig, TargetSpec
from training_assets.panel.panel import Bars
from training_assets.panel.targets.base import TargetError
from training_assets.panel.targets.horizons import bars_a_day, horizon_in_name, parse_horizon
from training_assets.panel.targets.registry import TARGETS, build_targets, check_purge, refuse_unknown_names
from training_assets.panel.targets.supplied import infer_task_type, supplied_target_names

NONE_BUILT = TargetConfig(builtin=())
HOURLY = random_bars(seed=5, n_times=140, interval_minutes=60, session_length=7)


def daily(n_rows: int = 40) -> Bars:
    return one_symbol(np.linspace(10.0, 20.0, n_rows).tolist())


def config_of(builder: str, horizon: str = "5d", **settings: object) -> TargetConfig:
    return TargetConfig(builtin=(TargetSpec(builder=builder, horizon=horizon, **settings),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "interval", "n_bars", "minutes", "normal"),
    [
        ("5d", 1_440, 5, 7_200, "5d"),
        ("5b", 1_440, 5, 7_200, "5b"),
        (" 2880M ", 1_440, 2, 2_880, "2880m"),
        ("60m", 60, 1, 60, "60m"),
        ("60m", 5, 12, 60, "60m"),
        ("12b", 5, 12, 60, "12b"),
        ("007b", 1_440, 7, 10_080, "7b"),
        ("14d", 10_080, 2, 20_160, "14d"),
    ],
)
def test_horizons_are_read_in_bars_minutes_and_days(text: str, interval: int, n_bars: int, minutes: int, normal: str) -> None:
    horizon = parse_horizon(text, one_symbol([1.0, 2.0], interval_minutes=interval), "y")
    assert (horizon.bars, horizon.minutes, horizon.text) == (n_bars, minutes, normal)


def test_a_day_of_intraday_bars_is_a_typical_session_and_reaches_into_later_ones() -> None:
    horizon = parse_horizon("5d", HOURLY, "y")
    assert (horizon.bars, horizon.minutes, horizon.spans_sessions) == (35, 7_200, True)
    assert not parse_horizon("5b", HOURLY, "y").spans_sessions


def test_a_day_is_at_most_24_hours_where_trading_never_pauses() -> None:
    assert bars_a_day(one_symbol([1.0] * 500, interval_minutes=60)) == 24
    assert bars_a_day(one_symbol([1.0] * 5, interval_minutes=60)) == 5


@pytest.mark.parametrize("text", ["", "5", "d5", "0d", "-5d", "5.5d", "5w", "5 d", "1e3b", "9999999999b", "٥d5"])
def test_a_horizon_that_is_no_number_with_a_unit_is_refused(text: str) -> None:
    with pytest.raises(TargetError, match="is not a positive number with a unit"):
        parse_horizon(text, daily(), "y")


@pytest.mark.parametrize(("text", "mend"), [("90m", r"use 1b \(60m\) or 2b \(120m\)$"), ("30m", r"use 1b \(60m\)$")])
def test_minutes_that_are_no_whole_bars_are_refused_with_the_way_out(text: str, mend: str) -> None:
    with pytest.raises(TargetError, match=f"y: horizon '{text}' is .* not a whole number of bars of 60 minutes; .*{mend}"):
        parse_horizon(text, HOURLY, "y")


def test_an_absurd_horizon_is_refused() -> None:
    with pytest.raises(TargetError, match="999999999 bars > 1000000"):
        parse_horizon("999999999b", daily(), "y")


@pytest.mark.parametrize(
    ("name", "horizon"),
    [("fwd_ret_5d", "5d"), ("y_60m_up", "60m"), ("target_12B", "12b"), ("y_5d_5d", "5d"), ("y_up", None), ("y_x5d", None), ("y_5days", None), ("y5d", None)],
)
def test_a_horizon_is_read_from_a_column_name(name: str, horizon: str | None) -> None:
    assert horizon_in_name(name) == horizon


def test_a_name_with_two_horizons_is_refused() -> None:
    with pytest.raises(TargetError, match=r"several horizons \(5d, 60m\).*targets\.supplied\.y_5d_60m\.horizon"):
        horizon_in_name("y_5d_60m")


def test_default_targets_are_named_by_builder_and_horizon() -> None:
    infos, labels, ends = build_targets(random_bars(seed=1), TargetConfig())
    assert [info.name for info in infos] == [
        "forward_return_5d",
        "forward_direction_5d",
        "cross_sectional_percentile_5d",
        "forward_realized_volatility_10d",
        "volatility_rise_10d",
        "triple_barrier_10d",
    ]
    assert (labels.dtype, ends.dtype) == (np.float32, np.int32)
    assert labels.shape == ends.shape == (6, random_bars(seed=1).n_rows)
    assert np.array_equal(np.isfinite(labels), ends >= 0)
    assert (infos[0].horizon_bars, infos[0].horizon_minutes, infos[0].source, infos[0].builder) == (5, 7_200, "builtin", "forward_return")
    assert infos[5].classes == (-1.0, 0.0, 1.0)


def test_a_target_may_be_given_a_name_and_its_builder_any_case() -> None:
    infos, _, _ = build_targets(daily(), config_of("Forward_Return", name="my target"))
    assert (infos[0].name, infos[0].builder) == ("my target", "forward_return")


def test_a_day_horizon_on_intraday_bars_has_labels_without_being_asked_twice() -> None:
    _, _, ends = build_targets(HOURLY, config_of("forward_return", "1d"))
    known = ends[0] >= 0
    assert known.mean() > 0.7
    assert np.all(HOURLY.session_codes[ends[0][known]] > HOURLY.session_codes[HOURLY.time_codes[known]])


def test_an_intraday_horizon_longer_than_every_session_is_refused_unless_sessions_may_be_crossed() -> None:
    with pytest.raises(TargetError, match=r"forward_return_7b: horizon 7b is 7 bars, .* 7 bars a label reaches 6 at most; .*targets\.cross_sessions"):
        build_targets(HOURLY, config_of("forward_return", "7b"))
    crossing = TargetConfig(builtin=(TargetSpec(builder="forward_return", horizon="7b"),), cross_sessions=True)
    assert np.isfinite(build_targets(HOURLY, crossing)[1]).any()
    assert np.isfinite(build_targets(HOURLY, config_of("forward_return", "6b"))[1]).any()


def test_an_unknown_builder_is_refused_with_the_nearest() -> None:
    with pytest.raises(TargetError, match="no builder 'forward_retrun'; did you mean 'forward_return'"):
        build_targets(daily(), config_of("forward_retrun"))


@pytest.mark.parametrize(
    ("builder", "params", "message"),
    [
        ("triple_barrier", {"sigma": 2.0}, "no parameter 'sigma'; it knows k, volatility_bars"),
        ("forward_direction", {"k": 2.0}, "no parameter 'k'; it has none"),
        ("triple_barrier", {"k": -1.0}, "params.k is -1.0; expected a finite number above 0"),
        ("triple_barrier", {"k": float("inf")}, "params.k is inf"),
        ("triple_barrier", {"k": True}, "params.k is True"),
        ("triple_barrier", {"volatility_bars": 0}, "expected a whole number from 1"),
        ("triple_barrier", {"volatility_bars": 2.5}, "expected a whole number from 1"),
        ("triple_barrier", {"volatility_bars": "20"}, "expected a whole number from 1"),
        ("forward_return", {"log": 1}, "expected true or false"),
        ("time_to_hit", {"side": 1}, "expected a text"),
    ],
)
def test_a_parameter_that_a_builder_cannot_take_is_refused(builder: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(TargetError, match=re.escape(message)):
        build_targets(daily(), config_of(builder, params=params))


def test_two_targets_of_one_name_are_refused_whatever_their_case() -> None:
    twice = TargetConfig(builtin=(TargetSpec(builder="forward_return", horizon="5d"), TargetSpec(builder="swing_high", horizon="5d", name="Forward_Return_5D")))
    with pytest.raises(TargetError, match="two targets are named 'Forward_Return_5D'"):
        build_targets(daily(), twice)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(TargetError, match="name of a forward_return target is empty"):
        build_targets(daily(), config_of("forward_return", name=" "))


def test_only_chooses_targets_without_regard_to_case_and_keeps_their_order() -> None:
    config = TargetConfig(only=("TRIPLE_BARRIER_10D", "forward_return_5d"))
    infos, labels, _ = build_targets(random_bars(seed=1), config)
    assert [info.name for info in infos] == ["forward_return_5d", "triple_barrier_10d"]
    assert labels.shape[0] == 2


def test_only_refuses_a_name_that_is_not_there_and_lists_what_is() -> None:
    with pytest.raises(
        TargetError, match=r"no target 'forward_return_6d'; did you mean 'forward_return_5d'\? there are forward_return_5d, forward_direction_5d"
    ):
        build_targets(daily(), TargetConfig(only=("forward_return_6d",)))


def columns_then_nothing_more(*names: str) -> Iterator[str]:
    yield from names
    raise AssertionError("more was read than was needed")


@pytest.mark.parametrize(
    ("only", "columns"),
    [
        (None, ()),
        (("TRIPLE_BARRIER_10D", "forward_return_5d"), ()),
        (("fwd_RET_1d", "forward_return_5d"), ("open", "fwd_ret_1d")),
        (("Y_a_2d", "y_b_2d"), ("y_b_2d", "close", "y_a_2d")),
        (("OUTCOME",), ("outcome",)),
    ],
)
def test_names_that_something_is_called_are_let_pass_and_no_column_is_read_that_is_not_needed(only: tuple[str, ...] | None, columns: tuple[str, ...]) -> None:
    refuse_unknown_names(TargetConfig(only=only, supplied={"outcome": SuppliedTarget(horizon="2d")}), columns_then_nothing_more(*columns))


def test_a_name_that_nothing_can_be_called_is_refused_before_a_column_is_read() -> None:
    with pytest.raises(TargetError, match=r"no target 'forward_return_6d'; did you mean 'forward_return_5d'\? .*, and columns of the data as"):
        refuse_unknown_names(TargetConfig(only=("forward_return_6d",)), columns_then_nothing_more())


def test_a_name_that_no_column_has_is_refused_with_the_supplied_ones_there_are() -> None:
    with pytest.raises(TargetError, match=r"no target 'fwd_ret_2d'; did you mean 'fwd_ret_1d'\? there are forward_return_5d, fwd_ret_1d$"):
        refuse_unknown_names(config_of("forward_return", "5d").model_copy(update={"only": ("fwd_ret_2d",)}), ["close", "fwd_ret_1d", "close", "fwd_ret_1d"])


def test_no_target_at_all_is_refused() -> None:
    with pytest.raises(TargetError, match=r"no target: targets\.builtin .* is empty"):
        build_targets(daily(), NONE_BUILT)


def test_supplied_targets_are_found_by_pattern_or_by_being_configured() -> None:
    columns = ("y_5d", "feature", "fwd_ret_1d", "my_y_1d", "outcome")
    assert supplied_target_names(columns, NONE_BUILT) == ("y_5d", "fwd_ret_1d")
    configured = TargetConfig(builtin=(), supplied={"outcome": SuppliedTarget(horizon="2d")})
    assert supplied_target_names(columns, configured) == ("y_5d", "fwd_ret_1d", "outcome")


def test_a_supplied_label_is_kept_up_to_the_last_bar_whose_window_is_complete() -> None:
    bars = with_supplied(one_symbol([1.0] * 6), y_2d=[0.5, 1.5, float("nan"), float("inf"), 2.5, 3.5])
    infos, labels, ends = build_targets(bars, NONE_BUILT)
    np.testing.assert_array_equal(labels[0], np.array([0.5, 1.5, np.nan, np.nan, np.nan, np.nan], np.float32))
    assert ends[0].tolist() == [2, 3, -1, -1, -1, -1]
    assert (infos[0].source, infos[0].horizon_bars, infos[0].task_type) == ("supplied", 2, TaskType.REGRESSION)


def test_a_supplied_label_keeps_its_own_window_over_sessions_and_gaps() -> None:
    bars = bars_from({"A": ([0, 1, 9, 10], flat_candles([1.0, 2.0, 3.0, 4.0]))}, 11, interval_minutes=60, session_length=2)
    _, labels, ends = build_targets(with_supplied(bars, y_1b=[0.1, 0.2, 0.3, 0.4]), NONE_BUILT)
    assert np.isfinite(labels[0]).tolist() == [True, True, True, False]
    assert ends[0].tolist() == [1, 9, 10, -1]


def test_built_and_supplied_targets_stand_side_by_side() -> None:
    bars = with_supplied(daily(6), y_1d=[0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    infos, labels, _ = build_targets(bars, config_of("forward_return", "1d"))
    assert [info.name for info in infos] == ["forward_return_1d", "y_1d"]
    assert infos[1].task_type is TaskType.BINARY_CLASSIFICATION
    np.testing.assert_array_equal(labels[1], np.array([0, 1, 1, 0, 1, np.nan], np.float32))


def test_supplied_classes_become_codes() -> None:
    bars = with_supplied(daily(6), y_1d=[-1.0, 1.0, 1.0, -1.0, 1.0, 1.0], target_1d=[2.0, -3.0, 7.0, 2.0, 7.0, 0.0])
    infos, labels, _ = build_targets(bars, NONE_BUILT)
    assert infos[0].classes == (-1.0, 1.0)
    np.testing.assert_array_equal(labels[0][:5], [0, 1, 1, 0, 1])
    assert (infos[1].task_type, infos[1].classes) == (TaskType.MULTICLASS_CLASSIFICATION, (-3.0, 2.0, 7.0))
    np.testing.assert_array_equal(labels[1][:5], [1, 0, 2, 1, 2])


@pytest.mark.parametrize(
    ("distinct", "task"),
    [
        ([0.0, 1.0], TaskType.BINARY_CLASSIFICATION),
        ([-1.0, 1.0], TaskType.BINARY_CLASSIFICATION),
        ([1.0, 2.0], TaskType.MULTICLASS_CLASSIFICATION),
        ([-1.0, 0.0, 1.0], TaskType.MULTICLASS_CLASSIFICATION),
        (list(range(10)), TaskType.MULTICLASS_CLASSIFICATION),
        (list(range(11)), TaskType.REGRESSION),
        ([0.0, 0.5], TaskType.REGRESSION),
    ],
)
def test_the_task_of_supplied_values_is_inferred(distinct: list[float], task: TaskType) -> None:
    assert infer_task_type(np.array(distinct, float)) is task


def test_a_supplied_target_whose_horizon_nobody_states_is_refused() -> None:
    bars = with_supplied(daily(6), y_up=[0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    with pytest.raises(TargetError, match=r"y_up: nobody states the horizon .*targets\.supplied\.y_up\.horizon \(config/targets\.yaml\)"):
        build_targets(bars, NONE_BUILT)
    stated = TargetConfig(builtin=(), supplied={"y_up": SuppliedTarget(horizon="3d", task_type=TaskType.REGRESSION)})
    infos, _, ends = build_targets(bars, stated)
    assert (infos[0].horizon_bars, infos[0].task_type, infos[0].classes) == (3, TaskType.REGRESSION, ())
    assert ends[0].tolist() == [3, 4, 5, -1, -1, -1]


def test_a_configured_horizon_wins_over_the_name() -> None:
    bars = with_supplied(daily(9), y_1d=np.arange(9.0).tolist())
    config = TargetConfig(builtin=(), supplied={"y_1d": SuppliedTarget(horizon="4d", task_type=TaskType.REGRESSION)})
    assert build_targets(bars, config)[0][0].horizon_bars == 4


def test_a_supplied_target_left_out_by_only_need_not_make_sense() -> None:
    bars = with_supplied(daily(6), y_up=[1.0] * 6, y_1d=[0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    infos, _, _ = build_targets(bars, TargetConfig(builtin=(), only=("Y_1D",)))
    assert [info.name for info in infos] == ["y_1d"]


@pytest.mark.parametrize(
    ("values", "supplied", "message"),
    [
        ([1.0] * 6, {}, "holds the one value 1"),
        ([float("nan")] * 6, {}, "holds no complete label"),
        ([0.5, 1.5, 2.5, 0.5, 1.5, 2.5], {"task_type": "BINARY_CLASSIFICATION"}, "BINARY_CLASSIFICATION does not fit its 3 distinct values"),
    ],
)
def test_supplied_values_that_cannot_be_a_target_are_refused(values: list[float], supplied: dict[str, str], message: str) -> None:
    config = TargetConfig(builtin=(), supplied={"y_1d": SuppliedTarget.model_validate(supplied)})
    with pytest.raises(TargetError, match=message):
        build_targets(with_supplied(daily(6), y_1d=values), config)


def test_a_configured_column_that_the_data_lack_is_refused_with_the_nearest() -> None:
    bars = with_supplied(daily(6), y_1d=[0.0, 1.0] * 3)
    with pytest.raises(TargetError, match="the data have no such column; did you mean 'y_1d'"):
        build_targets(bars, TargetConfig(supplied={"y_2d": SuppliedTarget()}))


def test_a_pattern_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(TargetError, match=r"column_patterns .* is no regular expression"):
        build_targets(daily(6), TargetConfig(column_patterns=("(",)))


def test_a_purge_shorter_than_the_longest_horizon_is_refused() -> None:
    infos, _, _ = build_targets(random_bars(seed=1), TargetConfig())
    with pytest.raises(TargetError, match=r"_10d: splits\.purge_bars \(config/training\.yaml\) 9 bars < horizon 10 bars; raise it to at least 10"):
        check_purge(infos, SplitConfig(purge_bars=9))
    check_purge(infos, SplitConfig(purge_bars=10))
    check_purge(infos, SplitConfig(purge_bars=None))
    check_purge((), SplitConfig(purge_bars=0))


def test_every_entry_can_be_asked_for_by_the_configuration() -> None:
    config = TargetConfig(builtin=tuple(TargetSpec(builder=name, horizon="5d") for name in TARGETS))
    infos, labels, ends = build_targets(random_bars(seed=1, n_times=200), config)
    assert [info.name for info in infos] == [f"{name}_5d" for name in TARGETS]
    assert np.array_equal(np.isfinite(labels), ends >= 0)
