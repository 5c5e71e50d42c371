"""The pooled, local and blended ridge models that Gram sums give: solves, priors, and the choice of penalty and strength on earlier stages.

Belongs here: coefficients. Does not: sums (`gram_sums`), predictions (`ridge_screen`).

A symbol's systems are small and many (stages x penalties x label columns), so each is factored in single precision by Cholesky, in place: half the
operations of a general solve and half the memory traffic. The penalty bounds the condition, and what rounding is left is far below a coefficient's error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_assets.evidence.gram_sums import Floats, GramSums, Singles

# Penalties in units of the number of training rows; features are standardised, so 1 halves what an uncorrelated feature explains.
PENALTIES = (0.1, 1.0, 10.0)
# A symbol's own validation loss is noisy; the panel's mean loss stands beside it with the weight of this many symbols.
PANEL_PRIOR_SYMBOLS = 5.0
SYMBOLS_AT_ONCE = 16


def pooled_coefficients(total: GramSums) -> Floats:
    """Pooled coefficients of the penalty that did best so far, shape (n_stages, p, n_columns).

    Parameters
    ----------
    total : `GramSums.total`.
    """
    gram, cross, n_rows = total.gram[0], total.cross[0], total.n_rows[0]
    solutions = np.full((len(PENALTIES), *cross.shape), np.nan)
    usable = n_rows >= 2
    if usable.any():
        systems = np.stack([gram[usable]] * len(PENALTIES))
        systems += (np.asarray(PENALTIES)[:, None] * n_rows[usable])[..., None, None] * np.diag(np.r_[np.ones(gram.shape[1] - 1), 0.0])
        solutions[:, usable] = np.linalg.solve(systems, np.stack([cross[usable]] * len(PENALTIES)))
    gain, square = _validation_terms(solutions[None], np.zeros_like(cross), total.held_gram, total.held_cross)
    best = np.cumsum(square - 2.0 * gain, axis=2)[0].argmin(axis=0)
    return np.asarray(np.nan_to_num(np.take_along_axis(solutions, best[None, :, None, :], axis=0)[0]))


@dataclass(frozen=True)
class LocalModels:
    """Coefficients by symbol, (n_symbols, n_stages, p, n_columns), NaN without a local model, and the last stage's strengths (n_symbols,)."""

    local: Singles
    blended: Singles
    strengths: Floats


