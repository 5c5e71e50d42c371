"""The scoring cascade: closed-form ridge for every pair, small boosted trees for what survives or is audited.

Belongs here: which rows and pairs are fitted by which screen, and the scores of the pooled, local and blended sides on the same rows. Does not:
the fits (`ridge_screen`, `gbm_screen`), how predictions of several families become one (`sides`), statistics (`training_assets.metrics`), or decisions.

A side's score is that of the equal-weight mean of its families' standardised predictions, so no family is picked after the fact. A pair that
the closed form refuses (p above `scoring.screen_max_p`) keeps its closed-form score; since a reported p below that bound then needs the
ensemble's own p to be below it, the cascade does not inflate the error rate.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from config.schema import Config
from config.sections.base import TaskType
from resources.process_limits import release_unused_memory
from resources.worker_pool import default_workers
from routing_assets.evidence.gbm_screen import GbmAnswer, GbmItem, GbmSetting, run_items
from routing_assets.evidence.ridge_screen import KINDS, RidgePredictions, ridge_predictions
from routing_assets.evidence.sides import SidePredictions, Trees, standardised_sides, with_trees
from routing_assets.evidence.stages import nested_stages
from routing_assets.evidence.told import Told, unheard
from training_assets.contributions import Contributions, centred_contributions
from training_assets.metrics import METRIC_NAMES, SCORE_NULLS, score_pooled
from training_assets.panel.panel import Panel, TargetInfo
from training_assets.splits import Fold, make_folds
from training_assets.uncertainty import ScoreTable, combine_segments, one_sided_bound, score_clustered_by_time, score_groups, table_from_influence

Floats = NDArray[np.float64]

# Predictions of as many targets are held together as keep their rows below this; the rest follow.
MAX_ROWS_AT_ONCE = 20_000_000


@dataclass(frozen=True)
class TargetScores:
    """Scores of one target's sides; tables of shape (n_symbols,), `cross_sectional` of shape (1,)."""

    info: TargetInfo
    cross_sectional_metric: str
    symbol_metric: str
    null: float
    cross_sectional: ScoreTable
    local_mean: ScoreTable  # (1,), the local models' mean score over all symbols
    local: ScoreTable
    pooled_on_symbol: ScoreTable
    pooled_on_symbol_upper: Floats
    blended: ScoreTable
    local_minus_pooled: ScoreTable
    gbm_fitted: NDArray[np.bool_]  # (n_symbols,), local trees fitted
    gbm_failed: NDArray[np.bool_]
    gbm_pooled: bool
    audited: NDArray[np.bool_]  # (n_symbols,), carried through though refused
    n_labelled: NDArray[np.int64]  # (n_symbols,), labelled rows before the holdout


