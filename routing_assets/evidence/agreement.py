"""How alike selections and orders of features are from one snapshot to the next.

Belongs here: Nogueira's measure with its interval, Jaccard's overlap, Kendall's tau. Does not: the snapshots, or the names of stabilities (`stability`).

Source: Nogueira, Sechidis & Brown 2018 (JMLR 18), equations 4 and 9 and theorem 7.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Nogueira's measure of a set of selections with its confidence interval."""

    score: Floats
    ci_low: Floats
    ci_high: Floats


def nogueira(selections: NDArray[np.bool_], confidence: float) -> Agreement:
    """Stability of feature selection, corrected for chance.

    Parameters
    ----------
    selections : shape (..., n_snapshots, n_features).

    Returns
    -------
    Arrays of shape (...): 0 is what chance gives, 1 is always the same; NaN where every snapshot selects nothing or everything.
    """
    chosen = selections.astype(float)
    n_snapshots, n_features = chosen.shape[-2:]
    frequency = chosen.mean(axis=-2)
    sizes = chosen.sum(axis=-1)
    share = sizes.mean(axis=-1) / n_features
    chance = share * (1.0 - share)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (n_snapshots / (n_snapshots - 1) * frequency * (1.0 - frequency)).mean(axis=-1)
        score = 1.0 - variance / np.where(chance > 0, chance, np.nan)
        size_share = sizes / n_features
        parts = (chosen * frequency[..., None, :]).mean(axis=-1) - size_share * share[..., None]
        parts += 0.5 * score[..., None] * (2.0 * share[..., None] * size_share - size_share - share[..., None] + 1.0)
        parts /= np.where(chance > 0, chance, np.nan)[..., None]
        error = np.sqrt(4.0 / n_snapshots**2 * ((parts - parts.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1))
    half = special.ndtri(0.5 + 0.5 * confidence) * error
    return Agreement(score, score - half, score + half)


def pairwise_overlap(selections: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of Jaccard's overlap over all pairs of snapshots; shape (n_sides,) each."""
    chosen = selections.astype(np.float32)
    common = chosen @ np.swapaxes(chosen, -1, -2)
    sizes = chosen.sum(axis=-1)
    union = sizes[..., :, None] + sizes[..., None, :] - common
    first, second = np.triu_indices(selections.shape[-2], 1)
    overlap = (common / np.maximum(union, 1.0))[..., first, second].astype(np.float64)
    return overlap.mean(axis=-1), overlap.std(axis=-1)


def pairwise_tau(association: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of Kendall's tau between blocks' importance orders; shape (n_sides,) each.

    Parameters
    ----------
    association : shape (n_sides, n_blocks, n_clusters).
    """
    n_clusters = association.shape[-1]
    first, second = np.triu_indices(n_clusters, 1)
    if first.size == 0:
        nothing = np.full(association.shape[0], np.nan)
        return nothing, nothing
    signs = np.sign(association[..., first] - association[..., second])
    tau = signs @ np.swapaxes(signs, -1, -2) / first.size
    one, other = np.triu_indices(association.shape[1], 1)
    return tau[..., one, other].mean(axis=-1), tau[..., one, other].std(axis=-1)