def local_models(sums: GramSums, pooled: Floats, strengths: Sequence[float], min_rows: int) -> LocalModels:
    """Local models, and pooled models plus a share of the local residual; penalty and share chosen by validation so far.

    With own squared error L and the panel's mean M, the choice minimises L + `PANEL_PRIOR_SYMBOLS` x M. The loss of a share s of the residual
    model d over the pooled one is L0 - 2 s gain + s^2 square, so that no share needs a fit of its own.
    """
    grid, n_columns, n_symbols = np.asarray(sorted(strengths)), pooled.shape[2], sums.gram.shape[0]
    # The local model and the residual's are two sets of columns of one kind: other right-hand sides, other priors, another base.
    bases = np.concatenate([np.zeros_like(pooled), pooled], axis=2)
    crosses = np.tile(sums.cross, (1, 1, 1, 2))
    crosses[..., n_columns:] -= sums.gram @ pooled.astype(np.float32)
    weights = feature_weights(sums, bases)
    models = np.empty((n_symbols, len(PENALTIES), *bases.shape), np.float32)
    gain, square = (np.empty((n_symbols, len(PENALTIES), bases.shape[0], bases.shape[2])) for _ in range(2))
    for first in range(0, n_symbols, SYMBOLS_AT_ONCE):
        some = slice(first, first + SYMBOLS_AT_ONCE)
        for code in range(n_symbols)[some]:
            models[code] = _solve(sums.gram[code], crosses[code], weights, min_rows)
        gain[some], square[some] = _validation_terms(models[some], bases, sums.held_gram[some], np.tile(sums.held_cross[some], 2))
    own = (square - 2.0 * gain)[..., :n_columns]
    shares = grid[:, None, None, None]
    shared = shares**2 * square[:, None, ..., n_columns:] - 2.0 * shares * gain[:, None, ..., n_columns:]
    local, residual = models[..., :n_columns], np.nan_to_num(models[..., n_columns:])
    own_choice = _with_panel_prior(np.cumsum(own, axis=2)).argmin(axis=1)
    losses = _with_panel_prior(np.cumsum(shared, axis=3))
    blend_choice = losses.reshape(n_symbols, -1, *losses.shape[3:]).argmin(axis=1)
    share, penalty = grid[blend_choice // len(PENALTIES)], blend_choice % len(PENALTIES)
    chosen = np.take_along_axis(local, own_choice[:, None, :, None, :], axis=1)[:, 0]
    added = np.take_along_axis(residual, penalty[:, None, :, None, :], axis=1)[:, 0]
    blended = (pooled[None] + share[:, :, None, :] * added).astype(np.float32)
    last = np.where(np.isnan(chosen[:, -1]).any(axis=(1, 2)), np.nan, share[:, -1].mean(axis=1))
    return LocalModels(chosen, blended, last)


_FREE = slice(None, -1)  # all but the constant, which no penalty holds


def _with_panel_prior(losses: Floats) -> Floats:
    return np.asarray(losses + PANEL_PRIOR_SYMBOLS * losses.mean(axis=0, keepdims=True))


def feature_weights(sums: GramSums, base: Floats) -> Floats:
    """How much of the symbols' own signals each feature carries, shape (n_stages, p, n_columns), largest 1.

    A symbol's own rows say little about which features matter to it; all symbols together say which features matter to symbols, with whatever
    sign. The mean over symbols of the product of a feature's associations in different stretches of time estimates the variance of its
    coefficient between symbols without the noise of either stretch: an empirical-Bayes prior variance (Morris 1983). Its standard error over symbols is
    added, so that weights differ by as much as the panel can tell: hardly with few symbols, or where all features carry as much.

    Parameters
    ----------
    base : shape (n_stages, p, n_columns), the model whose residual is explained; columns of `sums` repeat along it.
    """
    weights = np.ones(base.shape)
    n_symbols, n_columns = sums.gram.shape[0], base.shape[2]
    counts = np.diff(sums.n_rows.astype(np.float64), axis=1, prepend=0.0)[..., None, None]
    totals = np.diff(sums.gram[..., -1].astype(np.float64), axis=1, prepend=0.0)[..., None]
    crosses = np.tile(np.diff(sums.cross.astype(np.float64), axis=1, prepend=0.0), n_columns // sums.cross.shape[3])
    for stage in range(1, base.shape[0]):
        entered = slice(0, stage + 1)
        explained = (sums.gram[:, entered] @ base[stage].astype(np.float32)).astype(np.float64)
        left = crosses[:, entered] - np.diff(explained, axis=1, prepend=0.0)
        n = counts[:, entered]
        own = left - totals[:, entered] * (left[..., -1:, :] / np.maximum(n, 1.0))
        products = own.sum(axis=1) ** 2 - (own**2).sum(axis=1)
        pairs = n.sum(axis=1) ** 2 - (n**2).sum(axis=1)
        each = products / np.maximum(pairs, 1.0)
        energy = np.maximum(each.mean(axis=0), 0.0) + each.std(axis=0) / np.sqrt(n_symbols)
        energy[-1] = 0.0
        largest = energy.max(axis=0)
        weights[stage] = np.where((largest > 0) & (energy > 0), energy / np.where(largest > 0, largest, 1.0), 1.0)
    return weights


def _solve(gram: Singles, cross: Singles, weights: Floats, min_rows: int) -> Singles:
    """Ridge solutions of one symbol with a free intercept, shape (n_penalties, n_stages, p, n_columns); NaN where there are too few rows.

    Parameters
    ----------
    weights : shape (n_stages, p, n_columns), prior variance of each coefficient.
    """
    from scipy.linalg.lapack import sposv

    n_rows = gram[:, -1, -1]
    solutions = np.full((len(PENALTIES), *cross.shape), np.nan, np.float32)
    usable = np.flatnonzero(n_rows >= max(min_rows, 2))
    penalties = (np.asarray(PENALTIES)[:, None, None, None] * n_rows[:, None, None] / weights).astype(np.float32)[..., _FREE, :]
    systems = np.empty((len(PENALTIES), *gram.shape[1:]), np.float32)
    diagonals = systems.reshape(len(PENALTIES), -1)[:, :: gram.shape[1] + 1][:, _FREE]
    for stage in usable:
        for column in range(cross.shape[2]):
            systems[:] = gram[stage]
            diagonals += penalties[:, stage, :, column]
            for number, system in enumerate(systems):
                # Transposed, a symmetric matrix is itself and lies as Fortran expects, so that it is factored where it is.
                _, found, failed = sposv(system.T, cross[stage, :, column], lower=1, overwrite_a=1)
                if failed:
                    found = _by_least_squares(gram[stage], penalties[number, stage, :, column], cross[stage, :, column])
                solutions[number, stage, :, column] = found
    return solutions


def _by_least_squares(gram: Singles, penalty: Singles, cross: Singles) -> Floats:
    """A system that rounding left without a factor (a feature that is constant on the symbol's rows), in double precision."""
    system = gram.astype(np.float64)
    system[_FREE, _FREE] += np.diag(penalty.astype(np.float64))
    return np.asarray(np.linalg.lstsq(system, cross.astype(np.float64), rcond=None)[0])


def _validation_terms(
    solutions: NDArray[np.floating], base: Floats, held_gram: NDArray[np.floating], held_cross: NDArray[np.floating]
) -> tuple[Floats, Floats]:
    """What a model of the stage before adds to a base model on the rows that enter at a stage.

    Parameters
    ----------
    solutions : shape (n_symbols, n_penalties, n_stages, p, n_columns). base : shape (n_stages, p, n_columns).

    Returns
    -------
    gain : sum of (label - base) x prediction; square : sum of prediction squared; both (n_symbols, n_penalties, n_stages, n_columns), zero at stage
        0, where nothing is known yet and the first entry of a grid wins.
    """
    gain, square = (np.zeros((*solutions.shape[:3], solutions.shape[4])) for _ in range(2))
    before, base = solutions[:, :, :-1], base[:-1].astype(solutions.dtype)
    before = np.where(np.isnan(before), solutions.dtype.type(0.0), before)
    left = held_cross[:, 1:] - held_gram[:, 1:] @ base
    gain[:, :, 1:] = (before * left[:, None]).sum(axis=3, dtype=np.float64)
    square[:, :, 1:] = (before * (held_gram[:, None, 1:] @ before)).sum(axis=3, dtype=np.float64)
    return gain, square
