"""The four selectors of feature selection: how much each column of a sample says about a label, in units of what chance gives.

Belongs here: rank correlation, ridge coefficient, split gain, permutation loss. Does not: the sample and its canaries
(`selection_sample`), or the consensus (`selection`).

The two linear ones are held against the same statistic of moved labels, column by column, which counts each column's own persistence; the two of the
trees are held against the canaries that grew in the same trees.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from routing_assets.evidence.selection_sample import SelectionSample, unit_midranks
from training_assets.contributions import Contributions, contributions
from training_assets.panel.panel import TargetInfo

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SELECTORS = ("rank_ic", "linear", "gain", "permutation")
# One selector alone may not carry a column however large its importance: beyond this, evidence counts no further.
LARGEST_EVIDENCE = 8.0
RIDGE_PENALTY = 0.1  # a row; columns have unit variance
N_ROUNDS = 50
MAX_PERMUTED_ROWS = 2_000
MAX_PERMUTED_COLUMNS = 60
MEDIAN_OF_HALF_NORMAL = 0.6745


@dataclass(frozen=True)
class Selectors:
    """A sample made ready for many labels: the ridge system and the binned columns are the same for every target."""

    sample: SelectionSample
    inverse_gram: Floats
    binned: Any  # lightgbm.Dataset, constructed

    @classmethod
    def of(cls, sample: SelectionSample) -> "Selectors":
        import lightgbm

        gram = (sample.z.T @ sample.z).astype(np.float64)
        gram[np.diag_indices_from(gram)] += RIDGE_PENALTY * sample.rows.size
        binned = lightgbm.Dataset(sample.z, params={"max_bin": 63, "verbose": -1, "num_threads": 1, "min_data_in_bin": 1}, free_raw_data=False)
        return cls(sample, np.asarray(np.linalg.inv(gram), np.float64), binned.construct())

    def evidence(self, labels: NDArray[np.float32], known: Mask, fit: Mask, inner: Mask, info: TargetInfo, seed: int) -> Floats:
        """Evidence of each column by each selector.

        Parameters
        ----------
        labels : shape (n,), values or class codes. known : rows whose label may be used; fit and inner : the two parts of them, purged
            against each other.

        Returns
        -------
        Shape (4, n_columns), in the order of `SELECTORS`, at most `LARGEST_EVIDENCE`; about 1 or less is what chance gives.
        """
        numeric = np.where(known, labels, np.float32(np.nan))
        rank_ic, linear = self._linear(numeric)
        gain, permutation = self._trees(labels, fit, inner, info, seed)
        return np.minimum(np.stack([rank_ic, linear, gain, permutation]), LARGEST_EVIDENCE)

    def _linear(self, labels: NDArray[np.float32]) -> tuple[Floats, Floats]:
        ranked, clipped = np.zeros_like(labels), np.zeros_like(labels)
        known = np.isfinite(labels)
        ranked[known], clipped[known] = unit_midranks(labels[known]), _clipped(labels[known])
        rank_statistics = self.sample.ranks.T @ self._moved(ranked, known)
        slopes = self.inverse_gram @ (self.sample.z.T @ self._moved(clipped, known)).astype(np.float64)
        return _against_moved(rank_statistics.astype(np.float64)), _against_moved(slopes)

    def _moved(self, labels: NDArray[np.float32], known: Mask) -> NDArray[np.float32]:
        """Shape (n, 1 + n_moves), unit columns with mean zero on their known rows: the label itself, then moved ones."""
        moves = np.vstack([np.arange(labels.size, dtype=np.int32)[None], self.sample.moves])
        there = (moves >= 0) & known[moves]
        values = np.where(there, labels[moves], np.float32(0.0))
        counts = np.maximum(there.sum(axis=1, keepdims=True), 1)
        values = np.where(there, values - values.sum(axis=1, keepdims=True) / counts, np.float32(0.0))
        norms = np.sqrt((values**2).sum(axis=1, keepdims=True))
        return np.asarray((values / np.where(norms > 0, norms, 1.0)).T, np.float32)

    def _trees(self, labels: NDArray[np.float32], fit: Mask, inner: Mask, info: TargetInfo, seed: int) -> tuple[Floats, Floats]:
        """Split gain of a boosted model fitted on the earlier part, and the loss of score on the later part when a column is permuted."""
        import lightgbm

        n_columns = self.sample.z.shape[1]
        if not inner.any() or np.unique(labels[fit]).size < 2:
            return np.zeros(n_columns), np.zeros(n_columns)
        target = _clipped(labels[fit]) if info.task_type is TaskType.REGRESSION else labels[fit]
        data = self.binned.subset(np.flatnonzero(fit)).construct()
        data.set_label(target)
        booster = lightgbm.train(_tree_parameters(info, int(fit.sum()), seed), data, num_boost_round=N_ROUNDS)
        gain = np.sqrt(booster.feature_importance("gain").astype(float))
        return _against_canaries(gain, self.sample.n_features), _permutation_losses(booster, self.sample, inner, labels, info, gain, seed)


def _tree_parameters(info: TargetInfo, n_rows: int, seed: int) -> dict[str, Any]:
    objective = {TaskType.REGRESSION: "regression", TaskType.BINARY_CLASSIFICATION: "binary", TaskType.MULTICLASS_CLASSIFICATION: "multiclass"}
    parameters: dict[str, Any] = {
        "objective": objective[info.task_type],
        "num_leaves": 8,
        "learning_rate": 0.1,
        "min_data_in_leaf": max(5, min(100, n_rows // 20)),
        "feature_fraction": 0.3,
        "max_bin": 63,
        "min_data_in_bin": 1,
        "seed": seed,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    if info.task_type is TaskType.MULTICLASS_CLASSIFICATION:
        parameters["num_class"] = len(info.classes)
    return parameters


def _permutation_losses(booster: Any, sample: SelectionSample, inner: Mask, labels: NDArray[np.float32], info: TargetInfo, gain: Floats, seed: int) -> Floats:
    """Loss of score over its own standard error when a column is permuted, for the columns of largest gain; zero for the others."""
    rows = np.flatnonzero(inner)
    generator = np.random.default_rng([seed, 11])
    if rows.size > MAX_PERMUTED_ROWS:
        rows = np.sort(generator.choice(rows, MAX_PERMUTED_ROWS, replace=False))
    z, labels = np.array(sample.z[rows], order="C"), labels[rows]
    one = np.zeros(labels.size, np.int64)

    def scored() -> Contributions:
        return contributions(info.task_type, booster.predict(z, num_threads=1), labels, one, 1)

    base, losses = scored(), np.zeros(z.shape[1])
    strongest = np.argsort(-gain, kind="stable")[:MAX_PERMUTED_COLUMNS]
    for column in strongest[gain[strongest] > 0]:
        kept = z[:, column].copy()
        z[:, column] = generator.permutation(kept)
        permuted = scored()
        z[:, column] = kept
        error = (base.influence - permuted.influence).std() / np.sqrt(labels.size)
        losses[column] = np.nan_to_num((base.scores[0] - permuted.scores[0]) / error) if error > 0 else 0.0
    # Rows of one time are not independent: where canaries show it, the errors are larger by what they show.
    return losses / max(1.0, float(np.sqrt(np.mean(losses[sample.n_features :] ** 2)))) if sample.n_canaries else losses


def _against_moved(statistics: Floats) -> Floats:
    """Size of the first column of (n_columns, 1 + n_moves) in robust standard deviations of the others; zero where these do not vary."""
    scale = np.median(np.abs(statistics[:, 1:]), axis=1) / MEDIAN_OF_HALF_NORMAL
    return np.asarray(np.where(scale > 0, np.abs(statistics[:, 0]) / np.where(scale > 0, scale, 1.0), 0.0))


def _against_canaries(importance: Floats, n_features: int) -> Floats:
    """Importances in standard deviations of the canaries' above their mean; zero where canaries do not vary."""
    canaries = importance[n_features:]
    spread = float(canaries.std()) if canaries.size else 0.0
    return (importance - canaries.mean()) / spread if spread > 0 else np.zeros(importance.size)


def _clipped(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = np.quantile(labels, [0.01, 0.99])
    return np.asarray(np.clip(labels, low, high) if low < high else labels)
