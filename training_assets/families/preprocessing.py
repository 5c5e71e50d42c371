"""What the CPU families share before and after the numbers: standardised inputs, request checks, open files.

Belongs here: imputation and scaling that remember the window they were fitted on, what a request must satisfy, joining the two samples of a
request, and state as JSON and safetensors. Does not: any model.
"""

import difflib
import importlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.families.base import FitError, FitRequest, FloatMatrix, Sample

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

FloatArray = NDArray[np.float64]
State = tuple[dict[str, Any], dict[str, NDArray[Any]]]

CLIP_DEVIATIONS = 8.0
"""Standardised features are cut off here: one bad print must not own a linear model."""
DOCUMENT_FILE = "model.json"
ARRAYS_FILE = "state.safetensors"


@dataclass(frozen=True)
class Standardiser:
    """Median imputation and scaling to zero mean and unit variance, fitted inside a fit and saved with the model.

    `medians`, `means`, `scales` : shape (n_features,), float64, over finite values of the fit window; a feature that is constant or never
    known there becomes zero. `fit_window` : first and last time code seen.
    """

    medians: FloatArray
    means: FloatArray
    scales: FloatArray
    fit_window: tuple[int, int]

    @classmethod
    def fit(cls, sample: Sample) -> "Standardiser":
        """Learn medians, means and scales from the rows of one sample, and from no other."""
        columns = np.ascontiguousarray(sample.x.T, dtype=np.float64)
        finite = np.isfinite(columns)
        whole = finite.all(axis=1)
        medians = np.zeros(columns.shape[0])
        medians[whole] = np.median(columns[whole], axis=1)
        for place in np.flatnonzero(~whole & finite.any(axis=1)):
            medians[place] = np.median(columns[place, finite[place]])
        if not whole.all():
            columns = np.where(finite, columns, medians[:, None])
        means, deviations = columns.mean(axis=1), columns.std(axis=1)
        # Below rounding error of the mean a spread is no information; an infinite scale makes a feature zero wherever it is applied.
        scales = np.where(deviations > 1e-9 * np.maximum(1e-12, np.abs(means)), deviations, np.inf)
        return cls(medians, means, scales, (int(sample.time_codes.min()), int(sample.time_codes.max())))

    def apply(self, x: FloatMatrix) -> FloatArray:
        """Standardise rows; shape (n_rows, n_features), float64, without NaN. Raises ValueError for another number of features."""
        if x.shape[1] != self.medians.size:
            raise ValueError(f"sample has {x.shape[1]} features, the model was fitted on {self.medians.size}; pass the features of its model card, in order")
        z = x.astype(np.float64)
        unknown = ~np.isfinite(z)
        z[unknown] = np.broadcast_to(self.medians, z.shape)[unknown]
        z -= self.means
        z /= self.scales
        return np.clip(z, -CLIP_DEVIATIONS, CLIP_DEVIATIONS, out=z)

    def only(self, columns: Sequence[int]) -> "Standardiser":
        """The same for some of the features, in the order given."""
        chosen = list(columns)
        return Standardiser(self.medians[chosen], self.means[chosen], self.scales[chosen], self.fit_window)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its state under names that no family uses."""
        return {
            "standardiser_medians": self.medians,
            "standardiser_means": self.means,
            "standardiser_scales": self.scales,
            "standardiser_fit_window": np.array(self.fit_window, dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Standardiser":
        first, last = arrays["standardiser_fit_window"].tolist()
        return cls(arrays["standardiser_medians"], arrays["standardiser_means"], arrays["standardiser_scales"], (first, last))


@dataclass(frozen=True)
class Rows:
    """Standardised rows of a fit, symbol after symbol, time ascending within a symbol; all float64, shape (n_rows, ...)."""

    z: FloatArray
    y: FloatArray
    weight: FloatArray
    offset: FloatArray
    time_codes: NDArray[np.int32]
    symbol_codes: NDArray[np.int32]


def rows_of(standardiser: Standardiser, sample: Sample) -> Rows:
    """A sample as standardised rows; no offset reads as zero."""
    offset = np.zeros(sample.n_rows) if sample.offset is None else sample.offset.astype(np.float64)
    return Rows(standardiser.apply(sample.x), sample.y.astype(np.float64), sample.weight.astype(np.float64), offset, sample.time_codes, sample.symbol_codes)


def join_order(train: Sample | Rows, inner: Sample | Rows) -> NDArray[np.int64]:
    """Positions that put train rows followed by inner rows back into symbol and time order."""
    times = np.concatenate([train.time_codes, inner.time_codes])
    return np.lexsort((times, np.concatenate([train.symbol_codes, inner.symbol_codes])))


def joined(train: Rows, inner: Rows) -> Rows:
    """Both parts of a request as one, for the refit once a strength has been chosen."""
    order = join_order(train, inner)

    def both(name: str) -> Any:
        return np.concatenate([getattr(train, name), getattr(inner, name)])[order]

    return Rows(both("z"), both("y"), both("weight"), both("offset"), both("time_codes"), both("symbol_codes"))


def part_of(sample: Sample, rows: NDArray[np.bool_]) -> Sample:
    """Some rows of a sample; the history they look back on stays whole."""
    return replace(
        sample,
        x=sample.x[rows],
        y=sample.y[rows],
        weight=sample.weight[rows],
        time_codes=sample.time_codes[rows],
        symbol_codes=sample.symbol_codes[rows],
        label_end_codes=sample.label_end_codes[rows],
        history_rows=sample.history_rows[rows],
        history_starts=sample.history_starts[rows],
        offset=None if sample.offset is None else sample.offset[rows],
        auxiliary=None if sample.auxiliary is None else sample.auxiliary[rows],
    )


def known_values(x: FloatMatrix) -> FloatMatrix:
    """The features with infinities as NaN, for libraries that route NaN by themselves."""
    return x if np.isfinite(x).all() else np.where(np.isfinite(x), x, np.float32(np.nan))


def settings_of(family: str, request: FitRequest, defaults: Mapping[str, Any], bounds: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """The family's defaults with the request's hyperparameters over them.

    Raises
    ------
    FitError
        An unknown hyperparameter (with the nearest known one), a value of another type than the default's, or one outside its bounds.
    """
    settings = dict(defaults)
    for key, value in request.hyperparameters.items():
        where = f"{family}: hyperparameter '{key}'"
        if key not in defaults:
            close = difflib.get_close_matches(key, defaults, n=1)
            raise FitError(f"{where} is unknown{f'; did you mean {close[0]!r}?' if close else ''} (known: {', '.join(sorted(defaults))})")
        settings[key] = _like(defaults[key], value, where)
    for key, (low, high) in bounds.items():
        for value in settings[key] if isinstance(settings[key], tuple) else (settings[key],):
            if not low <= value <= high:
                raise FitError(f"{family}: hyperparameter '{key}' is {value}, outside [{low:g}, {high:g}]; mend training.hyperparameters.{family}.{key}")
    return settings


def _like(default: Any, value: Any, where: str) -> Any:
    """The value in the type of the default, or a `FitError`."""
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple) or (default and not value):
            raise FitError(f"{where} is {value!r}; it takes a list of at least one value")
        # An empty default stands for a list of names.
        return tuple(_like(default[0] if default else "", item, where) for item in value)
    if isinstance(default, float):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise FitError(f"{where} is {value!r}; it takes a finite number")
        return float(value)
    if type(value) is not type(default):
        raise FitError(f"{where} is {value!r}; it takes a value of type {type(default).__name__}")
    return value


def check_request(family: str, request: FitRequest, task_types: frozenset[TaskType], min_rows: int, takes_offset: bool = False) -> None:
    """Refuse a request that the family cannot be fitted on.

    Raises
    ------
    FitError
        A task type the family does not declare, too few rows, an empty inner fold, labels that are not known, one class only, a constant
        regression label, class codes out of range, or an offset where the family cannot add to one.
    """
    train, inner = request.train, request.inner
    if request.task_type not in task_types:
        raise FitError(f"{family}: task type {request.task_type} is not among those it declares ({', '.join(sorted(task_types))})")
    if train.n_rows < min_rows:
        raise FitError(f"{family}: {train.n_rows} training rows < {min_rows}; give the pair more history or leave the family out")
    if inner.n_rows < 1:
        raise FitError(f"{family}: the inner fold has 0 rows < 1; raise splits.inner_fraction or give the pair more history")
    for name, sample in (("training", train), ("inner", inner)):
        _check_labels(family, f"{name} rows", sample, request)
    if np.unique(train.y).size < 2:
        raise FitError(f"{family}: the training labels hold 1 distinct value ({train.y[0]:g}) < 2; there is nothing to learn on this window")
    if (train.offset is None) != (inner.offset is None):
        raise FitError(f"{family}: only one of the training and inner rows carries an offset; give both or neither")
    if train.offset is not None and (not takes_offset or request.task_type is TaskType.MULTICLASS_CLASSIFICATION):
        raise FitError(f"{family}: cannot add to an offset on {request.task_type}; fit it without one")


def _check_labels(family: str, where: str, sample: Sample, request: FitRequest) -> None:
    if not np.isfinite(sample.y).all():
        raise FitError(f"{family}: {int((~np.isfinite(sample.y)).sum())} of {sample.n_rows} {where} have no finite label; pass labelled rows only")
    if sample.offset is not None and not np.isfinite(sample.offset).all():
        raise FitError(f"{family}: {int((~np.isfinite(sample.offset)).sum())} of {sample.n_rows} {where} have no finite offset")
    if not (np.isfinite(sample.weight).all() and (sample.weight >= 0).all() and sample.weight.sum() > 0):
        raise FitError(f"{family}: the weights of the {where} must be finite, at least 0 and not all 0")
    if request.task_type is not TaskType.REGRESSION:
        n_classes = 2 if request.task_type is TaskType.BINARY_CLASSIFICATION else request.n_classes
        if not np.isin(sample.y, np.arange(n_classes)).all():
            raise FitError(f"{family}: {where} hold class codes outside 0..{n_classes - 1}; pass codes, not class values")


def check_offset(family: str, sample: Sample, fitted_with_offset: bool) -> None:
    """Refuse a prediction that would leave out, or add, an offset the fit did not have."""
    if (sample.offset is not None) != fitted_with_offset:
        has, had = ("carries an", "without one") if sample.offset is not None else ("carries no", "with one")
        raise ValueError(f"{family}: the sample {has} offset, the model was fitted {had}; pass the same raw score as at the fit")


@contextmanager
def one_thread(*modules: str) -> Iterator[None]:
    """Hold BLAS and OpenMP to one thread, so that a fit keeps to its core and its sums keep their order.

    `modules` : what the fit will import; a thread pool that is loaded later than the limit is set escapes it.
    """
    with _thread_pools(modules).limit(limits=1):
        yield


@cache
def _thread_pools(modules: tuple[str, ...]) -> "ThreadpoolController":
    """The thread pools loaded once the modules are. Looked up once a process: the search reads its memory map, 3 ms, as long as a small fit."""
    from threadpoolctl import ThreadpoolController

    for module in modules:
        importlib.import_module(module)
    return ThreadpoolController()


def save_state(folder: Path, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a model as `model.json` and `state.safetensors`; the same state gives the same bytes."""
    from safetensors.numpy import save_file

    (folder / DOCUMENT_FILE).write_text(json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if arrays:
        save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, folder / ARRAYS_FILE)


def load_state(folder: Path) -> State:
    """Read what `save_state` wrote; nothing in it can run code."""
    from safetensors.numpy import load_file

    document = json.loads((folder / DOCUMENT_FILE).read_text(encoding="utf-8"))
    arrays = load_file(folder / ARRAYS_FILE) if (folder / ARRAYS_FILE).exists() else {}
    return document, arrays
