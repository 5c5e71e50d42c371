"""RewardBased: a trading policy fitted to its own reward instead of to the label.

The position of a row is p = tanh(w.z + b) in [-1, 1]. With u the label in units of its root mean square over the training rows, the reward is

    mean(p u)  -  cost * mean(|p - p of the symbol's row before|)  -  risk_aversion / 2 * mean((p u)^2)

weighted by uniqueness; a symbol starts flat. A label that hardly changes sign (a volatility, a percentile, a rare class) pays the same side always
and is no return: it is traded against its mean over the training rows, as a swap is against its strike. The regression prediction is the position,
the binary one (1 + position) / 2.
Source: Moody & Saffell 2001 (direct reinforcement), with the exact gradient in place of the recurrent one: no position feeds back into the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families.base import Family, FitRequest, Sample
from training_assets.families.preprocessing import (
    FloatArray,
    Rows,
    Standardiser,
    check_offset,
    check_request,
    joined,
    load_state,
    one_thread,
    rows_of,
    save_state,
    settings_of,
)

NAME = "RewardBased"
TASK_TYPES = frozenset({TaskType.REGRESSION, TaskType.BINARY_CLASSIFICATION})
MIN_ROWS = 100
MIN_SIGN_SHARE = 0.05
"""A label whose rarer sign is rarer than this is traded against its mean."""
SMOOTHING = 1e-3
"""|d| becomes sqrt(d^2 + SMOOTHING^2) - SMOOTHING, in positions, so that the turnover has a gradient everywhere."""
DEFAULTS: Mapping[str, Any] = {"cost": 0.02, "risk_aversion": 0.1, "penalties": (0.001, 0.01, 0.1), "max_iterations": 200}
BOUNDS = {"cost": (0.0, 10.0), "risk_aversion": (0.0, 100.0), "penalties": (1e-9, 1e9), "max_iterations": (1, 100_000)}


@dataclass(frozen=True)
class Reward:
    """The stated reward: `cost` a unit of position traded, in label units of root mean square 1, and quadratic `risk_aversion`."""

    cost: float
    risk_aversion: float

    def value_and_gradient(self, positions: FloatArray, outcomes: FloatArray, rows: Rows) -> tuple[float, FloatArray]:
        """Reward of positions, shape (n_rows,), and its gradient by each of them; `outcomes` are the labels in units of root mean square 1."""
        share = rows.weight / rows.weight.sum()
        first = np.r_[True, rows.symbol_codes[1:] != rows.symbol_codes[:-1]]
        change = positions - np.where(first, 0.0, np.r_[0.0, positions[:-1]])
        distance = np.sqrt(change * change + SMOOTHING**2)
        earned = positions * outcomes
        value = share @ (earned - self.cost * (distance - SMOOTHING) - 0.5 * self.risk_aversion * earned * earned)
        slope = self.cost * share * change / distance
        gradient = share * outcomes * (1.0 - self.risk_aversion * earned) - slope
        gradient[:-1] += np.where(first[1:], 0.0, slope[1:])
        return float(value), gradient


@dataclass
class RewardModel:
    """A policy: `coefficients`, shape (n_features + 1,), intercept last, on standardised features."""

    task_type: TaskType
    standardiser: Standardiser
    coefficients: FloatArray
    fit_details: dict[str, Any]

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """Shape (n_rows,): position in [-1, 1] (regression), or (1 + position) / 2 (binary)."""
        check_offset(NAME, sample, fitted_with_offset=False)
        positions = positions_of(self.standardiser.apply(sample.x), self.coefficients)
        return (positions if self.task_type is TaskType.REGRESSION else 0.5 * (1.0 + positions)).astype(np.float32)

    def save(self, folder: Path) -> None:
        save_state(folder, {"task_type": self.task_type, "fit_details": self.fit_details}, {"coefficients": self.coefficients, **self.standardiser.arrays()})


def load_reward(folder: Path) -> RewardModel:
    """Read a model that `RewardModel.save` wrote."""
    document, arrays = load_state(folder)
    return RewardModel(TaskType(document["task_type"]), Standardiser.from_arrays(arrays), arrays["coefficients"], document["fit_details"])


def fit_reward(request: FitRequest) -> RewardModel:
    """Maximise the training reward at each penalty, keep the penalty with the best inner reward, refit on both parts with it."""
    check_request(NAME, request, TASK_TYPES, MIN_ROWS)
    settings = settings_of(NAME, request, DEFAULTS, BOUNDS)
    reward = Reward(settings["cost"], settings["risk_aversion"])
    standardiser = Standardiser.fit(request.train)
    train, inner = rows_of(standardiser, request.train), rows_of(standardiser, request.inner)
    strike, unit = strike_and_unit(_payoffs(train, request.task_type))

    def outcomes(rows: Rows) -> FloatArray:
        return (_payoffs(rows, request.task_type) - strike) / unit

    with one_thread("scipy.optimize"):
        rewards = []
        for penalty in settings["penalties"]:
            candidate = _maximise(reward, train, outcomes(train), penalty, settings["max_iterations"])
            positions = positions_of(inner.z, candidate)
            rewards.append(reward.value_and_gradient(positions, outcomes(inner), inner)[0])
        penalty = settings["penalties"][int(np.argmax(rewards))]
        both = joined(train, inner)
        coefficients = _maximise(reward, both, outcomes(both), penalty, settings["max_iterations"])
    details = {
        "reward": "mean(p u) - cost * mean(|change of p|) - risk_aversion / 2 * mean((p u)^2); u = (label - label_strike) / label_unit",
        "cost": reward.cost,
        "risk_aversion": reward.risk_aversion,
        "label_strike": strike,
        "label_unit": unit,
        "penalty": penalty,
        "inner_rewards": dict(zip(map(str, settings["penalties"]), rewards, strict=True)),
    }
    return RewardModel(request.task_type, standardiser, coefficients, details)


def positions_of(z: FloatArray, coefficients: FloatArray) -> FloatArray:
    """Shape (n_rows,), in [-1, 1]; each row by itself."""
    return np.asarray(np.tanh(np.einsum("ij,j->i", z, coefficients[:-1]) + coefficients[-1]))


def _payoffs(rows: Rows, task_type: TaskType) -> FloatArray:
    return _signed(rows.y, task_type)


def _signed(labels: FloatArray, task_type: TaskType) -> FloatArray:
    """The label itself, or -1 and 1 for the two classes."""
    return labels if task_type is TaskType.REGRESSION else 2.0 * labels - 1.0


def strike_and_unit(payoffs: FloatArray) -> tuple[float, float]:
    """What is taken off the label, 0 for one that changes sign, and the root mean square of what is left."""
    rarer = min(float((payoffs > 0.0).mean()), float((payoffs < 0.0).mean()))
    strike = float(payoffs.mean()) if rarer < MIN_SIGN_SHARE else 0.0
    return strike, float(np.sqrt(((payoffs - strike) ** 2).mean()))


def _maximise(reward: Reward, rows: Rows, outcomes: FloatArray, penalty: float, max_iterations: int) -> FloatArray:
    from scipy.optimize import minimize

    def objective(coefficients: FloatArray) -> tuple[float, FloatArray]:
        positions = np.tanh(rows.z @ coefficients[:-1] + coefficients[-1])
        value, by_position = reward.value_and_gradient(positions, outcomes, rows)
        by_raw = by_position * (1.0 - positions * positions)
        gradient = np.append(rows.z.T @ by_raw - penalty * coefficients[:-1], by_raw.sum())
        return 0.5 * penalty * float((coefficients[:-1] ** 2).sum()) - value, -gradient

    start = np.zeros(rows.z.shape[1] + 1)
    result = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": max_iterations, "gtol": 1e-7})
    return np.asarray(result.x, dtype=np.float64)


def told_out_of_sample(model: RewardModel, sample: Sample) -> dict[str, Any]:
    """What the positions earn a row on rows the model was not fitted on, in its label units: gross, net of cost, and how much they trade."""
    told, payoffs = model.fit_details, _signed(sample.y.astype(np.float64), model.task_type)
    positions = positions_of(model.standardiser.apply(sample.x), model.coefficients)
    first = np.r_[True, sample.symbol_codes[1:] != sample.symbol_codes[:-1]]
    turnover = float(np.abs(positions - np.where(first, 0.0, np.r_[0.0, positions[:-1]])).mean())
    gross = float((positions * (payoffs - told["label_strike"])).mean() / told["label_unit"])
    return {"gross_reward": gross, "net_reward": gross - told["cost"] * turnover, "turnover": turnover}


FAMILY = Family(
    name=NAME,
    stage=Stage.CPU,
    task_types=TASK_TYPES,
    cheap=False,
    defaults=DEFAULTS,
    libraries=("numpy", "scipy", "safetensors"),
    fit=fit_reward,
    load=load_reward,
    description="A position in [-1, 1] fitted to the mean reward net of turnover cost and risk; labels of one sign against their mean.",
    min_rows=MIN_ROWS,
    told_out_of_sample=told_out_of_sample,
)
