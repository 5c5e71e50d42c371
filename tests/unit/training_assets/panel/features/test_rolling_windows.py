"""The window kernel against pandas, on ragged series with unknown values."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training_assets.panel.features import rolling

LENGTHS = (1, 7, 40, 3, 60)
POSITIONS = np.concatenate([np.arange(length) for length in LENGTHS])
SYMBOLS = np.repeat(np.arange(len(LENGTHS)), LENGTHS)


def _series(seed: int, n_unknown: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(3.0, 2.0, POSITIONS.size)
    values[rng.choice(values.size, n_unknown, replace=False)] = np.nan
    return values


def _full(window: int) -> np.ndarray:
    """Rows whose symbol has a whole window."""
    return window <= POSITIONS + 1


def _pandas(values: np.ndarray, window: int, method: str) -> np.ndarray:
    return pd.Series(values).groupby(SYMBOLS).transform(lambda part: getattr(part.rolling(window), method)()).to_numpy()


@settings(max_examples=25, deadline=None)
@given(window=st.integers(3, 70), seed=st.integers(0, 10_000), n_unknown=st.integers(0, 5))
def test_windows_equal_those_of_pandas_and_never_reach_into_another_symbol(window: int, seed: int, n_unknown: int) -> None:
    values = _series(seed, n_unknown)
    for method, ours in (
        ("sum", rolling.rolling_sum),
        ("max", rolling.rolling_max),
        ("min", rolling.rolling_min),
        ("std", rolling.rolling_std),
    ):
        np.testing.assert_allclose(ours(values, window, POSITIONS), _pandas(values, window, method), rtol=1e-9, err_msg=method)


@pytest.mark.parametrize("window", [5, 21, 32])
def test_skewness_and_kurtosis_equal_those_of_scipy(window: int) -> None:
    from scipy import stats

    values = _series(1)
    skewness, kurtosis = rolling.rolling_shape(values, window, POSITIONS)
    row = POSITIONS.size - 1
    assert skewness[row] == pytest.approx(stats.skew(values[row - window + 1 :]))
    assert kurtosis[row] == pytest.approx(stats.kurtosis(values[row - window + 1 :]))


@pytest.mark.parametrize("window", [2, 10, 21])
def test_slope_equals_that_of_a_fitted_line(window: int) -> None:
    values = _series(2)
    slope = rolling.rolling_slope(values, window, POSITIONS)
    for row in np.flatnonzero(_full(window))[::9]:
        assert slope[row] == pytest.approx(np.polyfit(np.arange(window), values[row - window + 1 : row + 1], 1)[0])


def test_correlation_equals_that_of_numpy_and_is_null_where_nothing_varies() -> None:
    first, second = _series(3), _series(4)
    row = POSITIONS.size - 1
    assert rolling.rolling_correlation(first, second, 30, POSITIONS)[row] == pytest.approx(np.corrcoef(first[-30:], second[-30:])[0, 1])
    with np.errstate(invalid="ignore"):
        assert np.isnan(rolling.rolling_correlation(first, np.full_like(first, 0.1), 30, POSITIONS)).all()


def test_exponential_mean_weighs_by_age_and_its_weights_sum_to_one() -> None:
    values, decay, window = _series(5), 0.8, 13
    weights = decay ** np.arange(window)
    row = POSITIONS.size - 1
    expected = (values[row - np.arange(window)] * weights).sum() / weights.sum()
    assert rolling.rolling_ema(values, decay, window, POSITIONS)[row] == pytest.approx(expected)
    np.testing.assert_allclose(rolling.rolling_ema(np.ones_like(values), decay, window, POSITIONS)[_full(window)], 1.0, rtol=1e-12)


def test_memory_is_the_first_age_whose_weight_is_forgotten() -> None:
    age = rolling.memory_bars(0.9)
    assert 0.9**age < rolling.FORGOTTEN <= 0.9 ** (age - 1)


def test_spread_of_equal_values_is_exactly_zero() -> None:
    spread = rolling.rolling_std(np.full(POSITIONS.size, 0.1), 21, POSITIONS)
    assert (spread[_full(21)] == 0.0).all()


def test_window_longer_than_every_symbol_is_null_and_an_empty_one_is_refused() -> None:
    assert np.isnan(rolling.rolling_sum(_series(6), 500, POSITIONS)).all()
    with pytest.raises(ValueError, match="window of 0 bars"):
        rolling.rolling_sum(_series(6), 0, POSITIONS)


def test_window_forgets_a_value_as_soon_as_it_has_left() -> None:
    values = _series(7)
    spoilt = values.copy()
    spoilt[-40] = 1e15
    inside = slice(values.size - 40 + 21, values.size)
    for function in (rolling.rolling_sum, rolling.rolling_std, rolling.rolling_slope):
        np.testing.assert_array_equal(function(values, 21, POSITIONS)[inside], function(spoilt, 21, POSITIONS)[inside])
