"""The rows, columns and canaries that feature selection looks at: built once, shared by all targets.

Belongs here: the sample of timestamps, standardised columns and their ranks, and what makes a canary. Does not: importances (`selectors`),
or which feature is chosen (`selection`).

A canary is a real feature moved in time, circularly, and from each symbol to another: as persistent, as heavy-tailed and as alike across symbols as
the features, and unrelated to the label. The labels are moved in the same way to learn how large an association such a column shows by chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_assets.panel.panel import Panel
from training_assets.splits import pre_holdout_mask

CLIP_STANDARD_DEVIATIONS = 6.0
# Moves are at least this share of the calendar, so that what is moved is not near its own place at either end of the circle.
SMALLEST_MOVE = 0.2


@dataclass(frozen=True)
class SelectionSample:
    """Standardised features, then canaries, on sampled rows before the holdout.

    Attributes
    ----------
    rows : shape (n,), panel rows, whole timestamps, symbol after symbol.
    z : shape (n, n_features + n_canaries), clipped standard scores; what is not known stands at the mean.
    ranks : same shape, centred midranks of `z` with unit variance; zero for a constant column.
    moves : shape (n_moves, n), position in `rows` of the row whose label takes this row's place, -1 where there is none.
    """

    rows: NDArray[np.int64]
    z: NDArray[np.float32]
    ranks: NDArray[np.float32]
    moves: NDArray[np.int32]
    n_features: int

    @property
    def n_canaries(self) -> int:
        return int(self.z.shape[1]) - self.n_features


def selection_sample(panel: Panel, targets: Sequence[str], n_canaries: int, n_moves: int, max_rows: int, seed: int) -> SelectionSample:
    """Sample rows on which any of the targets has a label that is known before the holdout.

    Timestamps are drawn, not taken at equal steps: a step that divides the trading week or day would freeze every calendar feature.
    """
    generator = np.random.default_rng([seed, 7])
    usable = np.zeros(panel.n_rows, bool)
    for target in targets:
        usable |= pre_holdout_mask(panel.holdout_start_code, panel.label_end_codes[panel.target_code(target)])
    rows = _sampled_rows(panel.time_codes, usable, max_rows, generator)
    n_features = len(panel.feature_infos)
    z = np.empty((rows.size, n_features + n_canaries), np.float32, order="F")
    for column in range(n_features):
        z[:, column] = _standardised(panel.features[column][rows])
    moves = _moves(panel.time_codes[rows], panel.symbol_codes[rows], n_canaries + n_moves, generator)
    sources = generator.permutation(np.resize(generator.permutation(n_features), n_canaries)) if n_features else np.zeros(0, np.int64)
    for canary, source in enumerate(sources):
        move = moves[canary]
        z[:, n_features + canary] = _standardised(np.where(move >= 0, z[move, source], np.float32(np.nan)))
    ranks = np.empty_like(z)
    for column in range(z.shape[1]):
        ranks[:, column] = unit_midranks(z[:, column])
    return SelectionSample(rows, z, ranks, moves[n_canaries:], n_features)


def unit_midranks(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Midranks of shape (n,) with mean zero and unit variance; zeros where all values are equal."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    if counts.size < 2:
        return np.zeros(values.size, np.float32)
    ranks = (np.cumsum(counts) - 0.5 * (counts - 1))[inverse]
    return np.asarray((ranks - ranks.mean()) / ranks.std(), np.float32)


def _sampled_rows(time_codes: NDArray[np.int32], usable: NDArray[np.bool_], max_rows: int, generator: np.random.Generator) -> NDArray[np.int64]:
    n_usable = int(usable.sum())
    if n_usable <= max_rows:
        return np.flatnonzero(usable)
    times = np.unique(time_codes[usable])
    kept = np.zeros(int(times[-1]) + 1, bool)
    kept[generator.choice(times, max(1, times.size * max_rows // n_usable), replace=False)] = True
    return np.flatnonzero(usable & kept[np.minimum(time_codes, kept.size - 1)])


def _moves(time_codes: NDArray[np.int32], symbol_codes: NDArray[np.int32], n_moves: int, generator: np.random.Generator) -> NDArray[np.int32]:
    """Shape (n_moves, n): each move turns the calendar by one amount for all symbols, so that what they share stays shared, and permutes the symbols."""
    times, time_places = np.unique(time_codes, return_inverse=True)
    symbols, symbol_places = np.unique(symbol_codes, return_inverse=True)
    position = np.full((times.size, symbols.size), -1, np.int32)
    position[time_places, symbol_places] = np.arange(time_codes.size)
    moves = np.empty((n_moves, time_codes.size), np.int32)
    for number in range(n_moves):
        turn = int(generator.uniform(SMALLEST_MOVE, 1.0 - SMALLEST_MOVE) * times.size)
        moves[number] = position[(time_places + turn) % times.size, generator.permutation(symbols.size)[symbol_places]]
    return moves


def _standardised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    known = values[np.isfinite(values)]
    deviation = known.std(dtype=np.float64) if known.size > 1 else 0.0
    if deviation == 0:
        return np.zeros(values.size, np.float32)
    z = (values - known.mean(dtype=np.float64)) / deviation
    return np.asarray(np.clip(np.nan_to_num(z), -CLIP_STANDARD_DEVIATIONS, CLIP_STANDARD_DEVIATIONS), np.float32)
