"""The leaks of the zoo: how each is planted, which detector has to catch it, and its honest twin."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from leaky_worlds import (
    CLASS_TARGET,
    HORIZON,
    MINUTE_NS,
    PANEL_NAMES,
    RETURN_TARGET,
    SUPPLIED_TARGET,
    VOLATILITY_TARGET,
    World,
    forward_return,
    made_up,
    moved,
    noise,
    returns_of,
)

from training_assets.leakage.machinery import Machinery
from training_assets.panel.features.base import Feature
from training_assets.panel.targets.base import Labels
from training_assets.panel.targets.registry import TARGETS
from training_assets.splits import Fold, make_folds

Plant = Callable[[World, int], World]


@dataclass(frozen=True)
class Leak:
    """One planted fault.

    `subject` is the feature or symbol that has to be blocked, None for the target; `target` the one it is held against.
    `twin` plants the honest look-alike; None where the untouched world is it. `not_on` are real panels on which the fault does no harm: labels
    that stay in a session of seven bars do not overlap, and many rows are not learned by heart by a few features.
    """

    name: str
    detector: str
    plant: Plant
    subject: str | None = "leak"
    target: str = RETURN_TARGET
    twin: Plant | None = None
    on_packaged: bool = True
    not_on: tuple[str, ...] = ()


def _column(make: Callable[[World, int], np.ndarray], name: str = "leak") -> Plant:
    return lambda world, seed: world.with_column(name, make(world, seed))


def _label(world: World) -> np.ndarray:
    return forward_return(world.bars)


def _future_volatility(world: World) -> np.ndarray:
    moves = returns_of(world.bars)
    return np.sqrt(np.mean([moved(world.bars, moves, lead) ** 2 for lead in range(1, HORIZON + 1)], axis=0))


def _with_noise(values: np.ndarray, world: World, seed: int, share: float) -> np.ndarray:
    return values + noise(world, seed, values, share)


def _mean_around(world: World, leads: range) -> np.ndarray:
    moves = returns_of(world.bars)
    return np.mean([moved(world.bars, moves, lead) for lead in leads], axis=0)


def _in_one_symbol(world: World, seed: int) -> np.ndarray:
    values = noise(world, seed, _label(world), 1.0)
    mine = world.bars.symbol_codes == 1
    return np.where(mine, _with_noise(_label(world), world, seed, 0.02), values)


def _early_half(world: World, seed: int) -> np.ndarray:
    early = world.bars.time_codes < 0.425 * world.bars.times_ns.size
    label = _label(world)
    return np.where(early, _with_noise(label, world, seed, 0.5), noise(world, seed, label, 1.1))


def _masked(world: World, seed: int) -> World:
    mask = noise(world, seed, _label(world), 4.0)
    return world.with_column("mask", mask).with_column("leak", _label(world) + mask)


def _scaled(stop_share: float) -> Callable[[World, int], np.ndarray]:
    def make(world: World, seed: int) -> np.ndarray:
        bars, out = world.bars, np.empty(world.bars.n_rows)
        for start, stop in zip(bars.symbol_offsets[:-1], bars.symbol_offsets[1:], strict=True):
            level = np.log(bars.values[3, start:stop])
            seen = level[: round(level.size * stop_share)]
            out[start:stop] = (level - seen.mean()) / seen.std()
        return out

    return make


def _scaled_to_range(world: World, seed: int) -> np.ndarray:
    level = np.log(world.bars.values[3]) + 1e-2 * world.bars.time_codes
    return (level - level.min()) / (level.max() - level.min())


def _builder(name: str, compute: Callable, lookback_bars: int = 1) -> Plant:
    """A registry in which a built-in feature of this name is computed so."""

    def plant(world: World, seed: int) -> World:
        features = world.config.features.model_copy(update={"builtin": True, "include": (name,)})
        entry = Feature(name, ("close",), lookback_bars, compute, "planted")
        return replace(world, config=world.config.model_copy(update={"features": features}), machinery=Machinery(features=(entry,)))

    return plant


def _early_end(world: World, seed: int) -> World:
    honest = TARGETS["forward_return"]

    def build(*arguments) -> Labels:
        labels = honest.build(*arguments)
        return Labels(labels.values, np.where(labels.end_codes > 0, labels.end_codes - 2, -1).astype(np.int32))

    return replace(world, machinery=Machinery(targets={**TARGETS, "forward_return": replace(honest, build=build)}))


def _ends_now(world: World, seed: int) -> World:
    def change(panel):
        ends = panel.label_end_codes.copy()
        code = panel.target_code(SUPPLIED_TARGET)
        ends[code] = np.where(ends[code] >= 0, panel.time_codes, -1)
        return replace(panel, label_end_codes=ends)

    return replace(world, change_panel=change)


@dataclass(frozen=True)
class OpenFold(Fold):
    """A fold that trains on all labelled rows, the tested ones among them."""

    def train_mask(self, time_codes, label_end_codes, lookback_start_codes=None):
        return (label_end_codes >= 0) & (label_end_codes < self.label_stop)


@dataclass(frozen=True)
class TouchingFold(Fold):
    """A fold that trains on all rows but the tested ones, without purge or gap."""

    def train_mask(self, time_codes, label_end_codes, lookback_start_codes=None):
        inside = (time_codes >= self.test_start) & (time_codes < self.test_stop)
        return (label_end_codes >= 0) & (label_end_codes < self.label_stop) & ~inside


def _folds_of(kind: type[Fold]) -> Plant:
    def plant(world: World, seed: int) -> World:
        def folds(stop, horizon_bars, lookback_bars, config):
            return tuple(kind(one.test_start, one.test_stop, None, 0, 0, stop) for one in make_folds(stop, horizon_bars, lookback_bars, config))

        return replace(world, machinery=Machinery(folds=folds))

    return plant


def _no_gap(world: World, seed: int) -> World:
    """K-fold training that goes on where the last test label ends, look-back or not."""
    splits = world.config.splits.model_copy(update={"scheme": "kfold", "embargo_bars": 0})

    def folds(stop, horizon_bars, lookback_bars, config):
        return tuple(replace(one, gap_codes=0, train_after_from=one.test_stop + horizon_bars) for one in make_folds(stop, horizon_bars, 0, config))

    return replace(world, config=world.config.model_copy(update={"splits": splits}), machinery=Machinery(folds=folds))


def _kfold(world: World, seed: int) -> World:
    return replace(world, config=world.config.model_copy(update={"splits": world.config.splits.model_copy(update={"scheme": "kfold"})}))


def _seen_all(world: World, seed: int) -> World:
    return replace(world, machinery=Machinery(preprocessing_windows=(lambda sample: (0, world.bars.times_ns.size - 1),)))


def _canary(world: World, seed: int) -> World:
    def change(selection):
        return selection.assign(consensus=np.where(selection["feature"] == "heavy", 0.4, selection["consensus"]))

    return replace(world, change_selection=change)


def _chosen_to(last: Callable[[World], int]) -> Plant:
    """A selection that says it saw rows and labels up to a time code."""
    return lambda world, seed: replace(world, change_selection=lambda selection: selection.assign(fit_start_code=0, fit_end_code=last(world)))


def _holdout_start(world: World) -> int:
    return world.panel().holdout_start_code


def _labels_changed(make: Callable[[World, int], np.ndarray]) -> Plant:
    return lambda world, seed: world.with_column(SUPPLIED_TARGET, make(world, seed))


def _small_moves_dropped(world: World, seed: int) -> np.ndarray:
    label = _label(world)
    return np.where(np.abs(label) < np.nanquantile(np.abs(label), 0.2), np.nan, label)


def _some_dropped(world: World, seed: int) -> np.ndarray:
    label = _label(world)
    return np.where(np.random.default_rng(seed).random(label.size) < 0.2, np.nan, label)


def _past_return(world: World, seed: int) -> np.ndarray:
    return moved(world.bars, _label(world), -HORIZON)


def _bars_changed(change: Callable[[World, np.ndarray, slice, slice, int], None]) -> Plant:
    """Change a copy of the bar values, given the rows of the first and of the second symbol."""

    def plant(world: World, seed: int) -> World:
        values, offsets = world.bars.values.copy(), world.bars.symbol_offsets
        change(world, values, slice(int(offsets[0]), int(offsets[1])), slice(int(offsets[1]), int(offsets[2])), seed)
        return replace(world, bars=replace(world.bars, values=values))

    return plant


def _repeat_segment(world: World, values: np.ndarray, first: slice, second: slice, seed: int) -> None:
    start = second.start
    values[:, start + 350 : start + 450] = values[:, start + 50 : start + 150]


def _copy_symbol(world: World, values: np.ndarray, first: slice, second: slice, seed: int) -> None:
    values[:4, second] = 1.7 * values[:4, first]


def _shift_symbol(by: int) -> Callable:
    def change(world: World, values: np.ndarray, first: slice, second: slice, seed: int) -> None:
        values[:4, second] = 1.7 * np.roll(values[:4, first], by, axis=1)
        values[:4, second.start : second.start + by] = values[:4, second.start + by, None]

    return change


def _near_symbol(world: World, values: np.ndarray, first: slice, second: slice, seed: int) -> None:
    """Two share classes: alike, and not the same."""
    steps = np.random.default_rng(seed).normal(size=second.stop - second.start) * 0.1 * np.std(np.diff(np.log(values[3, first])))
    values[:4, second] = 1.7 * values[:4, first] * np.exp(np.cumsum(steps))


def _fill_forward(share: float) -> Callable:
    def change(world: World, values: np.ndarray, first: slice, second: slice, seed: int) -> None:
        still = np.random.default_rng(seed).random(second.stop - second.start) < share
        for row in np.flatnonzero(still[1:]) + second.start + 1:
            values[:4, row] = values[:4, row - 1]

    return change


def _late_clock(world: World, values: np.ndarray, first: slice, second: slice, seed: int) -> None:
    """The second symbol's bars are stamped one bar late."""
    values[:, second.start + 1 : second.stop] = values[:, second.start : second.stop - 1].copy()


