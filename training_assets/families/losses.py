"""Raw scores, what they predict, and how wrong they are, for the three task types.

Belongs here: the link and the loss that every family shares. Does not: any fit.
A raw score has shape (n_rows, n_outputs): one output for regression and binary (log-odds), one a class for multi-class (logits).
"""

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType

FloatArray = NDArray[np.float64]

SMALLEST_PROBABILITY = 1e-6


def n_outputs(task_type: TaskType, n_classes: int) -> int:
    """Columns of a raw score."""
    return n_classes if task_type is TaskType.MULTICLASS_CLASSIFICATION else 1


def predictions_of(raw: FloatArray, task_type: TaskType) -> NDArray[np.float32]:
    """What a raw score predicts: shape (n_rows,) value or probability of class 1; shape (n_rows, n_classes) for multi-class."""
    if task_type is TaskType.REGRESSION:
        return raw[:, 0].astype(np.float32)
    if task_type is TaskType.BINARY_CLASSIFICATION:
        return sigmoid(raw[:, 0]).astype(np.float32)
    return softmax(raw).astype(np.float32)


def raw_of(predictions: NDArray[np.float32], task_type: TaskType) -> FloatArray:
    """The raw score behind predictions, probabilities kept away from 0 and 1 by `SMALLEST_PROBABILITY`."""
    values = predictions.astype(np.float64)
    if task_type is TaskType.REGRESSION:
        return values[:, None]
    values = np.clip(values, SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
    return np.log(values / (1.0 - values))[:, None] if task_type is TaskType.BINARY_CLASSIFICATION else np.log(values)


def loss_and_gradient(raw: FloatArray, y: FloatArray, weight: FloatArray, task_type: TaskType) -> tuple[float, FloatArray]:
    """Weighted mean loss and its gradient by raw score.

    Half the squared error for regression, log loss in nats for classification; the gradient has the shape of `raw`.
    """
    share = weight / weight.sum()
    if task_type is TaskType.REGRESSION:
        error = raw[:, 0] - y
        return float(0.5 * (share * error * error).sum()), (share * error)[:, None]
    if task_type is TaskType.BINARY_CLASSIFICATION:
        losses = np.logaddexp(0.0, raw[:, 0]) - y * raw[:, 0]
        return float((share * losses).sum()), (share * (sigmoid(raw[:, 0]) - y))[:, None]
    codes = y.astype(np.int64)
    probabilities = softmax(raw)
    picked = np.maximum(probabilities[np.arange(codes.size), codes], 1e-300)
    gradient = probabilities
    gradient[np.arange(codes.size), codes] -= 1.0
    return float(-(share * np.log(picked)).sum()), gradient * share[:, None]


def row_losses(raw: FloatArray, y: FloatArray, task_type: TaskType) -> FloatArray:
    """Loss of each row, shape (n_rows,); `mean_loss` is their weighted mean."""
    if task_type is TaskType.REGRESSION:
        return np.asarray(0.5 * (raw[:, 0] - y) ** 2)
    if task_type is TaskType.BINARY_CLASSIFICATION:
        return np.asarray(np.logaddexp(0.0, raw[:, 0]) - y * raw[:, 0])
    picked = np.take_along_axis(softmax(raw), y.astype(np.int64)[:, None], axis=1)[:, 0]
    return np.asarray(-np.log(np.maximum(picked, 1e-300)))


def mean_loss(raw: FloatArray, y: FloatArray, weight: FloatArray, task_type: TaskType) -> float:
    """Weighted mean loss, as `loss_and_gradient`."""
    return loss_and_gradient(raw, y, weight, task_type)[0]


def sigmoid(values: FloatArray) -> FloatArray:
    """Logistic function without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))


def softmax(raw: FloatArray) -> FloatArray:
    """Probabilities of the classes, shape of `raw`, rows summing to 1."""
    shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
