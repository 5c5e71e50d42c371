"""Small markets to plant leaks in: made-up ones, and the packaged sample, with honest supplied columns beside the bars."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from config.schema import Config
from config.sections.data import DataConfig
from config.sections.features import FeatureConfig
from config.sections.leakage import LeakageConfig
from config.sections.splits import SplitConfig
from config.sections.targets import TargetConfig, TargetSpec
from resources.market_data.sample import load_sample
from resources.market_data.sources import load_market_data
from training_assets.leakage.audit import audit_leakage
from training_assets.leakage.machinery import Machinery
from training_assets.panel.alignment import align_bars
from training_assets.panel.build import build_panel
from training_assets.panel.panel import Bars, Panel

HORIZON = 5
MINUTE_NS = 60_000_000_000
REAL_PANELS = Path(__file__).parents[4].parent / "shared" / "data"
PANEL_NAMES = ("daily_us62", "daily_lean13", "intraday_1h_us5", "intraday_1h_fx10")
RETURN_TARGET, VOLATILITY_TARGET, SUPPLIED_TARGET, CLASS_TARGET = "forward_return_5b", "forward_realized_volatility_5b", "y_5b", "y_up_5b"
TARGETS = (RETURN_TARGET, VOLATILITY_TARGET, SUPPLIED_TARGET, CLASS_TARGET)


def default_config() -> Config:
    """Two built-in targets, the supplied ones, and no built-in features."""
    specs = (TargetSpec(builder="forward_return", horizon="5b"), TargetSpec(builder="forward_realized_volatility", horizon="5b"))
    return Config(
        features=FeatureConfig(builtin=False),
        targets=TargetConfig(builtin=specs),
        splits=SplitConfig(n_folds=3),
        leakage=LeakageConfig(truncation_rows=1_500, truncation_cuts=1),
    )


@dataclass(frozen=True)
class World:
    """Bars with supplied columns, settings, and what a test swaps for something faulty."""

    bars: Bars
    config: Config = field(default_factory=default_config)
    machinery: Machinery = field(default_factory=Machinery)
    change_panel: Callable[[Panel], Panel] = lambda panel: panel
    change_selection: Callable[[pd.DataFrame], pd.DataFrame] = lambda selection: selection

    def column(self, name: str) -> np.ndarray:
        return self.bars.supplied[self.bars.supplied_names.index(name)]

    def with_column(self, name: str, values: np.ndarray) -> "World":
        """The same with one supplied column added, or replaced."""
        kept = [place for place, old in enumerate(self.bars.supplied_names) if old != name]
        names = (*(self.bars.supplied_names[place] for place in kept), name)
        return replace(self, bars=replace(self.bars, supplied_names=names, supplied=np.vstack([self.bars.supplied[kept], values])))

    def panel(self) -> Panel:
        return self.change_panel(build_panel(self.bars, self.config, "0" * 16).panel)

    def audit(self, targets: tuple[str, ...] | None = None) -> pd.DataFrame:
        """The audit of the targets named, by default all, with every feature selected well above its canaries, on the rows before the holdout."""
        panel = self.panel()
        rows = [(target, name, 0.9, 0.5, True) for target in targets or panel.target_names for name in panel.feature_names]
        selection = pd.DataFrame(rows, columns=["target", "feature", "consensus", "canary_bound", "selected"])
        selection = self.change_selection(selection.assign(fit_start_code=0, fit_end_code=panel.holdout_start_code - 1))
        return audit_leakage(self.bars, panel, selection, self.config, self.machinery)


def made_up(seed: int, n_symbols: int = 5, n_times: int = 700, interval_minutes: int = 1_440, loading: float = 0.7) -> World:
    """A market with one common factor, heavy tails and clustered volatility, and honest columns; `alpha` really predicts."""
    rng = np.random.default_rng(seed)
    alpha = rng.normal(size=(n_symbols, n_times))
    volatility = np.exp(0.35 * _persistent(rng, n_times, 0.97) - 4.5)
    common = rng.standard_t(4, n_times)
    moves = volatility * (loading * common + rng.standard_t(4, (n_symbols, n_times)))
    moves[:, 1:] += 0.25 * volatility[:-1] * alpha[:, :-1]
    close = 100.0 * np.exp(np.cumsum(moves, axis=1))
    opens = np.c_[close[:, :1], close[:, :-1]] * np.exp(0.1 * volatility * rng.normal(size=close.shape))
    spread = np.exp(0.5 * volatility * np.abs(rng.normal(size=(2, *close.shape))))
    volume = 1e6 * np.exp(0.5 * rng.normal(size=close.shape))
    times = _trading_times(n_times, interval_minutes)
    bars = _bars(times, (opens, np.maximum(opens, close) * spread[0], np.minimum(opens, close) / spread[1], close, volume), interval_minutes)
    return _with_honest_columns(World(bars), rng, alpha.ravel())


def packaged(seed: int, n_times: int = 900) -> World:
    """The last bars of the packaged sample's four old stocks, with the same honest columns; `alpha` predicts nothing here."""
    data = DataConfig(symbols=("AAPL", "GOOG", "IBM", "MSFT"))
    frames = {symbol: frame.iloc[-n_times:] for symbol, frame in load_sample(data).frames.items()}
    bars = align_bars(frames, data, TargetConfig()).bars
    rng = np.random.default_rng(seed)
    return _with_honest_columns(World(bars), rng, rng.normal(size=bars.n_rows))


