"""MetaLearning: one initialisation learned across symbols, adapted to each in a few gradient steps.

The net is a linear map plus one hidden layer of tanh units. Reptile (Nichol, Achiam & Schulman 2018) moves the initialisation towards where a few steps on
each symbol lead, so that few rows of a symbol are enough to adapt. A symbol that was not in the fit is served by the initialisation itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families.base import Family, FitError, FitRequest, Sample
from training_assets.families.losses import loss_and_gradient, mean_loss, predictions_of
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

NAME = "MetaLearning"
TASK_TYPES = frozenset({TaskType.REGRESSION, TaskType.BINARY_CLASSIFICATION})
MIN_ROWS = 100
MIN_SYMBOLS = 2
DEFAULTS: Mapping[str, Any] = {
    "n_hidden": 8,
    "meta_rounds": 60,
    "symbols_per_round": 8,
    "steps_per_symbol": 5,
    "batch_rows": 256,
    "meta_rate": 0.5,
    "adaptation_steps": (0, 2, 5, 10, 20, 40),
    "weight_decay": 0.01,
}
BOUNDS = {
    "n_hidden": (1, 1024),
    "meta_rounds": (1, 100_000),
    "symbols_per_round": (1, 100_000),
    "steps_per_symbol": (1, 10_000),
    "batch_rows": (1, 1e9),
    "meta_rate": (0.0, 1.0),
    "adaptation_steps": (0, 10_000),
    "weight_decay": (0.0, 1e6),
}


@dataclass(frozen=True)
class Net:
    """The shape of the net and its step size; its parameters travel as one flat vector.

    In order: linear weights (n_features), hidden weights (n_features, n_hidden), hidden biases (n_hidden), output weights (n_hidden), output bias.
    """

    n_features: int
    n_hidden: int
    task_type: TaskType
    rate: float = 0.0
    weight_decay: float = 0.0

    @property
    def n_parameters(self) -> int:
        return self.n_features * (1 + self.n_hidden) + 2 * self.n_hidden + 1

    def parts(self, flat: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Linear weights, hidden weights, hidden biases, output weights, as views."""
        edges = np.cumsum([self.n_features, self.n_features * self.n_hidden, self.n_hidden])
        linear, hidden, biases, rest = np.split(flat, edges)
        return linear, hidden.reshape(self.n_features, self.n_hidden), biases, rest[:-1]

    def raw(self, flat: FloatArray, z: FloatArray) -> FloatArray:
        """Raw scores, shape (n_rows, 1); each row by itself."""
        linear, hidden, biases, output = self.parts(flat)
        units = np.tanh(np.einsum("ij,jh->ih", z, hidden) + biases)
        return np.asarray((np.einsum("ij,j->i", z, linear) + np.einsum("ih,h->i", units, output) + flat[-1])[:, None])

    def descend(self, flat: FloatArray, z: FloatArray, y: FloatArray, weight: FloatArray) -> FloatArray:
        """Parameters after one gradient step on these rows."""
        linear, hidden, biases, output = self.parts(flat)
        units = np.tanh(z @ hidden + biases)
        _, by_raw = loss_and_gradient((z @ linear + units @ output + flat[-1])[:, None], y, weight, self.task_type)
        error = by_raw[:, 0]
        by_units = error[:, None] * output * (1.0 - units * units)
        gradient = np.concatenate([z.T @ error, (z.T @ by_units).ravel(), by_units.sum(axis=0), units.T @ error, [error.sum()]])
        return np.asarray(flat - self.rate * (gradient + self.weight_decay * np.r_[flat[:-1], 0.0]))

    def adapt(self, flat: FloatArray, rows: Rows, chosen: NDArray[np.bool_], n_steps: int) -> FloatArray:
        """Parameters after full steps on some rows."""
        z, y, weight = rows.z[chosen], rows.y[chosen], rows.weight[chosen]
        for _ in range(n_steps):
            flat = self.descend(flat, z, y, weight)
        return flat


