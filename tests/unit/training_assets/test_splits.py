"""Folds, inner and out-of-sample splits, and the holdout, held against brute force and against purgedcv."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from purgedcv import PurgedKFold

from config.sections.splits import SplitConfig
from training_assets.splits import (
    Fold,
    SplitError,
    holdout_mask,
    holdout_start,
    inner_split,
    lookback_start_codes,
    make_folds,
    oos_split,
    pre_holdout_mask,
    usable_folds,
)

Codes = NDArray[np.int32]
Mask = NDArray[np.bool_]


def ragged_rows(seed: int, n_times: int, n_symbols: int, horizon: int, gap_share: float) -> tuple[Codes, Codes, NDArray[np.int64]]:
    """Time codes, label ends and symbol offsets of symbols with different spans and missing bars; the horizon counts own bars."""
    rng = np.random.default_rng(seed)
    codes, ends, offsets = [], [], [0]
    for _ in range(n_symbols):
        first = int(rng.integers(0, n_times // 3))
        own = np.flatnonzero(rng.random(n_times - first) >= gap_share).astype(np.int32) + np.int32(first)
        end = np.full(own.size, -1, np.int32)
        end[: max(own.size - horizon, 0)] = own[horizon:]
        codes.append(own)
        ends.append(end)
        offsets.append(offsets[-1] + own.size)
    return np.concatenate(codes), np.concatenate(ends), np.array(offsets)


def n_leaks(codes: Codes, ends: Codes, train: Mask, test: Mask) -> int:
    """Pairs of a training and a test row whose label intervals overlap, counted one by one (de Prado 2018, snippet 7.1)."""
    overlap = (codes[train][:, None] < ends[test][None, :]) & (ends[train][:, None] > codes[test][None, :])
    return int(overlap.sum())


panels = st.tuples(st.integers(0, 10_000), st.integers(60, 200), st.integers(1, 3), st.integers(1, 15), st.sampled_from([0.0, 0.1, 0.5]))


@settings(max_examples=80, deadline=None)
@given(panels, st.sampled_from(["walk_forward", "kfold"]), st.integers(2, 6), st.integers(0, 20), st.integers(0, 10), st.integers(0, 25))
def test_no_training_label_overlaps_a_test_label(
    panel: tuple[int, int, int, int, float], scheme: str, n_folds: int, lookback: int, embargo: int, purge: int
) -> None:
    codes, ends, offsets = ragged_rows(*panel)
    n_times, horizon = panel[1], panel[3]
    config = SplitConfig(scheme=scheme, n_folds=n_folds, embargo_bars=embargo, purge_bars=purge)
    stop = holdout_start(n_times, config)
    oldest = lookback_start_codes(codes, offsets, lookback)
    for fold in make_folds(stop, horizon, lookback, config):
        train, test = fold.train_mask(codes, ends, oldest), fold.test_mask(codes, ends)
        assert n_leaks(codes, ends, train, test) == 0
        assert not np.any(train & test)
        assert np.all(ends[train | test] >= 0)
        assert np.all(ends[train | test] < stop), "nothing reaches into the holdout"
        assert np.all(codes[train] <= fold.test_start - max(horizon, purge)) or scheme == "kfold"
        after = train & (codes >= fold.test_stop)
        if after.any():
            assert scheme == "kfold"
            last_known = ends[test].max(initial=fold.test_stop - 1)
            assert codes[after].min() >= last_known + embargo
            assert oldest[after].min() > last_known, "no feature of a later training row sees a bar of a test label"


@settings(max_examples=60, deadline=None)
@given(panels, st.floats(0.05, 0.8))
def test_inner_and_oos_splits_are_purged_and_lose_no_later_row(panel: tuple[int, int, int, int, float], fraction: float) -> None:
    codes, ends, _ = ragged_rows(*panel)
    stop = holdout_start(panel[1], SplitConfig())
    fit, oos = oos_split(codes, ends, stop, fraction)
    assert n_leaks(codes, ends, fit, oos) == 0
    assert np.all(ends[fit | oos] < stop)
    window = fit.copy()
    inner_fit, inner = inner_split(codes, ends, window, fraction)
    assert n_leaks(codes, ends, inner_fit, inner) == 0
    assert not np.any((inner_fit | inner) & ~window)
    for early, late, whole in ((fit, oos, pre_holdout_mask(stop, ends)), (inner_fit, inner, window)):
        assert not np.any(early & late)
        if late.any():
            assert np.array_equal(late, whole & (codes >= codes[late].min()))
            share = np.unique(codes[late]).size / np.unique(codes[whole]).size
            assert abs(share - fraction) <= 1.0 / np.unique(codes[whole]).size


@pytest.mark.parametrize("horizon", [1, 5, 20])
@pytest.mark.parametrize("n_folds", [2, 5])
def test_kfold_training_rows_are_those_of_purgedcv(horizon: int, n_folds: int) -> None:
    n_rows = 300
    codes = np.arange(n_rows, dtype=np.int32)
    ends = codes + np.int32(horizon)
    start = pd.Timestamp("2020-01-01", tz="UTC")
    times = pd.Series(start + pd.to_timedelta(codes, unit="D"))
    oracle = PurgedKFold(n_folds, prediction_times=times, evaluation_times=times + pd.Timedelta(days=horizon))
    folds = make_folds(n_rows, horizon, 0, SplitConfig(scheme="kfold", n_folds=n_folds, embargo_bars=0))
    for fold, (train, test) in zip(folds, oracle.split(np.zeros((n_rows, 1))), strict=True):
        open_ended = replace(fold, label_stop=10_000)
        assert np.array_equal(np.flatnonzero(open_ended.test_mask(codes, ends)), test)
        ours = np.flatnonzero(open_ended.train_mask(codes, ends))
        assert set(ours) <= set(train)
        assert set(train) - set(ours) <= {fold.test_stop - 1 + horizon}, "beside purgedcv we only leave out the bar that closes the last test label"


def test_purging_by_a_horizon_alone_would_leak_where_bars_are_missing() -> None:
    codes = np.array([*range(14), 0, 1, 2, 3, 4, 9, 10, 11, 12, 13], np.int32)
    ends = np.array([*range(1, 14), -1, 1, 2, 3, 4, 9, 10, 11, 12, 13, -1], np.int32)
    fold = Fold(test_start=3, test_stop=5, train_after_from=6, purge_codes=1)
    train, test = fold.train_mask(codes, ends), fold.test_mask(codes, ends)
    by_horizon = (ends >= 0) & ((ends <= 3) | (codes >= 6))
    assert n_leaks(codes, ends, by_horizon, test) == 3, "the gap of the second symbol keeps a test label open up to time 9"
    assert n_leaks(codes, ends, train, test) == 0
    assert np.unique(codes[train]).tolist() == [0, 1, 2, 9, 10, 11, 12]


def test_walk_forward_blocks_tile_the_time_after_the_first_training_window() -> None:
    folds = make_folds(1_000, 5, 60, SplitConfig(min_train_fraction=0.3, n_folds=5))
    assert [(fold.test_start, fold.test_stop) for fold in folds] == [(300, 440), (440, 580), (580, 720), (720, 860), (860, 1000)]
    assert all(fold.train_after_from is None and fold.purge_codes == 5 and fold.label_stop == 1_000 for fold in folds)


def test_the_purge_is_the_larger_of_horizon_and_setting() -> None:
    codes = np.arange(100, dtype=np.int32)
    ends = codes + np.int32(3)
    fold = make_folds(100, 3, 0, SplitConfig(purge_bars=10))[0]
    assert codes[fold.train_mask(codes, ends)].max() == fold.test_start - 10
    fold = make_folds(100, 3, 0, SplitConfig(purge_bars=0))[0]
    assert codes[fold.train_mask(codes, ends)].max() == fold.test_start - 3


def test_kfold_training_after_a_block_waits_for_label_look_back_and_embargo() -> None:
    codes = np.arange(200, dtype=np.int32)
    ends = codes + np.int32(4)
    fold = make_folds(200, 4, 10, SplitConfig(scheme="kfold", n_folds=4, embargo_bars=3))[1]
    after = codes[fold.train_mask(codes, ends) & (codes >= fold.test_stop)]
    assert after.min() == fold.test_stop + 4 + 10 + 3


def test_missing_bars_stretch_the_look_back_and_the_first_row_that_trains_again_knows_it() -> None:
    codes = np.r_[np.arange(60), np.arange(60, 120, 3)].astype(np.int32)
    ends = np.r_[codes[1:], -1].astype(np.int32)
    oldest = lookback_start_codes(codes, np.array([0, codes.size]), 5)
    fold = Fold(40, 60, 60 + 1 + 5, 1, gap_codes=5)
    assert codes[fold.train_mask(codes, ends) & (codes >= 60)].min() == 66
    assert codes[fold.train_mask(codes, ends, oldest) & (codes >= 60)].min() == 75, "63, 66, 69, 72, 75 are the first five bars after the last test label"


def test_look_back_starts_at_the_symbols_own_first_bar() -> None:
    codes = np.array([0, 1, 2, 5, 4, 6, 7], np.int32)
    assert lookback_start_codes(codes, np.array([0, 4, 7]), 3).tolist() == [0, 0, 0, 1, 4, 4, 4]
    assert lookback_start_codes(codes, np.array([0, 4, 7]), 0).tolist() == codes.tolist()


def test_all_symbols_of_a_timestamp_lie_on_one_side() -> None:
    codes, ends, _ = ragged_rows(1, 150, 4, 5, 0.2)
    for fold in make_folds(120, 5, 10, SplitConfig(scheme="kfold")):
        train, test = fold.train_mask(codes, ends), fold.test_mask(codes, ends)
        assert not set(codes[train]) & set(codes[test])


def test_folds_without_enough_rows_fall_away() -> None:
    late_codes = np.arange(500, 1_000, dtype=np.int32)
    late_ends = late_codes + np.int32(5)
    folds = make_folds(1_000, 5, 0, SplitConfig())
    held = usable_folds(folds, late_codes, late_ends, min_train_rows=50)
    assert [rows.fold.test_start for rows in held] == [580, 720, 860]
    assert all(rows.train.sum() >= 50 and rows.test.any() for rows in held)
    assert usable_folds(folds, late_codes, late_ends, min_train_rows=5_000) == ()
    assert usable_folds(folds, late_codes[:0], late_ends[:0], min_train_rows=1) == ()


def test_fewer_timestamps_than_folds_are_refused_with_the_settings_to_change() -> None:
    with pytest.raises(SplitError, match=r"3 timestamps .* < splits\.n_folds 5 \(config/training\.yaml\)"):
        make_folds(4, 1, 0, SplitConfig(n_folds=5))


def test_the_holdout_and_what_comes_before_share_no_label() -> None:
    codes = np.arange(100, dtype=np.int32)
    ends = np.where(codes < 95, codes + 5, -1).astype(np.int32)
    start = holdout_start(100, SplitConfig(holdout_fraction=0.15))
    before, holdout = pre_holdout_mask(start, ends), holdout_mask(start, codes, ends)
    assert start == 85
    assert codes[before].max() == 79
    assert (codes[holdout].min(), codes[holdout].max()) == (85, 94)


def test_splits_of_next_to_nothing_are_empty_rather_than_wrong() -> None:
    none = np.zeros(0, np.int32)
    assert [mask.size for mask in inner_split(none, none, np.zeros(0, bool), 0.2)] == [0, 0]
    one, end = np.array([3], np.int32), np.array([4], np.int32)
    fit, inner = inner_split(one, end, np.array([True]), 0.2)
    assert (fit.any(), inner.tolist()) == (False, [True])
    fit, oos = oos_split(one, end, 3, 0.2)
    assert not fit.any()
    assert not oos.any()


def test_the_purge_setting_keeps_rows_off_the_inner_part_however_short_their_labels() -> None:
    codes = np.arange(100, dtype=np.int32)
    fit, inner = inner_split(codes, codes + np.int32(1), np.ones(100, bool), 0.25, purge_codes=10)
    assert codes[inner].min() == 75
    assert codes[fit].max() == 65


def test_the_out_of_sample_purge_setting_keeps_rows_off_however_short_their_labels() -> None:
    codes = np.arange(100, dtype=np.int32)
    fit, oos = oos_split(codes, codes + np.int32(1), 101, 0.25, purge_codes=10)
    assert codes[oos].min() == 75
    assert codes[fit].max() == 65
