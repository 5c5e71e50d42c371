"""False-discovery control over many pairs at once.

Belongs here: p-values to q-values, and which rows are corrected together. Does not: where a p-value comes from, or what a q is held against.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from config.sections.routing import Significance
from routing_assets.contracts import VOCABULARIES, Candidates, FloatArray


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
    """q of every candidate row, from `p_value`; a stored `q_value` stands in where there is no p.

    Cross-sectional rows of all targets are one family; local rows are one by target or over all targets (`significance.family`).
    Rows the audit calls SUSPECT or BLOCKED form families of their own: a leak's tiny p would otherwise buy discoveries for its neighbours.

    Returns
    -------
    shape (n_rows,), NaN where neither is known.
    """
    by_target = candidates.target_codes + 1 if config.family == "target" else np.ones_like(candidates.target_codes)
    leakage = candidates.words("leakage_status")
    tainted = np.isin(leakage, [VOCABULARIES["leakage_status"].index(status) for status in (LeakageStatus.SUSPECT, LeakageStatus.BLOCKED)])
    groups = np.where(candidates.local, by_target, 0) * 2 + tainted
    q_values = adjusted_p_values(candidates.numbers("p_value"), groups, config.method)
    return np.where(np.isnan(q_values), candidates.numbers("q_value"), q_values)