def _summer_clock(late: bool) -> Plant:
    """Hourly bars over two years, where one symbol's clock is an hour off in summer, or is not."""

    def plant(world: World, seed: int) -> World:
        hourly = made_up(seed, n_symbols=4, n_times=4_000, interval_minutes=60, loading=1.5)
        bars = replace(hourly.bars, times_ns=hourly.bars.times_ns[0] + np.arange(4_000, dtype=np.int64) * 240 * MINUTE_NS)
        months = bars.times_ns.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64) % 12 + 1
        values, part = bars.values.copy(), slice(4_000, 8_000)
        if late:
            moves = returns_of(bars)[part]
            moves = np.where(np.isin(months, range(4, 11)), np.r_[0.0, moves[:-1]], moves)
            close = 100 * np.exp(np.cumsum(moves))
            values[:4, part] = close * np.array([1.0, 1.001, 0.999, 1.0])[:, None]
        return replace(hourly, bars=replace(bars, values=values))

    return plant


def _from_the_future(world: World, seed: int) -> World:
    """The second symbol's last ten bars are dated years ahead of everything else."""
    bars = world.bars
    n = bars.times_ns.size
    ahead = bars.times_ns[-1] + np.arange(1, 11) * 1_440 * MINUTE_NS + 1_000 * 1_440 * MINUTE_NS
    codes = bars.time_codes.copy()
    last = int(bars.symbol_offsets[2])
    codes[last - 10 : last] = np.arange(n, n + 10)
    return replace(
        world,
        bars=replace(bars, times_ns=np.r_[bars.times_ns, ahead], time_codes=codes, session_codes=np.zeros(n + 10, np.int32)),
    )