def real(panel: str) -> Callable[[int], World]:
    """A maker of worlds out of six symbols of a real panel and its last bars; the packaged sample where the panel is not there."""
    folder = REAL_PANELS / panel

    def make(seed: int) -> World:
        names = sorted(path.stem for path in folder.glob("*.parquet"))
        if not names:
            return packaged(seed)
        rng = np.random.default_rng([seed, 5])
        data = DataConfig(source="directory", path=str(folder), symbols=tuple(rng.choice(names, min(6, len(names)), replace=False).tolist()))
        market = load_market_data(data)
        frames = {symbol: frame.iloc[-1_200:] for symbol, frame in market.frames.items()}
        bars = align_bars(frames, data, TargetConfig(), market.interval_minutes).bars
        return _with_honest_columns(World(bars), rng, rng.normal(size=bars.n_rows))

    make.__name__ = panel
    return make


def returns_of(bars: Bars) -> np.ndarray:
    """Log return of each bar, 0 at a symbol's first."""
    moves = np.r_[0.0, np.diff(np.log(bars.values[3]))]
    moves[bars.symbol_offsets[:-1]] = 0.0
    return moves


def moved(bars: Bars, values: np.ndarray, by: int) -> np.ndarray:
    """Values `by` bars later in the symbol's own series, NaN beyond its edge."""
    out = np.full(values.size, np.nan)
    for start, stop in zip(bars.symbol_offsets[:-1], bars.symbol_offsets[1:], strict=True):
        part = values[start:stop]
        place = np.arange(part.size) + by
        inside = (place >= 0) & (place < part.size)
        out[start:stop][inside] = part[place[inside]]
    return out


def forward_return(bars: Bars, horizon: int = HORIZON) -> np.ndarray:
    close = bars.values[3]
    return moved(bars, close, horizon) / close - 1.0


def noise(world: World, seed: int, scale_of: np.ndarray, share: float) -> np.ndarray:
    """Noise of `share` deviations of the values given."""
    return np.random.default_rng([seed, 99]).normal(size=scale_of.size) * np.nanstd(scale_of) * share


def _with_honest_columns(world: World, rng: np.random.Generator, alpha: np.ndarray) -> World:
    bars = world.bars
    moves = returns_of(bars)
    trailing = np.sum([moved(bars, moves, -lag) for lag in range(HORIZON)], axis=0)
    honest = {
        "alpha": alpha,
        "momentum": trailing,
        "range": np.log(bars.values[1] / bars.values[2]),
        "weekday": (bars.times_ns[bars.time_codes] // (1_440 * MINUTE_NS) % 7).astype(float),
        "slow": np.concatenate([_persistent(rng, int(size), 0.995) for size in np.diff(bars.symbol_offsets)]),
        "heavy": rng.standard_t(2, bars.n_rows),
        "market": _by_time(bars, moves),
        SUPPLIED_TARGET: forward_return(bars),
        CLASS_TARGET: np.where(np.isfinite(forward_return(bars)), np.sign(forward_return(bars)) >= 0, np.nan),
    }
    for name, values in honest.items():
        world = world.with_column(name, values)
    return world


def _by_time(bars: Bars, values: np.ndarray) -> np.ndarray:
    counts = np.bincount(bars.time_codes, minlength=bars.times_ns.size)
    return (np.bincount(bars.time_codes, values, bars.times_ns.size) / np.maximum(counts, 1))[bars.time_codes]


def _persistent(rng: np.random.Generator, n: int, decay: float) -> np.ndarray:
    out = np.empty(n)
    shocks = rng.normal(size=n)
    out[0] = shocks[0]
    for place in range(1, n):
        out[place] = decay * out[place - 1] + np.sqrt(1 - decay**2) * shocks[place]
    return out


def _trading_times(n_times: int, interval_minutes: int) -> np.ndarray:
    return np.arange(n_times, dtype=np.int64) * interval_minutes * MINUTE_NS + 1_500_000_000 * 10**9


def _bars(times: np.ndarray, columns: tuple[np.ndarray, ...], interval_minutes: int) -> Bars:
    n_symbols, n_times = columns[0].shape
    return Bars(
        symbols=tuple(f"S{code}" for code in range(n_symbols)),
        times_ns=times,
        symbol_offsets=np.arange(n_symbols + 1) * n_times,
        time_codes=np.tile(np.arange(n_times, dtype=np.int32), n_symbols),
        values=np.stack([column.ravel() for column in columns]),
        session_codes=np.zeros(n_times, np.int32),
        interval_minutes=interval_minutes,
        supplied_names=(),
        supplied=np.zeros((0, n_symbols * n_times)),
    )
