"""Which of a job's rows are fitted, held back, cross-fitted and scored.

Belongs here: the cut of the time before the holdout into training's own parts. Does not: the folds that screening scores candidates on.

    0 ......... cross-fit blocks ......... oos_start ......... holdout_start ....
    |<----------- scored fit ------------->|<- out of sample ->|  never read
    |<------------------------ final fit --------------------->|

Every fit keeps its last rows back, purged, as the inner fold; every cut is purged by label interval and by `purge_bars`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from config.sections.splits import SplitConfig
from training_assets.families.base import FitError
from training_assets.panel.panel import Panel
from training_assets.samples import JobRows, Mask
from training_assets.splits import Fold, inner_split, oos_split

LEAST_SHARED = 0.5
"""Least share of a pair's out-of-sample rows that must lie in the pooled model's out-of-sample part for the blend to be scored there alone."""


@dataclass(frozen=True)
class FitWindow:
    """Masks over a job's rows: those a fit learns from, and those it stops early or chooses strengths by.

    `fold` : the block that both are clear of; None for the final fit, which has only the holdout after it.
    """

    train: Mask
    inner: Mask
    fold: Fold | None = None

    @property
    def both(self) -> Mask:
        return self.train | self.inner


def purge_codes(horizon_bars: int, config: SplitConfig) -> int:
    """Bars kept free before whatever a fit is held against: the label's reach, or more where the settings say so."""
    return max(horizon_bars, config.purge_bars or 0)


def oos_fold(rows: JobRows, holdout_start_code: int, oos_fraction: float, horizon_bars: int, config: SplitConfig, where: str) -> Fold:
    """The one fold that a job's models are scored on: the last share of its own time before the holdout.

    A symbol that starts late is thus cut later than one that was always there, and has both parts. Raises FitError where no label is known.
    """
    purge = purge_codes(horizon_bars, config)
    _, scored = oos_split(rows.time_codes, rows.label_end_codes, holdout_start_code, oos_fraction, purge)
    if not scored.any():
        raise FitError(
            f"{where}: 0 labelled rows < 1 before the holdout; the symbol starts too late to train on, leave it out or lower splits.holdout_fraction"
        )
    return Fold(int(rows.time_codes[scored].min()), holdout_start_code, None, purge, label_stop=holdout_start_code)


def blend_fold(own: Fold, pooled_start: int, rows: JobRows) -> Fold:
    """The fold that a blend is scored on: where the pair's own begins before the pooled model's, the part that both have, if that is most of it.

    On bars scattered over the calendar the two begin a few bars apart, and what the pooled model said before its own part came in part from fits that
    know labels after the pair's. A symbol that ends before the others keeps its own fold.

    Parameters
    ----------
    own : as `oos_fold` cuts it from the pair's rows. pooled_start : first time code of the pooled model's.
    """
    shared = replace(own, test_start=max(own.test_start, pooled_start))
    n_shared, n_own = (int(fold.test_mask(rows.time_codes, rows.label_end_codes).sum()) for fold in (shared, own))
    return shared if n_shared > n_own * LEAST_SHARED else own


@dataclass(frozen=True)
class JobCuts:
    """The cuts that every plain model of a job shares.

    `fold` : what the models are scored on. `scored` : the window of the fit that is scored, and the rows it is scored on. `final` : the window of
    the fit for keeps.
    """

    fold: Fold
    scored: tuple[FitWindow, Mask]
    final: FitWindow


def job_cuts(rows: JobRows, holdout_start_code: int, oos_fraction: float, horizon_bars: int, config: SplitConfig, where: str) -> JobCuts:
    """Cut a job's rows once for all its families. Raises FitError as `oos_fold`, `scored_part` and `fit_window` do."""
    fold = oos_fold(rows, holdout_start_code, oos_fraction, horizon_bars, config, where)
    return JobCuts(fold, scored_part(rows, fold, config, where), fit_window(rows, rows.usable, fold.purge_codes, config, where))


def walk_forward_blocks(start_code: int, stop_code: int, n_blocks: int, min_train_fraction: float, horizon_bars: int, config: SplitConfig) -> tuple[Fold, ...]:
    """Consecutive test blocks over [start_code, stop_code) after a first share that only trains; each trains on the past alone."""
    first = start_code + round((stop_code - start_code) * min_train_fraction)
    edges = np.linspace(first, stop_code, n_blocks + 1).round().astype(int)
    purge = purge_codes(horizon_bars, config)
    return tuple(Fold(int(start), int(stop), None, purge) for start, stop in pairwise(edges) if stop > start)


