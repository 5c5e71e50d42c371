"""False-discovery control over many pairs at once.

Belongs here: p-values to q-values, and which rows are corrected together. Does not: where a p-value comes from, or what a q is held against.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from config.sections.routing import Significance
from routing_assets.contracts import VOCABULARIES, BoolArray, Candidates, FloatArray

# Of the error rate at which a target of noise may open, the share spent on the mean of its pairs; the rest is for its best pairs.
WHOLE_TARGET_SHARE = 0.1
STOREY_LAMBDA = 0.5
# A pooled side passes for every symbol of its target: it is held to this share of the rate.
POOLED_SHARE = 0.5


def adjusted_p_values(p_values: FloatArray, groups: NDArray[np.int64], method: str) -> FloatArray:
    """Step-up adjusted p-values within groups; `q <= x` rejects at false-discovery rate x.

    Parameters
    ----------
    p_values : shape (n_rows,), in [0, 1]; NaN rows take no part and stay NaN.
    groups : shape (n_rows,), rows of one value are corrected together.
    method : `fdr_bh` (independent or positively dependent), `fdr_by` (any dependence) or `none` (q = p).

    Source: Benjamini & Hochberg 1995; Benjamini & Yekutieli 2001.
    """
    if method == "none":
        return p_values.copy()
    rows = np.flatnonzero(~np.isnan(p_values))
    q_values = np.full(p_values.shape, np.nan)
    if not rows.size:
        return q_values
    order = rows[np.lexsort((p_values[rows], groups[rows]))]
    ordered_groups = groups[order]
    first = np.flatnonzero(np.r_[True, ordered_groups[1:] != ordered_groups[:-1]])
    sizes = np.diff(np.r_[first, order.size])
    ranks = np.arange(order.size) - np.repeat(first, sizes) + 1
    factors = sizes.astype(float)
    if method == "fdr_by":
        factors *= np.cumsum(1.0 / np.arange(1, sizes.max() + 1))[sizes - 1]
    raw = np.minimum(p_values[order] * np.repeat(factors, sizes) / ranks, 1.0)
    numbered = np.repeat(np.arange(first.size), sizes)
    q_values[order[::-1]] = pd.Series(raw[::-1]).groupby(numbered[::-1], sort=False).cummin().to_numpy()
    return q_values


def candidate_q_values(candidates: Candidates, config: Significance) -> FloatArray:
    """q of every candidate row.

    A table that says how its `q_value` was corrected is corrected again, from `p_value`, when another way is asked for. A table that does not say (somebody
    else's) keeps the q it states: we cannot know better what it was corrected for. Where a row has no q it is computed from the p of all rows.

    Cross-sectional rows of all targets are one family. Local rows are one by target, one over all targets, or `both`
    (`significance.family`; see `nested_q_values`; there the pooled side is held to half the rate, since it passes for all its symbols).
    Rows the audit calls SUSPECT or BLOCKED form families of their own: a leak's tiny p would otherwise buy discoveries for its neighbours.

    Returns
    -------
    shape (n_rows,), NaN where neither is known.
    """
    leakage = candidates.words("leakage_status")
    tainted = np.isin(leakage, [VOCABULARIES["leakage_status"].index(status) for status in (LeakageStatus.SUSPECT, LeakageStatus.BLOCKED)])
    by_target = np.ones_like(candidates.target_codes) if config.family == "all" else candidates.target_codes + 1
    groups = np.where(candidates.local, by_target, 0) * 2 + tainted
    p_values = candidates.numbers("p_value")
    q_values = adjusted_p_values(p_values, groups, config.method)
    if config.family == "both" and config.method != "none":
        local, within, mean = (np.where(candidates.local, values, np.nan) for values in (p_values, q_values, candidates.numbers("whole_target_p_value")))
        nested = nested_q_values(local, within, mean, groups, tainted, config.method)
        q_values = np.where(candidates.local, nested, np.minimum(q_values / POOLED_SHARE, 1.0))
    stated = candidates.numbers("q_value")
    keep = candidates.corrected_by in (None, config.name)
    first, second = (stated, q_values) if keep else (q_values, stated)
    return np.where(np.isnan(first), second, first)


def nested_q_values(
    p_values: FloatArray, within: FloatArray, whole_target: FloatArray, groups: NDArray[np.int64], tainted: BoolArray, method: str
) -> FloatArray:
    """q of pairs whose target has to be told from noise first: within the target's pairs, and across targets.

    A target is told from noise by its best pairs (Simes: the smallest q within it) or by the mean of all its pairs. A share of the error rate
    goes to either, so that a target of noise opens at most at the rate asked for, however many pairs it has and however strong the other
    targets are. Where the mean speaks, the share of pairs without a signal is estimated (Storey) and the q of the target's pairs shrinks by
    it, which may take q below p: among pairs of which nearly all have a signal, a weak p is one more. The share is never estimated without
    the mean, since one market path that all symbols share makes many p-values small together.

    Parameters
    ----------
    p_values, within : shape (n_rows,), the rows' p and their q within the group; NaN takes no part.
    whole_target : shape (n_rows,), p of the mean score over the target's pairs, rows of one timestamp counted once; NaN where not computed.
    groups : shape (n_rows,), the target a row belongs to; tainted rows (shape (n_rows,)) are groups of their own.
    method : `fdr_bh` or `fdr_by`; the second holds under any dependence, so that no share is estimated.

    Source: Simes 1986; Yekutieli 2008 (hierarchical testing); Storey, Taylor & Siegmund 2004 (the share at lambda 0.5).
    """
    known = ~np.isnan(p_values)
    names, position = np.unique(groups, return_inverse=True)
    best, mean = np.full(names.size, np.inf), np.full(names.size, np.inf)
    np.minimum.at(best, position[known], within[known])
    np.minimum.at(mean, position, np.where(np.isnan(whole_target), np.inf, whole_target))
    families = np.zeros(names.size, np.int64)
    families[position] = tainted
    across = [
        adjusted_p_values(np.where(np.isfinite(one), np.minimum(one / share, 1.0), np.nan), families, method)
        for one, share in ((best, 1.0 - WHOLE_TARGET_SHARE), (mean, WHOLE_TARGET_SHARE))
    ]
    by_pairs = np.maximum(within, across[0][position])
    if method != "fdr_bh":
        return np.where(known, by_pairs, np.nan)
    n_pairs = np.bincount(position[known], minlength=names.size)
    above = np.bincount(position[known], weights=p_values[known] > STOREY_LAMBDA, minlength=names.size)
    null_share = np.minimum((above + 1.0) / (np.maximum(n_pairs, 1) * (1.0 - STOREY_LAMBDA)), 1.0)
    by_mean = np.maximum(within * null_share[position], across[1][position])
    return np.where(known, np.fmin(by_pairs, by_mean), np.nan)