def _volatility(world: World, leads: range) -> np.ndarray:
    moves = returns_of(world.bars)
    return np.std([moved(world.bars, moves, lead) for lead in leads], axis=0)


def _block_return(world: World, seed: int) -> np.ndarray:
    """The return of the block of 21 bars that a row lies in, on every row of it."""
    blocks = world.bars.symbol_codes * 1_000_000 + world.bars.time_codes // 21
    return pd.Series(returns_of(world.bars)).groupby(blocks).transform("sum").to_numpy()


def _noisy_in_one_symbol(world: World, seed: int) -> np.ndarray:
    mine = world.bars.symbol_codes == 1
    return np.where(mine, _with_noise(_label(world), world, seed, 0.5), noise(world, seed, _label(world), 1.1))


def _weak_in_one_symbol(world: World, seed: int) -> np.ndarray:
    mine = world.bars.symbol_codes == 1
    return np.where(mine, _with_noise(_label(world), world, seed, 4.0), noise(world, seed, _label(world), 4.1))


def _late_half(world: World, seed: int) -> np.ndarray:
    late = world.bars.time_codes > 0.425 * world.bars.times_ns.size
    return np.where(late, _with_noise(_label(world), world, seed, 0.3), noise(world, seed, _label(world), 1.1))


def _on_some_rows(world: World, seed: int, values: np.ndarray) -> np.ndarray:
    chosen = np.random.default_rng(seed).random(values.size) < 0.1
    return np.where(chosen, values, noise(world, seed, values, 1.0))


