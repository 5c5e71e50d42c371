"""How fast bars are read and features built, beside the plain tools that give the same numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from config.load import load_config
from config.schema import Config
from resources.market_data.sources import load_market_data
from tests.benchmarks.conftest import Against
from tests.benchmarks.markets import settings_of, write_market
from training_assets.panel.alignment import align_bars
from training_assets.panel.build import FeatureBlock, build_features, build_panel
from training_assets.panel.panel import Bars, Panel

N_SYMBOLS, N_BARS, N_FEATURES = 40, 2_500, 100
WINDOWS = (5, 10, 21, 63)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("market")
    write_market(path, N_SYMBOLS, N_BARS)
    return path


def config_of(folder: Path, *overrides: str) -> Config:
    return load_config(None, [f"data.path={folder}", "data.source=directory", *overrides])


@pytest.fixture(scope="module")
def bars(folder: Path) -> Bars:
    config = config_of(folder)
    return align_bars(load_market_data(config.data).frames, config.data, config.targets).bars


def test_bars_are_read_checked_and_aligned_at_a_share_of_the_speed_of_reading_them(folder: Path, against: Against) -> None:
    config = config_of(folder)

    def read() -> Bars:
        return align_bars(load_market_data(config.data).frames, config.data, config.targets).bars

    def floor() -> None:
        for path in sorted(folder.iterdir()):
            pq.read_table(path).to_pandas()

    n_rows = read().n_rows
    against(read, floor, "pyarrow reading the same files into pandas, unchecked", "bars", n_rows, n_rows)


def test_features_are_built_faster_than_by_pandas_groups(bars: Bars, folder: Path, against: Against) -> None:
    config = config_of(folder, *settings_of(N_FEATURES, 1))
    frame = pd.DataFrame({"symbol": bars.symbol_codes, "close": bars.values[3]})

    def deviation(window: int) -> pd.Series:
        returns = np.log(frame["close"]).groupby(frame["symbol"]).diff()
        return returns.groupby(frame["symbol"]).transform(lambda one: one.rolling(window).std(ddof=0))

    def build() -> FeatureBlock:
        return build_features(bars, config.features, config.targets)

    pandas_name = "pandas rolling deviations by groupby.transform"
    measured = against(build, lambda: [deviation(window) for window in WINDOWS], pandas_name, "features", N_FEATURES, len(WINDOWS), 3)
    assert measured.ratio > 1


def test_a_panel_is_written_and_read_back_near_the_speed_of_a_copy(bars: Bars, folder: Path, tmp_path: Path, against: Against) -> None:
    panel = build_panel(bars, config_of(folder, *settings_of(N_FEATURES, 4)), "0" * 16).panel
    n_bytes, numbers = panel.features.nbytes, iter(range(1_000))

    def ours() -> float:
        place = tmp_path / f"panel{next(numbers)}"
        place.mkdir()
        panel.write(place)
        return float(Panel.read(place).features.sum(dtype=np.float64))

    def copy() -> float:
        place = tmp_path / f"copy{next(numbers)}"
        place.write_bytes(memoryview(panel.features).cast("B"))
        return float(np.frombuffer(place.read_bytes(), np.float32).sum(dtype=np.float64))

    against(ours, copy, "the features' bytes written and read in one piece", "bytes", n_bytes, n_bytes)
