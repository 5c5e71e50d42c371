"""GMMRegime: experts for market regimes, mixed by filtered regime probabilities.

Regimes are Gaussian components of past returns and volatility, chained by a transition matrix. The probability of a regime at a row uses the symbol's bars up
to that row and none after it (forward filter, never smoothed), from the panel's start, whichever rows are asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families.base import Family, FitRequest, Sample
from training_assets.families.linear import PENALTIES, fit_path, inner_losses, raw_scores
from training_assets.families.losses import mean_loss, predictions_of
from training_assets.families.market_features import state_columns
from training_assets.families.preprocessing import (
    FloatArray,
    Rows,
    Standardiser,
    check_offset,
    check_request,
    join_order,
    joined,
    load_state,
    one_thread,
    rows_of,
    save_state,
    settings_of,
)

NAME = "GMMRegime"
TASK_TYPES = frozenset({TaskType.REGRESSION, TaskType.BINARY_CLASSIFICATION})
MIN_ROWS = 200
TRANSITION_ROUNDS = 10
DEFAULTS: Mapping[str, Any] = {"state_features": (), "max_state_features": 4, "n_regimes": 2, "stickiness": 20.0, "penalties": PENALTIES}
BOUNDS = {"max_state_features": (1, 100), "n_regimes": (2, 20), "stickiness": (0.0, 1e9), "penalties": (1e-9, 1e9)}


@dataclass(frozen=True)
class RegimeFilter:
    """A hidden Markov chain with diagonal Gaussian emissions over the standardised state features.

    `columns` : shape (n_state,), positions in the features. `means`, `variances` : shape (n_regimes, n_state). `start` : shape (n_regimes,).
    `transition` : shape (n_regimes, n_regimes), row from, column to.
    """

    columns: NDArray[np.int64]
    means: FloatArray
    variances: FloatArray
    start: FloatArray
    transition: FloatArray

    def probabilities(self, sample: Sample, standardiser: Standardiser) -> FloatArray:
        """Filtered probabilities at the sample's rows, shape (n_rows, n_regimes)."""
        _, place = np.unique(sample.history_starts, return_inverse=True)
        filtered = self.run(self.densities(sample, standardiser))
        return np.asarray(filtered[place, sample.history_rows - sample.history_starts])

    def run(self, densities: FloatArray) -> FloatArray:
        """Filtered probabilities of every bar, shape of `densities`, all symbols in step."""
        filtered = np.empty_like(densities)
        for bar in range(densities.shape[1]):
            prior = np.tile(self.start, (densities.shape[0], 1)) if bar == 0 else np.einsum("si,ij->sj", filtered[:, bar - 1], self.transition)
            joint = prior * densities[:, bar]
            filtered[:, bar] = joint / joint.sum(axis=1, keepdims=True)
        return filtered

    def densities(self, sample: Sample, standardiser: Standardiser) -> FloatArray:
        """Emission densities of every bar up to each symbol's last row, up to a factor per bar; one where nothing is known of the bar.

        Shape (n_symbols, n_bars, n_regimes), symbols in the order of their histories.
        """
        starts, place = np.unique(sample.history_starts, return_inverse=True)
        lengths = np.zeros(starts.size, dtype=np.int64)
        np.maximum.at(lengths, place, sample.history_rows - sample.history_starts + 1)
        states = standardiser.only(self.columns.tolist())
        densities = np.ones((starts.size, int(lengths.max(initial=0)), self.start.size))
        for symbol, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            values = sample.history[start : start + length][:, self.columns]
            known = np.asarray(np.isfinite(values).any(axis=1))
            distance = states.apply(values)[:, None, :] - self.means[None]
            logs = -0.5 * (distance**2 / self.variances + np.log(self.variances)).sum(axis=2)
            found = np.exp(np.maximum(logs - logs.max(axis=1, keepdims=True), -50.0))
            densities[symbol, :length] = np.where(known[:, None], found, 1.0)
        return densities


@dataclass
class GMMRegimeModel:
    """Linear experts, `coefficients` of shape (n_regimes, n_features + 1), mixed in raw score by the filter's probabilities."""

    task_type: TaskType
    standardiser: Standardiser
    regimes: RegimeFilter
    coefficients: FloatArray
    fit_details: dict[str, Any]

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """As the protocol says; reads `sample.history` up to each row."""
        check_offset(NAME, sample, fitted_with_offset=False)
        probabilities = self.regimes.probabilities(sample, self.standardiser)
        return predictions_of(_mixed(self.standardiser.apply(sample.x), self.coefficients, probabilities), self.task_type)

    def save(self, folder: Path) -> None:
        regimes = {f"regime_{name}": values for name, values in vars(self.regimes).items()}
        arrays = {"coefficients": self.coefficients, **regimes, **self.standardiser.arrays()}
        save_state(folder, {"task_type": self.task_type, "fit_details": self.fit_details}, arrays)


def load_gmm_regime(folder: Path) -> GMMRegimeModel:
    """Read a model that `GMMRegimeModel.save` wrote."""
    document, arrays = load_state(folder)
    regimes = RegimeFilter(**{name: arrays[f"regime_{name}"] for name in ("columns", "means", "variances", "start", "transition")})
    return GMMRegimeModel(TaskType(document["task_type"]), Standardiser.from_arrays(arrays), regimes, arrays["coefficients"], document["fit_details"])


