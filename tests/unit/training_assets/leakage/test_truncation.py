"""The truncation test finds planted look-ahead, in features and in labels, and nothing else."""

import numpy as np
import pytest

from training_assets.leakage.truncation import BuiltColumns, choose_cuts, perturb_future, truncate_bars, truncation_findings
from training_assets.panel.panel import Bars

HORIZON = 3


def _bars(n_times: int = 40) -> Bars:
    """Three symbols: a whole one, one that starts at time 10, one that ends at time 30."""
    rng = np.random.default_rng(0)
    codes = [np.arange(n_times), np.arange(10, n_times), np.arange(30)]
    sizes = [part.size for part in codes]
    close = np.concatenate([50 * np.exp(np.cumsum(rng.normal(0, 0.02, size))) for size in sizes])
    values = np.stack([close * 1.001, close * 1.01, close * 0.99, close, np.where(np.arange(close.size) < n_times, np.nan, 100.0)])
    return Bars(
        symbols=("A", "B", "C"),
        times_ns=np.arange(n_times, dtype=np.int64) * 86_400_000_000_000,
        symbol_offsets=np.concatenate([[0], np.cumsum(sizes)]),
        time_codes=np.concatenate(codes).astype(np.int32),
        values=values,
        session_codes=np.zeros(n_times, np.int32),
        interval_minutes=1_440,
        supplied_names=("extra",),
        supplied=rng.normal(size=(1, close.size)),
    )


def _by_symbol(bars: Bars, apply) -> np.ndarray:
    parts = [apply(bars.values[3, start:stop]) for start, stop in zip(bars.symbol_offsets[:-1], bars.symbol_offsets[1:], strict=True)]
    return np.concatenate(parts)


def _mean_of_past(close: np.ndarray) -> np.ndarray:
    return np.cumsum(close) / np.arange(1, close.size + 1)


def _mean_of_all(close: np.ndarray) -> np.ndarray:
    return np.full(close.size, close.mean())


def _next(close: np.ndarray) -> np.ndarray:
    return np.append(close[1:], np.nan)


def _centred(close: np.ndarray) -> np.ndarray:
    return (np.append(close[:1], close[:-1]) + close + np.append(close[1:], close[-1:])) / 3


def _columns(**formulas):
    def build(bars: Bars) -> BuiltColumns:
        return BuiltColumns(tuple(formulas), np.stack([_by_symbol(bars, formula) for formula in formulas.values()]))

    return build


def test_honest_feature_has_no_finding() -> None:
    bars = _bars()
    assert truncation_findings(_columns(past=_mean_of_past), bars, choose_cuts(bars, 5, seed=1), seed=2) == ()


@pytest.mark.parametrize("leak", [_mean_of_all, _next, _centred])
@pytest.mark.parametrize("cut", [1, 20, 39])
def test_planted_look_ahead_is_found_at_every_cut_and_in_both_ways_and_alone(leak, cut: int) -> None:
    findings = truncation_findings(_columns(past=_mean_of_past, leak=leak), _bars(), [cut], seed=2)
    assert {finding.column for finding in findings} == {"leak"}
    assert {finding.variant for finding in findings} == {"removed", "noise"}


def test_finding_says_how_many_rows_changed_and_which_is_the_first() -> None:
    finding = truncation_findings(_columns(leak=_next), _bars(), [20], seed=2)[0]
    # The last bar before the cut of each symbol reads the first after it.
    assert (finding.n_rows, finding.n_compared, finding.first_row, finding.largest_change) == (3, 20 + 10 + 20, 19, np.inf)


def test_one_bit_of_difference_is_a_finding() -> None:
    def build(bars: Bars) -> BuiltColumns:
        return BuiltColumns(("x",), bars.values[3:4] * (1.0 + np.finfo(float).eps * (bars.times_ns.size == 40)))

    assert {finding.variant for finding in truncation_findings(build, _bars(), [20], seed=2)} == {"removed"}