def score_targets(
    panel: Panel, features: Mapping[str, Sequence[str]], config: Config, folds: Mapping[str, Sequence[Fold]] | None = None, told: Told = unheard
) -> Iterator[TargetScores]:
    """Score every (target, symbol) pair out of sample.

    Parameters
    ----------
    features : the features each target may use; its keys are the targets that are scored.
    folds : folds by target; None makes those of `config.splits`, all before the holdout.
    told : hears how many of the boosted trees that the closed form leaves open are fitted; they take nearly all of the time.
    """
    names = [name for name in panel.target_names if name in features]
    folds_of = {name: tuple(folds[name]) if folds else target_folds_of(panel, name, features[name], config) for name in names}
    at_once = max(1, MAX_ROWS_AT_ONCE // max(panel.n_rows, 1))
    for start in range(0, len(names), at_once):
        yield from _score_some(panel, {name: features[name] for name in names[start : start + at_once]}, folds_of, config, told)


def _score_some(panel: Panel, features: Mapping[str, Sequence[str]], folds: Mapping[str, Sequence[Fold]], config: Config, told: Told) -> Iterator[TargetScores]:
    # Predictions are held as the closed form gives them; in units of their training rows they are five times as large, so one target's at a time.
    ridges: dict[str, RidgePredictions] = {}
    for names in _groups(panel, features):
        codes = panel.feature_codes(tuple(features[names[0]]))
        ridges |= _ridge_of_group(panel, names, codes, folds[names[0]], config)
    release_unused_memory()  # of the sums, several times what is left of them
    screened = {name: _screen(panel, name, standardised_sides(ridge), config) for name, ridge in ridges.items()}
    trees = _fit_trees(panel, screened, ridges, features, folds, config, told)
    for name, screen in screened.items():
        yield _final_scores(panel, name, ridges.pop(name), screen, trees.pop(name), config)


@dataclass(frozen=True)
class _Screened:
    """What the closed form leaves open: its own tables, and which sides go on to boosted trees."""

    tables: "_Tables"
    pooled: bool
    local: NDArray[np.bool_]
    audited: NDArray[np.bool_]


def _screen(panel: Panel, name: str, sides: SidePredictions, config: Config) -> _Screened:
    tables = _tables(panel, panel.target_infos[panel.target_code(name)], sides, config)
    bound, n_symbols = config.scoring.screen_max_p, len(panel.symbols)
    with np.errstate(invalid="ignore"):
        survives = tables.local.p_value <= bound
    draw = np.random.default_rng([config.seed, panel.target_code(name), 5]).random(n_symbols)
    audited = np.isfinite(tables.local.p_value) & ~survives & (draw < config.scoring.audit_fraction)
    use_trees = "LightGBM" in config.scoring.families
    pooled = use_trees and bool(np.nan_to_num(tables.cross_sectional.p_value[0], nan=1.0) <= bound or survives.any())
    return _Screened(tables, pooled, (survives | audited) & use_trees, audited & use_trees)


def _fit_trees(
    panel: Panel,
    screened: Mapping[str, _Screened],
    ridges: Mapping[str, RidgePredictions],
    features: Mapping[str, Sequence[str]],
    folds: Mapping[str, Sequence[Fold]],
    config: Config,
    told: Told,
) -> dict[str, "FittedTrees"]:
    items = []
    for name, screen in screened.items():
        items += [GbmItem(name, None, number) for number in range(len(folds[name]))] if screen.pooled else []
        items += [GbmItem(name, int(symbol), None) for symbol in np.flatnonzero(screen.local)]
    setting = GbmSetting(config, dict(folds), {name: panel.feature_codes(tuple(features[name])) for name in screened})
    fitted = {name: FittedTrees(np.zeros(len(panel.symbols), bool)) for name in screened}
    for done, answer in enumerate(run_items(panel, setting, items, config.resources.workers or default_workers()), start=1):
        fitted[answer.item.target].take(answer, ridges[answer.item.target])
        told(done, len(items), answer.item.target)
    return fitted


def _final_scores(panel: Panel, name: str, ridge: RidgePredictions, screen: _Screened, trees: "FittedTrees", config: Config) -> TargetScores:
    info = panel.target_infos[panel.target_code(name)]
    tables = _tables(panel, info, trees.joined(standardised_sides(ridge)), config) if trees else screen.tables
    return _assembled(panel, name, info, tables, trees.of_symbols, screen.local & ~trees.of_symbols, trees.pooled is not None, screen.audited)


@dataclass
class FittedTrees:
    """A target's boosted trees, filled in as they are fitted; `of_symbols` (n_symbols,) marks the local ones."""

    of_symbols: NDArray[np.bool_]
    pooled: Trees | None = None
    local: Trees | None = None

    def __bool__(self) -> bool:
        return self.pooled is not None or self.local is not None

    def take(self, answer: GbmAnswer, ridge: RidgePredictions) -> None:
        """Put one answer in its place beside the closed form's predictions."""
        symbol, fold = answer.item.symbol, answer.item.fold
        if symbol is None:
            into = self.pooled = self.pooled or Trees.none(ridge)
        else:
            into = self.local = self.local or Trees.none(ridge)
            self.of_symbols[symbol] = True
        into.predictions[np.searchsorted(ridge.rows, answer.rows)] = answer.predictions
        symbols = slice(None) if symbol is None else slice(symbol, symbol + 1)
        folds = slice(None) if fold is None else slice(fold, fold + 1)
        into.centres[symbols, folds], into.sizes[symbols, folds] = answer.centres, answer.sizes

    def joined(self, sides: SidePredictions) -> SidePredictions:
        """The sides with these trees in them."""
        return with_trees(sides, self.pooled, self.local)


@dataclass(frozen=True)
class TreeSides:
    """Which sides of a target boosted trees take part in; `local` has shape (n_symbols,)."""

    pooled: bool
    local: NDArray[np.bool_]


def predict_holdout(
    panel: Panel, features: Mapping[str, Sequence[str]], trees: Mapping[str, TreeSides], config: Config
) -> Iterator[tuple[TargetInfo, SidePredictions]]:
    """Predict every target's holdout by models of the time before it; for the routing report alone.

    Parameters
    ----------
    features : the features each target may use, as for `score_targets`.
    trees : which sides boosted trees take part in, by target. Given, not found here: the holdout must not choose its own models.

    Yields
    ------
    A target and its sides' predictions on the labelled rows of the holdout, all of one fold.
    """
    n_times = panel.times_ns.size
    for names in _groups(panel, features):
        codes = panel.feature_codes(tuple(features[names[0]]))
        earlier = target_folds_of(panel, names[0], features[names[0]], config)
        last = Fold(panel.holdout_start_code, n_times, None, earlier[0].purge_codes)
        # Walk-forward windows are nested: the earlier ones choose penalties and strengths for the last, as they do for each other.
        folds = (*earlier, last) if earlier[0].train_after_from is None else (last,)
        for name, ridge in _ridge_of_group(panel, names, codes, folds, config).items():
            held = _of_stage(ridge, len(folds) - 1)
            items = [GbmItem(name, None, 0)] * trees[name].pooled + [GbmItem(name, int(symbol), None) for symbol in np.flatnonzero(trees[name].local)]
            setting = GbmSetting(config, {name: (last,)}, {name: codes})
            fitted = FittedTrees(np.zeros(len(panel.symbols), bool))
            for answer in run_items(panel, setting, items, config.resources.workers or default_workers()):
                fitted.take(answer, held)
            yield panel.target_infos[panel.target_code(name)], fitted.joined(standardised_sides(held))


def _of_stage(ridge: RidgePredictions, stage: int) -> RidgePredictions:
    """The rows of one stage, counted as stage 0."""
    part, one = ridge.stages == stage, slice(stage, stage + 1)
    of_rows = {name: getattr(ridge, name)[part] for name in ("rows", "symbols", *KINDS)}
    of_stages = {name: getattr(ridge, name)[:, one] for name in ("centres", "sizes", "label_centres")}
    return replace(ridge, **of_rows, **of_stages, stages=ridge.stages[part] - stage)


def target_folds_of(panel: Panel, target: str, features: Sequence[str], config: Config) -> tuple[Fold, ...]:
    """The folds a target is scored on before the holdout."""
    info = panel.target_infos[panel.target_code(target)]
    wanted = set(features)
    lookback = max((one.lookback_bars + one.lag_bars for one in panel.feature_infos if one.name in wanted), default=0)
    return make_folds(panel.holdout_start_code, info.horizon_bars, lookback, config.splits)


def label_columns(panel: Panel, target: str) -> NDArray[np.float32]:
    """Shape (n_rows, n_columns): the label, or one indicator a class; NaN where missing."""
    labels, classes = np.asarray(panel.labels[panel.target_code(target)]), _indicated(panel, target)
    if not classes:
        return labels[:, None]
    return np.where(np.isfinite(labels)[:, None], labels[:, None] == np.arange(len(classes), dtype=np.float32), np.float32(np.nan)).astype(np.float32)


def _indicated(panel: Panel, target: str) -> tuple[float, ...]:
    """The classes that have an indicator each; none where the label itself is the one column."""
    info = panel.target_infos[panel.target_code(target)]
    return info.classes if info.task_type is TaskType.MULTICLASS_CLASSIFICATION else ()


def _groups(panel: Panel, features: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Targets that share features, horizon and missing labels share one set of Gram sums."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name in panel.target_names:
        if name not in features:
            continue
        code = panel.target_code(name)
        key = (tuple(features[name]), panel.target_infos[code].horizon_bars, hashlib.sha256(panel.label_end_codes[code].tobytes()).hexdigest())
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def _ridge_of_group(panel: Panel, names: Sequence[str], codes: NDArray[np.int64], folds: Sequence[Fold], config: Config) -> dict[str, RidgePredictions]:
    columns = np.hstack([label_columns(panel, name) for name in names])
    ends = panel.label_end_codes[panel.target_code(names[0])]
    nested = [folds] if all(fold.train_after_from is None for fold in folds) else [[fold] for fold in folds]
    parts = []
    for some in nested:
        stages = nested_stages(some, panel.time_codes, ends, config.splits.inner_fraction)
        parts.append(ridge_predictions(panel, columns, codes, stages, config.scoring.shrinkage_grid, config.splits.min_train_rows))
    together = parts[0] if len(parts) == 1 else _in_row_order(parts)
    widths = np.cumsum([0, *(len(_indicated(panel, name)) or 1 for name in names)])
    return {name: _columns_of(together, slice(widths[i], widths[i + 1])) for i, name in enumerate(names)}


def _in_row_order(parts: Sequence[RidgePredictions]) -> RidgePredictions:
    """The passes of k-fold, one tested stage each, as one."""
    order = np.argsort(np.concatenate([one.rows for one in parts]), kind="stable")
    stages = np.concatenate([one.stages + number for number, one in enumerate(parts)])[order]
    of_rows = {name: np.concatenate([getattr(one, name) for one in parts])[order] for name in ("rows", "symbols", *KINDS)}
    of_stages = {name: np.concatenate([getattr(one, name) for one in parts], axis=1) for name in ("centres", "sizes", "label_centres")}
    return RidgePredictions(stages=stages, **of_rows, **of_stages, strengths=parts[-1].strengths)


def _columns_of(ridge: RidgePredictions, columns: slice) -> RidgePredictions:
    """One target's columns, without a copy."""
    return replace(ridge, **{name: getattr(ridge, name)[..., columns] for name in (*KINDS, "centres", "sizes", "label_centres")})


@dataclass(frozen=True)
class _Tables:
    metric: str
    cross_sectional: ScoreTable
    local_mean: ScoreTable
    local: ScoreTable
    pooled: ScoreTable
    pooled_upper: Floats
    blended: ScoreTable
    difference: ScoreTable


def _tables(panel: Panel, info: TargetInfo, sides: SidePredictions, config: Config) -> _Tables:
    labels = np.asarray(panel.labels[panel.target_code(info.name)], np.float64)[sides.rows]
    symbols = panel.symbol_codes[sides.rows].astype(np.int64)
    n_symbols, n_folds = len(panel.symbols), int(sides.folds.max()) + 1 if sides.folds.size else 1
    segments = symbols * n_folds + sides.folds
    scoring = config.scoring
    null = SCORE_NULLS[info.task_type]

    def parts_of(deviations: Floats) -> Contributions:
        return contributions_where_known(info.task_type, deviations, labels, sides.label_centres, segments, n_symbols * n_folds)

    def table_of(parts: Contributions) -> ScoreTable:
        return score_groups(parts, segments, symbols, n_symbols, info.horizon_bars, null, scoring.confidence, scoring.hac_horizons)

    pooled, local, blended = (parts_of(one) for one in (sides.pooled, sides.local, sides.blended))
    known = np.isfinite(sides.pooled_everywhere).all(axis=1)
    cross, metric = score_pooled(
        info.task_type,
        _flat(info, sides.pooled_everywhere[known]),
        labels[known],
        panel.time_codes[sides.rows][known],
        sides.folds[known],
        info.horizon_bars,
        scoring.confidence,
        scoring.hac_horizons,
        scoring.min_symbols_per_timestamp,
    )
    if metric != "rank_ic_by_time":
        # Ranks within a fold would centre on the fold's own means, where random walks score above chance (`centred_contributions`).
        cross = score_clustered_by_time(pooled, segments, panel.time_codes[sides.rows], info.horizon_bars, null, scoring.confidence, scoring.hac_horizons)
    pooled_table = table_of(pooled)
    difference = _paired_difference(local, pooled, segments, symbols, n_symbols, info.horizon_bars, config)
    local_mean = score_clustered_by_time(local, segments, panel.time_codes[sides.rows], info.horizon_bars, null, scoring.confidence, scoring.hac_horizons)
    upper = one_sided_bound(pooled_table, config.routing.harmful_confidence)
    return _Tables(metric, cross, local_mean, table_of(local), pooled_table, upper, table_of(blended), difference)


def contributions_where_known(
    task_type: TaskType, deviations: Floats, labels: Floats, label_centres: Floats, segments: NDArray[np.int64], n_segments: int
) -> Contributions:
    """Contributions of the rows that have a prediction; NaN on the others."""
    known = np.isfinite(deviations).all(axis=1)
    parts = centred_contributions(task_type, deviations[known], labels[known], label_centres[known], segments[known], n_segments)
    influence = np.full(labels.size, np.nan)
    influence[known] = parts.influence
    return Contributions(parts.scores, influence, parts.counts)


def _paired_difference(
    local: Contributions, pooled: Contributions, segments: NDArray[np.int64], symbols: NDArray[np.int64], n_symbols: int, horizon_bars: int, config: Config
) -> ScoreTable:
    """Local minus pooled on the rows where both are scored, with the interval of the difference itself.

    The intervals of a target's symbols hold together (Bonferroni): that the best of many differences is above zero says little.
    """
    both = np.isfinite(local.influence) & np.isfinite(pooled.influence)
    one = Contributions(local.scores - pooled.scores, np.where(both, local.influence - pooled.influence, np.nan), local.counts)
    scores, influence, used = combine_segments(one, segments, symbols, n_symbols)
    together = 1.0 - (1.0 - config.scoring.confidence) / max(int(np.isfinite(scores).sum()), 1)
    return table_from_influence(scores, influence, used, symbols, n_symbols, horizon_bars, 0.0, together, config.scoring.hac_horizons)


def _flat(info: TargetInfo, predictions: Floats) -> Floats:
    return predictions if info.task_type is TaskType.MULTICLASS_CLASSIFICATION else predictions[:, 0]


def _assembled(
    panel: Panel,
    name: str,
    info: TargetInfo,
    final: _Tables,
    fitted: NDArray[np.bool_],
    failed: NDArray[np.bool_],
    gbm_pooled: bool,
    audited: NDArray[np.bool_],
) -> TargetScores:
    ends = panel.label_end_codes[panel.target_code(name)]
    usable = (ends >= 0) & (ends < panel.holdout_start_code)
    n_labelled = np.add.reduceat(np.r_[usable.astype(np.int64), 0], panel.symbol_offsets[:-1]) * (np.diff(panel.symbol_offsets) > 0)
    return TargetScores(
        info,
        final.metric,
        METRIC_NAMES[info.task_type],
        SCORE_NULLS[info.task_type],
        final.cross_sectional,
        final.local_mean,
        final.local,
        final.pooled,
        final.pooled_upper,
        final.blended,
        final.difference,
        fitted,
        failed,
        gbm_pooled,
        audited,
        n_labelled,
    )