def _mean_of_symbol(world: World, values: np.ndarray) -> np.ndarray:
    return pd.Series(values).groupby(world.bars.symbol_codes).transform("mean").to_numpy()


def _mean_of_month(world: World, values: np.ndarray) -> np.ndarray:
    months = world.bars.times_ns[world.bars.time_codes].astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
    return pd.Series(values).groupby(world.bars.symbol_codes * 100_000 + months).transform("mean").to_numpy()


def _ranked_in_sample(world: World, seed: int) -> np.ndarray:
    return pd.Series(world.bars.values[3]).groupby(world.bars.symbol_codes).rank(pct=True, method="first").to_numpy()


def _ranked_so_far(world: World, seed: int) -> np.ndarray:
    level = pd.Series(world.bars.values[3])
    return level.groupby(world.bars.symbol_codes).expanding().rank(pct=True).to_numpy()


def _trailing(world: World, seed: int) -> np.ndarray:
    return _mean_around(world, range(-4, 1))


def _market(view) -> np.ndarray:
    return view.returns


SECOND = "second symbol"

ZOO: tuple[Leak, ...] = (
    Leak(
        "built-in feature that reads the next bar",
        "feature_look_ahead",
        _builder("log_return_1", lambda view: moved(view.bars, view.close, 1) / view.close),
        "log_return_1",
        twin=_builder("log_return_1", _market),
    ),
    Leak("built-in feature over the whole sample", "feature_look_ahead", _builder("log_return_2", lambda view: view.close / view.close.mean()), "log_return_2"),
    Leak("label that claims to be known two bars early", "label_look_ahead", _early_end, None),
    Leak(
        "column that is named after tomorrow",
        "forward_name",
        _column(lambda world, seed: noise(world, seed, _label(world), 1.0), "next_close"),
        "next_close",
        twin=_column(lambda world, seed: noise(world, seed, _label(world), 1.0), "forward_pe"),
    ),
    Leak("standardised by all rows of each symbol", "full_sample_scaling", _column(_scaled(1.0)), twin=_column(_scaled(0.5))),
    Leak(
        "scaled to the range of all rows",
        "full_sample_scaling",
        _column(_scaled_to_range),
        twin=_column(lambda world, seed: np.random.default_rng(seed).random(world.bars.n_rows)),
        on_packaged=False,
    ),
    Leak("rows of the training part again in the test part", "duplicate_rows", _bars_changed(_repeat_segment), SECOND),
    Leak("one series under two names", "symbol_copy", _bars_changed(_copy_symbol), SECOND, twin=_bars_changed(_near_symbol)),
    Leak("one series under two names, three bars late", "symbol_copy", _bars_changed(_shift_symbol(3)), SECOND),
    Leak("prices filled forward", "stale_bars", _bars_changed(_fill_forward(0.6)), SECOND, twin=_bars_changed(_fill_forward(0.05))),
    Leak("bars from the future", "future_bars", _from_the_future, SECOND),
    Leak("clock one bar late", "clock_offset", _bars_changed(_late_clock), SECOND),
    Leak("clock that follows another daylight saving rule", "clock_offset", _summer_clock(True), SECOND, twin=_summer_clock(False), on_packaged=False),
    Leak(
        "next bar's return under noise",
        "bars_ahead",
        _column(lambda world, seed: _with_noise(moved(world.bars, returns_of(world.bars), 1), world, seed, 0.7)),
        twin=_column(lambda world, seed: _with_noise(returns_of(world.bars), world, seed, 0.7)),
    ),
    Leak(
        "size of the third bar ahead",
        "bars_ahead",
        _column(lambda world, seed: np.abs(moved(world.bars, returns_of(world.bars), 3))),
        twin=_column(lambda world, seed: np.abs(returns_of(world.bars))),
    ),
    Leak("label known at its row's own close", "label_known_at_decision", _ends_now, None, SUPPLIED_TARGET),
    Leak("label that is the past return", "label_known_at_decision", _labels_changed(_past_return), None, SUPPLIED_TARGET),
    Leak(
        "label that starts a bar early",
        "label_known_at_decision",
        _labels_changed(lambda world, seed: moved(world.bars, _label(world), -1)),
        None,
        SUPPLIED_TARGET,
    ),
    Leak("folds without purge", "label_overlap", _folds_of(TouchingFold), None, not_on=("intraday_1h_us5",)),
    Leak("folds whose training looks back into the test", "lookback_overlap", _no_gap, None, twin=_kfold),
    Leak("no test set: trained rows are tested", "tested_rows_trained", _folds_of(OpenFold), None),
    Leak("shuffled labels learned by heart", "permuted_target", _folds_of(OpenFold), None, not_on=PANEL_NAMES),
    Leak("preprocessing fitted on all rows", "preprocessing_window", _seen_all, None),
    Leak("a feature selected behind a canary", "canaries_selected", _canary, "heavy"),
    Leak(
        "features chosen on all rows",
        "selection_window",
        _chosen_to(lambda world: world.bars.times_ns.size - 1),
        None,
        twin=_chosen_to(lambda world: _holdout_start(world) - 1),
    ),
    Leak(
        "small moves left out of the labels",
        "selective_labels",
        _labels_changed(_small_moves_dropped),
        None,
        SUPPLIED_TARGET,
        twin=_labels_changed(_some_dropped),
    ),
    Leak("the label itself", "target_copy", _column(lambda world, seed: _label(world)), twin=_column(_past_return)),
    Leak("the label of two rows later", "target_copy", _column(lambda world, seed: moved(world.bars, _label(world), 2))),
    Leak("a past label that is not yet known", "target_copy", _column(lambda world, seed: moved(world.bars, _label(world), -2))),
    Leak(
        "the class label as a feature",
        "target_copy",
        _column(lambda world, seed: world.column(CLASS_TARGET)),
        target=CLASS_TARGET,
        twin=_column(lambda world, seed: moved(world.bars, world.column(CLASS_TARGET), -HORIZON)),
    ),
    Leak("the label under a little noise", "near_copy", _column(lambda world, seed: _with_noise(_label(world), world, seed, 0.1))),
    Leak("the label bent and turned round", "near_copy", _column(lambda world, seed: -(np.tanh(20 * _label(world)) ** 3))),
    Leak("the return behind a class label", "near_copy", _column(lambda world, seed: _with_noise(_label(world), world, seed, 0.005)), target=CLASS_TARGET),
    Leak("the label in one symbol only", "near_copy", _column(_in_one_symbol)),
    Leak(
        "the label under as much noise",
        "single_feature_skill",
        _column(lambda world, seed: _with_noise(_label(world), world, seed, 0.8)),
        twin=_column(lambda world, seed: _with_noise(_label(world), world, seed, 4.0)),
    ),
    Leak(
        "volatility to come under noise",
        "single_feature_skill",
        _column(lambda world, seed: _with_noise(_future_volatility(world), world, seed, 0.15)),
        target=VOLATILITY_TARGET,
        twin=_column(lambda world, seed: moved(world.bars, _future_volatility(world), -HORIZON)),
    ),
    Leak("mean of bars around the row", "lead_lag", _column(lambda world, seed: _mean_around(world, range(-2, 3))), twin=_column(_trailing)),
    Leak(
        "the label of three rows later under noise", "lead_lag", _column(lambda world, seed: _with_noise(moved(world.bars, _label(world), 4), world, seed, 0.3))
    ),
    Leak("labels of the first half of time", "score_gap", _column(_early_half)),
    Leak("the label behind a mask", "dominance", _masked),
    Leak(
        "volatility of bars around the row",
        "later_bars",
        _column(lambda world, seed: _volatility(world, range(-5, 6))),
        twin=_column(lambda world, seed: _volatility(world, range(-10, 1))),
    ),
    Leak(
        "tomorrow's price level",
        "later_bars",
        _column(lambda world, seed: moved(world.bars, world.bars.values[3], 1)),
        twin=_column(lambda world, seed: world.bars.values[3]),
    ),
    Leak(
        "the month's return on each of its days",
        "later_bars",
        _column(lambda world, seed: _block_return(world, 0)),
        twin=_column(lambda world, seed: moved(world.bars, _block_return(world, 0), -21)),
    ),
    Leak(
        "missing where the label falls",
        "later_bars",
        _column(lambda world, seed: np.where(_label(world) < 0, np.nan, noise(world, seed, _label(world), 1.0))),
        twin=_column(lambda world, seed: np.where(noise(world, seed + 1, _label(world), 1.0) < 0, np.nan, noise(world, seed, _label(world), 1.0))),
    ),
    Leak(
        "label of ten bars under the name of five",
        "label_horizon",
        _labels_changed(lambda world, seed: forward_return(world.bars, 10)),
        None,
        SUPPLIED_TARGET,
        twin=_labels_changed(lambda world, seed: _label(world)),
    ),
    Leak("labels of one symbol under noise", "stretch_skill", _column(_noisy_in_one_symbol), twin=_column(_weak_in_one_symbol)),
    Leak("labels of the second half of time", "stretch_skill", _column(_late_half)),
    Leak(
        "labels on a tenth of the rows",
        "target_copy",
        _column(lambda world, seed: _on_some_rows(world, seed, _label(world))),
        twin=_column(lambda world, seed: _on_some_rows(world, seed, _past_return(world, seed))),
    ),
    Leak(
        "mean label of the symbol",
        "target_encoding",
        _column(lambda world, seed: _mean_of_symbol(world, _label(world))),
        twin=_column(lambda world, seed: _mean_of_symbol(world, world.column("range"))),
    ),
    Leak("mean label of the symbol and month", "target_encoding", _column(lambda world, seed: _mean_of_month(world, _label(world)))),
    Leak("rank among all rows of the symbol", "full_sample_scaling", _column(_ranked_in_sample), twin=_column(_ranked_so_far)),
)
