"""How fast time is cut: one million rows into five purged folds, and a small case against purgedcv."""

import numpy as np
import pandas as pd
import pytest
from purgedcv import PurgedKFold
from pytest_benchmark.fixture import BenchmarkFixture

from config.sections.splits import SplitConfig
from tests.benchmarks.conftest import Against
from training_assets.splits import make_folds, usable_folds
from training_assets.uniqueness import panel_uniqueness

N_SYMBOLS, N_TIMES, HORIZON = 250, 4_000, 5
LIMIT_SECONDS = 0.3

CODES = np.tile(np.arange(N_TIMES, dtype=np.int32), N_SYMBOLS)
ENDS = np.where(CODES + HORIZON < N_TIMES, CODES + HORIZON, -1).astype(np.int32)


def cut(codes: np.ndarray, ends: np.ndarray, scheme: str, n_times: int) -> int:
    """Number of training rows over five folds."""
    folds = make_folds(n_times, HORIZON, 20, SplitConfig(scheme=scheme))
    return sum(int(held.train.sum()) for held in usable_folds(folds, codes, ends, 50))


@pytest.mark.parametrize("scheme", ["walk_forward", "kfold"])
def test_a_million_rows_are_cut_into_five_folds_within_the_limit(benchmark: BenchmarkFixture, scheme: str) -> None:
    n_rows = benchmark.pedantic(cut, args=(CODES, ENDS, scheme, N_TIMES), rounds=5, warmup_rounds=1)
    assert n_rows > 1_000_000
    best = benchmark.stats.stats.min if benchmark.stats else LIMIT_SECONDS
    print(f"\n{scheme}: {CODES.size:,} rows, 5 folds in {best:.3f} s, limit {LIMIT_SECONDS} s")
    assert best <= LIMIT_SECONDS


def test_a_million_rows_are_weighed_by_uniqueness_within_the_limit(benchmark: BenchmarkFixture) -> None:
    offsets = np.arange(0, CODES.size + 1, N_TIMES)
    weights = benchmark.pedantic(panel_uniqueness, args=(CODES, ENDS, offsets), rounds=5, warmup_rounds=1)
    assert weights[ENDS >= 0].min() > 0.0


def test_the_vectorised_folds_are_faster_than_purgedcv(against: Against) -> None:
    rows = slice(0, 5 * N_TIMES)
    codes, ends = np.sort(CODES[rows]), np.sort(np.where(ENDS[rows] < 0, N_TIMES, ENDS[rows]))
    times = pd.Series(pd.Timestamp("2000-01-01", tz="UTC") + pd.to_timedelta(codes, unit="D"))
    oracle = PurgedKFold(5, prediction_times=times, evaluation_times=times + pd.Timedelta(days=HORIZON))

    def theirs() -> int:
        return sum(train.size for train, _ in oracle.split(np.zeros((codes.size, 1))))

    measured = against(lambda: cut(codes, ends, "kfold", N_TIMES), theirs, "purgedcv.PurgedKFold", "rows", codes.size, codes.size)
    assert 0.97 < measured.result / theirs() <= 1.0
    assert measured.ratio > 1