@dataclass
class MetaModel:
    """The initialisation and one adapted parameter vector a symbol; `adapted` has shape (n_symbols, n_parameters)."""

    net: Net
    standardiser: Standardiser
    symbols: tuple[str, ...]
    initial: FloatArray
    adapted: FloatArray
    label_mean: float
    label_scale: float
    fit_details: dict[str, Any]

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """As the protocol says; symbols are told by name (`Sample.symbol_names`), or by code where the sample has no names."""
        check_offset(NAME, sample, fitted_with_offset=False)
        z = self.standardiser.apply(sample.x)
        raw = np.empty((sample.n_rows, 1))
        known = dict(zip(self.symbols, self.adapted, strict=True))
        for code in np.unique(sample.symbol_codes):
            rows = sample.symbol_codes == code
            raw[rows] = self.net.raw(known.get(_name_of(sample, int(code)), self.initial), z[rows])
        return predictions_of(self.label_mean + self.label_scale * raw, self.net.task_type)

    def save(self, folder: Path) -> None:
        document = {
            "task_type": self.net.task_type,
            "n_features": self.net.n_features,
            "n_hidden": self.net.n_hidden,
            "symbols": self.symbols,
            "label_mean": self.label_mean,
            "label_scale": self.label_scale,
            "fit_details": self.fit_details,
        }
        save_state(folder, document, {"initial": self.initial, "adapted": self.adapted, **self.standardiser.arrays()})


def load_meta(folder: Path) -> MetaModel:
    """Read a model that `MetaModel.save` wrote."""
    document, arrays = load_state(folder)
    net = Net(document["n_features"], document["n_hidden"], TaskType(document["task_type"]))
    standardiser, symbols = Standardiser.from_arrays(arrays), tuple(document["symbols"])
    mean, scale = document["label_mean"], document["label_scale"]
    return MetaModel(net, standardiser, symbols, arrays["initial"], arrays["adapted"], mean, scale, document["fit_details"])


def fit_meta(request: FitRequest) -> MetaModel:
    """Learn the initialisation on the training rows, choose the number of steps on the inner fold, adapt each symbol on both parts.

    The details hold the inner loss of the adapted net, of the initialisation as it is, and of plain pooling: the same net after as many steps a round
    on rows of all symbols.

    Raises
    ------
    FitError
        Also for fewer than `MIN_SYMBOLS` symbols.
    """
    check_request(NAME, request, TASK_TYPES, MIN_ROWS)
    settings = settings_of(NAME, request, DEFAULTS, BOUNDS)
    codes = np.unique(np.concatenate([request.train.symbol_codes, request.inner.symbol_codes]))
    if np.unique(request.train.symbol_codes).size < MIN_SYMBOLS:
        raise FitError(f"{NAME}: {np.unique(request.train.symbol_codes).size} symbol < {MIN_SYMBOLS}; it learns across symbols, give it to pooled jobs")
    standardiser = Standardiser.fit(request.train)
    regression = request.task_type is TaskType.REGRESSION
    y = request.train.y.astype(np.float64)
    mean, scale = (float(y.mean()), float(y.std())) if regression else (0.0, 1.0)
    train, inner = (_scaled(rows_of(standardiser, part), mean, scale) for part in (request.train, request.inner))
    with one_thread():
        net = _net_for(train, settings, request.task_type)
        initial, pooled = _meta_train(net, train, settings, request.seed)
        losses = {steps: _adapted_loss(net, initial, train, inner, steps) for steps in sorted(set(settings["adaptation_steps"]))}
        n_steps = min(losses, key=lambda steps: losses[steps])
        both = joined(train, inner)
        adapted = np.stack([_adapted(net, initial, both, int(code), n_steps) for code in codes])
    pooled_loss = mean_loss(net.raw(pooled, inner.z), inner.y, inner.weight, request.task_type)
    details = {
        "adaptation_steps": n_steps,
        "inner_loss": losses[n_steps],
        "inner_loss_initialisation": _adapted_loss(net, initial, train, inner, 0),
        "inner_loss_pooled": pooled_loss,
        "inner_gain_over_pooled": pooled_loss - losses[n_steps],
        "loss_unit": "half the squared error in label variances" if regression else "log loss in nats",
    }
    names = tuple(_name_of(request.train, int(code)) for code in codes)
    return MetaModel(net, standardiser, names, initial, adapted, mean, scale, details)


