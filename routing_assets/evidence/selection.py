"""Which features a target's models are given: a consensus of four selectors that has to beat random canaries.

Belongs here: the consensus, the bound it is held against, the table. Does not: the selectors (`selectors`), the canaries
(`selection_sample`), selection inside a scoring fold (`gbm_screen`), leakage.

Source of the idea of a shadow of each feature as the bound: Kursa & Rudnicki 2010 (Boruta). Everything here sees rows before the holdout only.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.schema import Config
from routing_assets.evidence.selection_sample import selection_sample
from routing_assets.evidence.selectors import SELECTORS, Selectors
from routing_assets.evidence.told import Told, unheard
from training_assets.panel.panel import Panel
from training_assets.splits import inner_split, pre_holdout_mask
from training_assets.windows import purge_codes

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_ROWS = 20_000
N_MOVES = 100
# The best of c canaries is beaten by about n / (c + 1) of n noise columns, so the bound goes on from it: to where the canaries' own tail, taken
# as exponential, lets this many noise columns of a target pass.
EXPECTED_FALSE_FEATURES = 0.5
# A target that has labels on fewer than this share of the rows that any target has is given a sample of its own.
SHARED_SAMPLE_SHARE = 0.5
# A pair is routed on what all allowed features say together, and features too weak to pass alone still help each other: a lone winner is not sent
# to train by itself.
FEWEST_FEATURES = 20
BEATS, LOSES, BEYOND, UNMEASURED = "beats the canaries", "does not beat the canaries", "beyond features.top_m", "not measured"
TOPPED_UP = f"does not beat the canaries; given as one of the best {FEWEST_FEATURES}, since fewer beat them"
SELECTION_COLUMNS = ("target", "feature", *SELECTORS, "consensus", "canary_bound", "rank", "selected", "given", "reason", "fit_start_code", "fit_end_code")


def select_features(panel: Panel, targets: Sequence[str], config: Config, told: Told = unheard) -> pd.DataFrame:
    """Score every feature for every target and mark the selected ones; `told` hears of each target.

    Returns
    -------
    One row a (target, feature), columns `SELECTION_COLUMNS`, best first within a target. Selector columns are in units of what
    chance gives (see `selectors.Selectors.evidence`); `consensus` is their mean; `canary_bound`, which a selected feature exceeds, is
    the best canary's consensus or, where that is higher, the level that the canaries' tail says noise does not reach. `given`, what the
    target's models see, are the selected features, topped up by rank to `FEWEST_FEATURES` where fewer are; both are at most `features.top_m`, and
    `reason` says why a feature is given or not. `fit_start_code`
    and `fit_end_code` are the first time code of the rows that the choice saw and the last one of their labels, for the audit to check. With
    `features.auto_select` off, or with fewer rows than `splits.min_train_rows`, every feature is selected and given, and nothing is measured (NaN, and -1).
    """
    usable = {target: pre_holdout_mask(panel.holdout_start_code, panel.label_end_codes[panel.target_code(target)]) for target in targets}
    measured = [target for target in targets if usable[target].sum() >= config.splits.min_train_rows]
    if not config.features.auto_select or not panel.feature_names:
        measured = []
    frames = {target: _unmeasured(panel, target) for target in targets}
    done: list[str] = []
    for group in _sample_groups(measured, usable):
        sample = selection_sample(panel, group, config.features.n_canaries, N_MOVES, MAX_ROWS, config.seed)
        selectors = Selectors.of(sample)
        for target in group:
            frames[target] = _measured(panel, target, selectors, config)
            done.append(target)
            told(len(done), len(measured), target)
    if not frames:
        return pd.DataFrame(columns=list(SELECTION_COLUMNS)).astype({"selected": bool, "given": bool})
    return pd.concat(list(frames.values()), ignore_index=True)


def given_features(selection: pd.DataFrame, target: str) -> tuple[str, ...]:
    """Features a target's models are given, best first."""
    rows = selection[(selection["target"] == target) & selection["given"].astype(bool)]
    return tuple(rows.sort_values("rank")["feature"])


def canary_bound(canaries: Floats, n_features: int) -> float:
    """Consensus that a feature has to exceed.

    Parameters
    ----------
    canaries : shape (n_canaries,), at least one.
    n_features : how many columns are held against the bound.
    """
    tail = float(np.log(max(n_features, 1) / EXPECTED_FALSE_FEATURES)) - 1.0
    return max(float(canaries.max()), float(canaries.mean() + tail * canaries.std()))


def _sample_groups(targets: Sequence[str], usable: dict[str, Mask]) -> list[list[str]]:
    if not targets:
        return []
    anywhere = np.logical_or.reduce([usable[target] for target in targets]).sum()
    shared = [target for target in targets if usable[target].sum() >= SHARED_SAMPLE_SHARE * anywhere]
    return [group for group in (shared, *([target] for target in targets if target not in shared)) if group]


def _measured(panel: Panel, target: str, selectors: Selectors, config: Config) -> pd.DataFrame:
    code = panel.target_code(target)
    rows = selectors.sample.rows
    ends = panel.label_end_codes[code][rows]
    known = pre_holdout_mask(panel.holdout_start_code, ends)
    info = panel.target_infos[code]
    fit, inner = inner_split(panel.time_codes[rows], ends, known, config.splits.inner_fraction, purge_codes(info.horizon_bars, config.splits))
    labels = np.where(known, np.asarray(panel.labels[code])[rows], np.float32(0.0)).astype(np.float32)
    evidence = selectors.evidence(labels, known, fit, inner, info, config.seed)
    consensus = evidence.mean(axis=0)
    n_features = selectors.sample.n_features
    bound = canary_bound(consensus[n_features:], n_features)
    frame = _frame(target, panel.feature_names, evidence[:, :n_features], consensus[:n_features], bound)
    seen = np.concatenate([panel.time_codes[rows][known], ends[known]])
    return _chosen(frame, config.features.top_m).assign(fit_start_code=int(seen.min()), fit_end_code=int(seen.max()))


def _chosen(frame: pd.DataFrame, top_m: int) -> pd.DataFrame:
    """The table of one target with `selected`, `given` and `reason`; its features are ranked by consensus."""
    beats, within = frame["consensus"] > frame["canary_bound"], frame["rank"] <= top_m
    wanted = beats | (frame["rank"] <= FEWEST_FEATURES)
    reasons = np.select([wanted & ~within, beats, wanted], [BEYOND, BEATS, TOPPED_UP], LOSES)
    return frame.assign(selected=beats & within, given=wanted & within, reason=reasons)


def _unmeasured(panel: Panel, target: str) -> pd.DataFrame:
    nothing = np.full(len(panel.feature_names), np.nan)
    return _frame(target, panel.feature_names, np.tile(nothing, (len(SELECTORS), 1)), nothing, np.nan).assign(
        selected=True, given=True, reason=UNMEASURED, fit_start_code=-1, fit_end_code=-1
    )


def _frame(target: str, names: Sequence[str], evidence: Floats, consensus: Floats, bound: float) -> pd.DataFrame:
    """Table of one target without its last columns, best first, equals by name."""
    columns = dict(zip(SELECTORS, evidence, strict=True))
    frame = pd.DataFrame({"target": target, "feature": list(names), **columns, "consensus": consensus, "canary_bound": bound})
    frame = frame.sort_values(["consensus", "feature"], ascending=[False, True], kind="stable", na_position="last").reset_index(drop=True)
    return frame.assign(rank=np.arange(1, len(frame) + 1))