def _label_builder(end_shift: int = 0, fill: bool = False):
    def build(bars: Bars) -> BuiltColumns:
        n_times = bars.times_ns.size
        values, ends = np.full(bars.n_rows, np.nan), np.full(bars.n_rows, -1, np.int32)
        for start, stop in zip(bars.symbol_offsets[:-1], bars.symbol_offsets[1:], strict=True):
            close, codes = bars.values[3, start:stop], bars.time_codes[start:stop]
            last = np.minimum(np.arange(close.size) + HORIZON, close.size - 1) if fill else np.arange(HORIZON, close.size)
            n = last.size
            values[start : start + n] = close[last] / close[:n] - 1
            ends[start : start + n] = np.clip(codes[last] + end_shift, 0, n_times - 1)
        return BuiltColumns(("label",), values[None], ends[None])

    return build


def test_honest_label_has_no_finding() -> None:
    bars = _bars()
    assert truncation_findings(_label_builder(), bars, choose_cuts(bars, 5, seed=1), seed=2) == ()


def test_label_that_claims_to_be_known_too_early_is_found() -> None:
    assert truncation_findings(_label_builder(end_shift=-1), _bars(), [20], seed=2)


def test_label_of_an_incomplete_window_is_found() -> None:
    assert truncation_findings(_label_builder(fill=True), _bars(), [20], seed=2)


def test_builder_whose_columns_depend_on_the_length_is_refused() -> None:
    def build(bars: Bars) -> BuiltColumns:
        return BuiltColumns((f"x{bars.n_rows}",), bars.values[3:4])

    with pytest.raises(ValueError, match="with the future removed at 20"):
        truncation_findings(build, _bars(), [20], seed=2)


def test_truncated_bars_hold_nothing_from_the_cut_on_and_no_symbol_without_bars() -> None:
    bars = _bars()
    early = truncate_bars(bars, 10)
    assert early.symbols == ("A", "C")
    assert early.times_ns.size == early.session_codes.size == 10
    assert early.symbol_offsets.tolist() == [0, 10, 20]
    assert early.time_codes.max() == 9
    np.testing.assert_array_equal(early.values, bars.values[:, bars.time_codes < 10])
    np.testing.assert_array_equal(early.supplied, bars.supplied[:, bars.time_codes < 10])


def test_perturbed_bars_keep_the_past_and_are_valid_bars_with_another_future() -> None:
    bars = _bars()
    noisy = perturb_future(bars, 20, seed=3)
    future = bars.time_codes >= 20
    np.testing.assert_array_equal(noisy.values[:, ~future], bars.values[:, ~future])
    np.testing.assert_array_equal(noisy.supplied[:, ~future], bars.supplied[:, ~future])
    assert (noisy.values[:4, future] != bars.values[:4, future]).all()
    assert (noisy.supplied[:, future] != bars.supplied[:, future]).all()
    open_, high, low, close = noisy.values[:4, future]
    assert (high >= np.maximum(open_, close)).all()
    assert (low <= np.minimum(open_, close)).all()
    assert (low > 0).all()
    np.testing.assert_array_equal(np.isnan(noisy.values[4]), np.isnan(bars.values[4]))
    np.testing.assert_array_equal(perturb_future(bars, 20, seed=3).values, noisy.values)


@pytest.mark.parametrize("cut", [0, 40, -1])
def test_cut_without_bars_on_both_sides_is_refused(cut: int) -> None:
    for change in (truncate_bars, lambda bars, code: perturb_future(bars, code, seed=0)):
        with pytest.raises(ValueError, match="not from 1 to 39"):
            change(_bars(), cut)


def test_cuts_hold_the_ends_and_a_start_and_an_end_of_a_symbol() -> None:
    assert {1, 10, 30, 39} <= set(choose_cuts(_bars(), 0, seed=0))
    assert choose_cuts(_bars(), 4, seed=5) == choose_cuts(_bars(), 4, seed=5)
    assert choose_cuts(truncate_bars(_bars(), 1), 4, seed=5) == ()