def _name_of(sample: Sample, code: int) -> str:
    return sample.symbol_names[code] if sample.symbol_names else str(code)


def _scaled(rows: Rows, mean: float, scale: float) -> Rows:
    return Rows(rows.z, (rows.y - mean) / scale, rows.weight, rows.offset, rows.time_codes, rows.symbol_codes)


def _net_for(rows: Rows, settings: Mapping[str, Any], task_type: TaskType) -> Net:
    """A net whose step is half the largest that is stable on its linear part, hidden units counted at their usual size."""
    curvature = float(np.linalg.eigvalsh(rows.z.T @ rows.z / rows.y.size)[-1]) + 1.0 + 0.4 * settings["n_hidden"]
    # The log loss bends at most a quarter as much as the squared one.
    rate = (1.0 if task_type is TaskType.REGRESSION else 4.0) / curvature
    return Net(rows.z.shape[1], settings["n_hidden"], task_type, rate, settings["weight_decay"])


def _meta_train(net: Net, rows: Rows, settings: Mapping[str, Any], seed: int) -> tuple[FloatArray, FloatArray]:
    """The meta-learned initialisation, and its naive twin: as many steps from the same start on rows of all symbols."""
    generator = np.random.default_rng(seed)
    start = np.zeros(net.n_parameters)
    _, hidden, _, _ = net.parts(start)
    hidden[:] = generator.normal(0.0, 1.0 / np.sqrt(net.n_features), hidden.shape)
    by_symbol = [np.flatnonzero(rows.symbol_codes == code) for code in np.unique(rows.symbol_codes)]
    everyone = np.arange(rows.y.size)
    initial, pooled = start.copy(), start.copy()
    for round_ in range(settings["meta_rounds"]):
        met = generator.permutation(len(by_symbol))[: settings["symbols_per_round"]]
        ends = [_steps(net, initial, rows, by_symbol[symbol], settings, generator) for symbol in met]
        # The meta rate falls to zero, so that the last symbols met do not own the initialisation.
        rate = settings["meta_rate"] * (1.0 - round_ / settings["meta_rounds"])
        initial = initial + rate * (np.mean(ends, axis=0) - initial)
        pooled = _steps(net, pooled, rows, everyone, settings, generator)
    return initial, pooled


def _steps(net: Net, flat: FloatArray, rows: Rows, among: NDArray[np.int64], settings: Mapping[str, Any], generator: np.random.Generator) -> FloatArray:
    for _ in range(settings["steps_per_symbol"]):
        batch = among if among.size <= settings["batch_rows"] else generator.choice(among, settings["batch_rows"], replace=False)
        flat = net.descend(flat, rows.z[batch], rows.y[batch], _positive(rows.weight[batch]))
    return flat


def _positive(weight: FloatArray) -> FloatArray:
    return weight if weight.sum() > 0.0 else np.ones_like(weight)


def _adapted_loss(net: Net, initial: FloatArray, train: Rows, inner: Rows, n_steps: int) -> float:
    raw = np.empty((inner.y.size, 1))
    for code in np.unique(inner.symbol_codes):
        raw[inner.symbol_codes == code] = net.raw(_adapted(net, initial, train, int(code), n_steps), inner.z[inner.symbol_codes == code])
    return mean_loss(raw, inner.y, inner.weight, net.task_type)


def _adapted(net: Net, initial: FloatArray, rows: Rows, code: int, n_steps: int) -> FloatArray:
    mine = (rows.symbol_codes == code) & (rows.weight > 0.0)
    return net.adapt(initial, rows, mine, n_steps) if mine.any() else initial


FAMILY = Family(
    name=NAME,
    stage=Stage.CPU,
    task_types=TASK_TYPES,
    cheap=False,
    defaults=DEFAULTS,
    libraries=("numpy", "safetensors"),
    fit=fit_meta,
    load=load_meta,
    description="An initialisation learned across symbols (Reptile), adapted to each in a few steps; pooled jobs only.",
    min_rows=MIN_ROWS,
    single_symbol=False,
)
