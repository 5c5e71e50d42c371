"""The scoring cascade: closed-form ridge for every pair, small boosted trees for what survives or is audited.

Belongs here: which pairs are fitted by which screen. Does not: the fits (`target_ridges`, `gbm_screen`), how predictions of several families become one
(`sides`), their scores (`side_scores`), or decisions.

A side's score is that of the equal-weight mean of its families' standardised predictions, so no family is picked after the fact. A pair that
the closed form refuses (p above `scoring.screen_max_p`) keeps its closed-form score; since a reported p below that bound then needs the
ensemble's own p to be below it, the cascade does not inflate the error rate.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.schema import Config
from resources.process_limits import release_unused_memory
from resources.worker_pool import default_workers
from routing_assets.contracts import ScreenOutcome
from routing_assets.evidence.gbm_screen import GbmAnswer, GbmItem, GbmSetting, run_items
from routing_assets.evidence.ridge_screen import RidgePredictions
from routing_assets.evidence.side_scores import SideScores, score_sides
from routing_assets.evidence.sides import SidePredictions, Trees, standardised_sides, with_trees
from routing_assets.evidence.target_ridges import ridge_of_stage, ridges_of_targets, target_folds_of, targets_that_share_sums
from routing_assets.evidence.told import Told, unheard
from training_assets.panel.panel import Panel, TargetInfo
from training_assets.splits import Fold

# Predictions of as many targets are held together as keep their rows below this; the rest follow.
MAX_ROWS_AT_ONCE = 20_000_000


@dataclass(frozen=True)
class TargetScores:
    """What the cascade found of one target; arrays of shape (n_symbols,).

    `gbm_fitted` and `gbm_failed` say where local boosted trees were fitted or could not be, `gbm_pooled` whether the pooled side has them;
    `screen_outcomes` hold a `ScreenOutcome`, None where the closed form has no score or no trees are tried; `n_labelled` counts labelled rows before
    the holdout.
    """

    info: TargetInfo
    sides: SideScores
    gbm_fitted: NDArray[np.bool_]
    gbm_failed: NDArray[np.bool_]
    gbm_pooled: bool
    screen_outcomes: NDArray[np.object_]
    n_labelled: NDArray[np.int64]


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
    for names in targets_that_share_sums(panel, features):
        codes = panel.feature_codes(tuple(features[names[0]]))
        ridges |= ridges_of_targets(panel, names, codes, folds[names[0]], config)
    release_unused_memory()  # of the sums, several times what is left of them
    screened = {name: _screen(panel, name, standardised_sides(ridge), config) for name, ridge in ridges.items()}
    trees = _fit_trees(panel, screened, ridges, features, folds, config, told)
    for name, screen in screened.items():
        yield _final_scores(panel, name, ridges.pop(name), screen, trees.pop(name), config)


@dataclass(frozen=True)
class _Screened:
    """What the closed form leaves open: its own scores, and which sides go on to boosted trees."""

    scores: SideScores
    pooled: bool
    outcomes: NDArray[np.object_]

    @property
    def local(self) -> NDArray[np.bool_]:
        """Shape (n_symbols,), True where boosted trees are fitted on the symbol alone."""
        return np.asarray((self.outcomes == ScreenOutcome.KEPT) | (self.outcomes == ScreenOutcome.AUDITED))


def _screen(panel: Panel, name: str, sides: SidePredictions, config: Config) -> _Screened:
    scores = score_sides(panel, panel.target_infos[panel.target_code(name)], sides, config)
    bound, p_values = config.scoring.screen_max_p, scores.local.p_value
    outcomes = np.full(p_values.size, None, object)
    if "LightGBM" not in config.scoring.families:
        return _Screened(scores, False, outcomes)
    drawn = np.random.default_rng([config.seed, panel.target_code(name), 5]).random(p_values.size) < config.scoring.audit_fraction
    with np.errstate(invalid="ignore"):
        survives = p_values <= bound
        outcomes[p_values > bound] = ScreenOutcome.REFUSED
    outcomes[survives] = ScreenOutcome.KEPT
    outcomes[drawn & (outcomes == ScreenOutcome.REFUSED)] = ScreenOutcome.AUDITED
    pooled = bool(np.nan_to_num(scores.cross_sectional.p_value[0], nan=1.0) <= bound or survives.any())
    return _Screened(scores, pooled, outcomes)


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
    scores = score_sides(panel, info, trees.joined(standardised_sides(ridge)), config) if trees else screen.scores
    failed = screen.local & ~trees.of_symbols
    return TargetScores(info, scores, trees.of_symbols, failed, trees.pooled is not None, screen.outcomes, _labelled_rows(panel, name))


def _labelled_rows(panel: Panel, target: str) -> NDArray[np.int64]:
    """Shape (n_symbols,): rows whose label is known before the holdout."""
    ends = panel.label_end_codes[panel.target_code(target)]
    usable = (ends >= 0) & (ends < panel.holdout_start_code)
    return np.add.reduceat(np.r_[usable.astype(np.int64), 0], panel.symbol_offsets[:-1]) * (np.diff(panel.symbol_offsets) > 0)


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
    for names in targets_that_share_sums(panel, features):
        codes = panel.feature_codes(tuple(features[names[0]]))
        earlier = target_folds_of(panel, names[0], features[names[0]], config)
        last = Fold(panel.holdout_start_code, n_times, None, earlier[0].purge_codes)
        # Walk-forward windows are nested: the earlier ones choose penalties and strengths for the last, as they do for each other.
        folds = (*earlier, last) if earlier[0].train_after_from is None else (last,)
        for name, ridge in ridges_of_targets(panel, names, codes, folds, config).items():
            held = ridge_of_stage(ridge, len(folds) - 1)
            items = [GbmItem(name, None, 0)] * trees[name].pooled + [GbmItem(name, int(symbol), None) for symbol in np.flatnonzero(trees[name].local)]
            setting = GbmSetting(config, {name: (last,)}, {name: codes})
            fitted = FittedTrees(np.zeros(len(panel.symbols), bool))
            for answer in run_items(panel, setting, items, config.resources.workers or default_workers()):
                fitted.take(answer, held)
            yield panel.target_infos[panel.target_code(name)], fitted.joined(standardised_sides(held))
