"""From a fit request to numbers a net can learn: scaled inputs and labels in standard units, fitted on the training rows only.

Belongs here: the label's units and related labels. Does not: the inputs' standardiser (`preprocessing`), torch, windows (`rows`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.families.base import FitError, FitRequest, FloatMatrix, Sample
from training_assets.families.preprocessing import Standardiser

CHUNK_ROWS = 65_536

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class LabelScaling:
    """How a raw output becomes the label: regression `centre + spread * raw`; to binary log-odds `centre` is added."""

    centre: float = 0.0
    spread: float = 1.0


@dataclass(frozen=True)
class PreparedRows:
    """One sample's label, weight (mean 1) and raw offset, shape (n_rows,), and related labels, (n_rows, n_auxiliary), in the net's units."""

    label: Vector
    weight: Vector
    offset: Vector
    auxiliary: FloatMatrix

    @property
    def n_rows(self) -> int:
        return int(self.label.size)


@dataclass(frozen=True)
class Prepared:
    """One checked fit request ready to be stacked."""

    request: FitRequest
    inputs: Standardiser
    labels: LabelScaling
    train: PreparedRows
    inner: PreparedRows


def prepare(request: FitRequest, family: str, derived: tuple[str, ...]) -> Prepared:
    """Fit the scaling on the training rows and express both samples in it.

    Parameters
    ----------
    derived : kinds of related labels to derive from y where the request's samples carry none.

    Raises
    ------
    FitError
        Related labels on one of the two samples only, or of another width there.
    """
    given, inner = request.train.auxiliary, request.inner.auxiliary
    widths = [None if part is None else part.shape[1] for part in (given, inner)]
    if widths[0] != widths[1]:
        raise FitError(f"{family}: related labels: {widths[0]} columns on the training rows, {widths[1]} on the inner rows; give both the same")
    labels = _fit_labels(request)
    centres, spreads = _column_units(np.abs(request.train.y)[:, None] if given is None else given)

    def rows(sample: Sample) -> PreparedRows:
        label, offset = _in_units(sample, labels, request.task_type)
        weight = (sample.weight / sample.weight.mean()).astype(np.float32)
        return PreparedRows(label, weight, offset, _related(sample, derived, centres, spreads))

    return Prepared(request, Standardiser.fit(request.train), labels, rows(request.train), rows(request.inner))


def scaled(inputs: Standardiser, values: FloatMatrix) -> FloatMatrix:
    """Standardised inputs as float32, features on the last axis, a chunk at a time so that float64 copies stay small."""
    flat = values.reshape(-1, values.shape[-1])
    made = np.empty(flat.shape, np.float32)
    for start in range(0, flat.shape[0], CHUNK_ROWS):
        made[start : start + CHUNK_ROWS] = inputs.apply(flat[start : start + CHUNK_ROWS])
    return made.reshape(values.shape)


def _fit_labels(request: FitRequest) -> LabelScaling:
    sample = request.train
    label, weight = sample.y.astype(np.float64), sample.weight.astype(np.float64)
    if request.task_type is TaskType.REGRESSION:
        left = label if sample.offset is None else label - sample.offset
        centre = float(np.average(left, weights=weight))
        spread = float(np.sqrt(np.average((left - centre) ** 2, weights=weight)))
        return LabelScaling(centre, spread if spread > 0 else 1.0)
    if request.task_type is TaskType.BINARY_CLASSIFICATION and sample.offset is None:
        share = float(np.clip(np.average(label, weights=weight), 1e-4, 1 - 1e-4))
        return LabelScaling(float(np.log(share / (1 - share))))
    return LabelScaling()


def _in_units(sample: Sample, labels: LabelScaling, task_type: TaskType) -> tuple[Vector, Vector]:
    """Label and raw offset as the loss reads them; a regression's offset is taken out of its label."""
    label = sample.y.astype(np.float64)
    offset = np.zeros(label.size) if sample.offset is None else sample.offset.astype(np.float64)
    if task_type is TaskType.REGRESSION:
        return ((label - offset - labels.centre) / labels.spread).astype(np.float32), np.zeros(label.size, np.float32)
    return sample.y.astype(np.float32), (offset + labels.centre).astype(np.float32)


def _column_units(values: FloatMatrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation by column over known values; 0 and 1 where there is nothing to measure."""
    known = np.isfinite(values)
    counts = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, values, 0.0).astype(np.float64)
    means = filled.sum(axis=0) / counts
    spreads = np.sqrt((np.where(known, filled - means, 0.0) ** 2).sum(axis=0) / counts)
    return means, np.where(spreads > 0, spreads, 1.0)


def _related(sample: Sample, derived: tuple[str, ...], centres: NDArray[np.float64], spreads: NDArray[np.float64]) -> FloatMatrix:
    """Related labels given with the sample in standard units; else |y| ('value') and whether y > 0 ('sign')."""
    if sample.auxiliary is not None:
        return ((sample.auxiliary - centres) / spreads).astype(np.float32)
    sizes = ((np.abs(sample.y) - centres[0]) / spreads[0]).astype(np.float32)
    columns = [(sample.y > 0).astype(np.float32) if kind == "sign" else sizes for kind in derived]
    return np.stack(columns, axis=1) if columns else np.zeros((sample.n_rows, 0), np.float32)