def longest_lookback(panel: Panel, features: Iterable[str]) -> int:
    """Bars that some features see together, those they lag behind included."""
    wanted = set(features)
    return max((info.lookback_bars + info.lag_bars for info in panel.feature_infos if info.name in wanted), default=0)


def cross_fit_folds(scored: Fold, n_blocks: int, lookback_bars: int, config: SplitConfig) -> tuple[Fold, ...]:
    """Folds over all the time before the scored one, from whose models a pooled job predicts every row out of sample, for blends.

    The first share of time has no past to train on: it is predicted from what follows it, clear of labels, look-back and embargo. That serves the
    local part's fit alone, never a score. The blocks after it are walk-forward. `lookback_bars` : of the features that are fitted (`longest_lookback`).
    """
    stop, purge = scored.test_start, scored.purge_codes
    blocks = walk_forward_blocks(0, stop, n_blocks, config.min_train_fraction, purge, config)
    first = blocks[0].test_start
    return (_between(0, first, stop, purge, lookback_bars, config), *blocks)


def strength_folds(start_code: int, stop_code: int, n_folds: int, horizon_bars: int, lookback_bars: int, config: SplitConfig) -> tuple[Fold, ...]:
    """K-fold blocks over [start_code, stop_code), purged and embargoed on both sides, that the strength of a blend is chosen on.

    Not walk-forward: a strength is one number for all time, and each block tests it on a local model fitted on nearly as much as the final one.
    `lookback_bars` : of the features of both parts, since the local one is fitted on top of what the pooled one says.
    """
    edges = np.linspace(start_code, stop_code, n_folds + 1).round().astype(int)
    purge = purge_codes(horizon_bars, config)
    return tuple(_between(int(start), int(stop), stop_code, purge, lookback_bars, config) for start, stop in pairwise(edges) if stop > start)


def _between(start: int, stop: int, label_stop: int, purge: int, lookback_bars: int, config: SplitConfig) -> Fold:
    """A test block that is also trained on from after it, clear of its labels, the features' look-back, and the embargo."""
    gap = lookback_bars + config.embargo_bars
    return Fold(start, stop, stop + purge + gap, purge, gap, label_stop=label_stop)


def fit_window(rows: JobRows, allowed: Mask, purge: int, config: SplitConfig, where: str, fold: Fold | None = None) -> FitWindow:
    """Cut allowed rows into training and inner rows.

    Parameters
    ----------
    allowed : shape (n_rows,), usable rows that the fit may know the labels of.
    purge : bars kept free before the inner rows (`purge_codes`).
    where : what the fit is, for the message.
    fold : the block that `allowed` is clear of.

    Raises
    ------
    FitError
        Fewer than `splits.min_train_rows` training rows, or no inner row.
    """
    train, inner = inner_split(rows.time_codes, rows.label_end_codes, allowed, config.inner_fraction, purge)
    n_train, n_inner = int(train.sum()), int(inner.sum())
    if n_train < config.min_train_rows or n_inner < 1:
        raise FitError(
            f"{where}: {n_train} training rows < {config.min_train_rows} (splits.min_train_rows) or {n_inner} inner rows < 1; "
            "the symbol's history before the out-of-sample part is too short: give it more, or lower training.oos_fraction"
        )
    return FitWindow(train, inner, fold)


def scored_part(rows: JobRows, fold: Fold, config: SplitConfig, where: str) -> tuple[FitWindow, Mask]:
    """The rows of a fit that is scored on a fold, and the rows it is scored on.

    Raises
    ------
    FitError
        Too few rows to fit on, or none to score: a model without an out-of-sample score is not made.
    """
    allowed = rows.usable & fold.train_mask(rows.time_codes, rows.label_end_codes)
    window = fit_window(rows, allowed, fold.purge_codes, config, where, fold)
    scored = rows.usable & fold.test_mask(rows.time_codes, rows.label_end_codes)
    if not scored.any():
        raise FitError(f"{where}: 0 labelled rows < 1 in the out-of-sample part before the holdout; the symbol's history ends too early to score a model on it")
    return window, scored


def optional_part(rows: JobRows, fold: Fold, config: SplitConfig, where: str) -> tuple[FitWindow, Mask] | None:
    """As `scored_part`, or None where there are too few rows on either side."""
    try:
        return scored_part(rows, fold, config, where)
    except FitError:
        return None