def fit_gmm_regime(request: FitRequest) -> GMMRegimeModel:
    """Fit regimes on the training rows, one base model on all rows, and an expert a regime on what the base leaves.

    Hamilton 1989 for the filter; Jacobs et al. 1991 for gated experts. The experts' penalty is chosen on the inner fold, no experts at all included; base and
    experts are then fitted on both parts.
    """
    check_request(NAME, request, TASK_TYPES, MIN_ROWS)
    settings = settings_of(NAME, request, DEFAULTS, BOUNDS)
    columns = state_columns(NAME, request.train.feature_names, settings["state_features"], settings["max_state_features"])
    with one_thread("scipy.optimize", "sklearn.mixture"):
        standardiser = Standardiser.fit(request.train)
        train, inner = rows_of(standardiser, request.train), rows_of(standardiser, request.inner)
        regimes = _fit_filter(request, standardiser, train, columns, settings)
        gates = [regimes.probabilities(part, standardiser) for part in (request.train, request.inner)]
        base_path = fit_path(train, request.task_type, 2, settings["penalties"])
        base_losses = inner_losses(base_path, inner, request.task_type)
        base_penalty = settings["penalties"][int(np.argmin(base_losses))]
        base = base_path[int(np.argmin(base_losses))]
        losses: dict[float | None, float] = {None: min(base_losses)}
        for penalty in settings["penalties"]:
            experts = _experts(train, gates[0], base, request.task_type, penalty)
            losses[penalty] = mean_loss(_mixed(inner.z, experts, gates[1]), inner.y, inner.weight, request.task_type)
        penalty = min(losses, key=lambda key: losses[key])
        both, gate = joined(train, inner), np.concatenate(gates)[join_order(train, inner)]
        base = fit_path(both, request.task_type, 2, (base_penalty,))[0]
        coefficients = _experts(both, gate, base, request.task_type, penalty)
    details = {
        "state_features": [request.train.feature_names[column] for column in columns],
        "expert_penalty": penalty,
        "inner_loss": losses[penalty],
        "inner_loss_without_experts": losses[None],
        "regime_shares": gate.mean(axis=0).tolist(),
        "transition": regimes.transition.tolist(),
    }
    return GMMRegimeModel(request.task_type, standardiser, regimes, coefficients, details)


def _mixed(z: FloatArray, coefficients: FloatArray, probabilities: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("ik,ik->i", raw_scores(z, coefficients.T), probabilities)[:, None])


def _experts(rows: Rows, gate: FloatArray, base: FloatArray, task_type: TaskType, penalty: float | None) -> FloatArray:
    """Shape (n_regimes, n_features + 1): the base plus what each regime's rows add to it; None adds nothing."""
    experts = np.tile(base[:, 0], (gate.shape[1], 1))
    if penalty is None:
        return experts
    offset = raw_scores(rows.z, base)[:, 0]
    for regime in range(gate.shape[1]):
        weight = rows.weight * gate[:, regime]
        # A regime of less than one row's weight has nothing to say.
        if weight.sum() > 1.0:
            experts[regime] += fit_path(replace(rows, weight=weight, offset=offset), task_type, 2, (penalty,))[0][:, 0]
    return experts


def _fit_filter(request: FitRequest, standardiser: Standardiser, train: Rows, columns: list[int], settings: Mapping[str, Any]) -> RegimeFilter:
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(settings["n_regimes"], covariance_type="diag", reg_covar=1e-3, random_state=request.seed).fit(train.z[:, columns])
    calm_first = np.argsort(mixture.covariances_.sum(axis=1), kind="stable")
    n_regimes = settings["n_regimes"]
    uniform = np.full((n_regimes, n_regimes), 1.0 / n_regimes)
    regimes = RegimeFilter(
        np.array(columns, dtype=np.int64), mixture.means_[calm_first], mixture.covariances_[calm_first], mixture.weights_[calm_first], uniform
    )
    return _with_transition(regimes, request.train, standardiser, settings["stickiness"])


def _with_transition(regimes: RegimeFilter, sample: Sample, standardiser: Standardiser, stickiness: float) -> RegimeFilter:
    """Estimate the transitions from filtered pairs of neighbouring training bars, `stickiness` counted as that many stays seen before.

    Cappe 2011 (online EM) in a batch: nothing after a pair is looked at, so the estimate is a filter's too.
    """
    _, place = np.unique(sample.history_starts, return_inverse=True)
    neighbours = np.flatnonzero((np.diff(sample.history_rows) == 1) & (np.diff(place) == 0)) + 1
    bars = sample.history_rows - sample.history_starts
    densities = regimes.densities(sample, standardiser)
    for _ in range(TRANSITION_ROUNDS):
        filtered = regimes.run(densities)
        before, after = filtered[place[neighbours], bars[neighbours] - 1], filtered[place[neighbours], bars[neighbours]]
        predicted = np.einsum("ti,ij->tj", before, regimes.transition)
        pairs = before[:, :, None] * regimes.transition[None] * (after / predicted)[:, None, :]
        counts = pairs.sum(axis=0) + stickiness * np.eye(regimes.start.size) + 1.0
        regimes = replace(regimes, transition=counts / counts.sum(axis=1, keepdims=True))
    return regimes


FAMILY = Family(
    name=NAME,
    stage=Stage.CPU,
    task_types=TASK_TYPES,
    cheap=False,
    defaults=DEFAULTS,
    libraries=("scikit-learn", "numpy", "scipy", "safetensors"),
    fit=fit_gmm_regime,
    load=load_gmm_regime,
    description="Linear experts for market regimes, mixed by filtered probabilities of a Gaussian-mixture Markov chain.",
    min_rows=MIN_ROWS,
    reads_state=True,
)
