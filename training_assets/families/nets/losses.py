"""Losses by task over many models at once.

Belongs here: weighted losses of raw outputs, shape (K,). Does not: anything that draws or trains.
"""

import torch
from torch import Tensor
from torch.nn import functional

from config.sections.base import TaskType
from training_assets.families.nets.spec import Truth


def weighted_mean(loss: Tensor, weight: Tensor) -> Tensor:
    """Mean over rows of (K, B) by weight, shape (K,); 0 for a model whose rows all pad."""
    return (loss * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1e-12)


def row_losses(task_type: TaskType, raw: Tensor, truth: Truth) -> Tensor:
    """Squared error, or negative log likelihood, of each row, shape (K, B); the raw offset is added to a single output."""
    if task_type is TaskType.MULTICLASS_CLASSIFICATION:
        return -functional.log_softmax(raw, dim=-1).gather(-1, truth.label.long().unsqueeze(-1)).squeeze(-1)
    single = raw.squeeze(-1) + truth.offset
    if task_type is TaskType.BINARY_CLASSIFICATION:
        return functional.binary_cross_entropy_with_logits(single, truth.label, reduction="none")
    return (single - truth.label).square()


def supervised_loss(task_type: TaskType, raw: Tensor, truth: Truth) -> Tensor:
    """Weighted mean loss of each model, shape (K,)."""
    return weighted_mean(row_losses(task_type, raw, truth), truth.weight)


def probabilities(task_type: TaskType, raw: Tensor) -> Tensor:
    """Raw outputs as probabilities of each class, or of class 1; regression passes through."""
    if task_type is TaskType.MULTICLASS_CLASSIFICATION:
        return torch.softmax(raw, dim=-1)
    return torch.sigmoid(raw) if task_type is TaskType.BINARY_CLASSIFICATION else raw


def raw_of_probabilities(task_type: TaskType, chance: Tensor) -> Tensor:
    """Inverse of `probabilities`, kept finite."""
    if task_type is TaskType.REGRESSION:
        return chance
    bounded = chance.clamp(1e-6, 1 - 1e-6)
    return bounded.log() if task_type is TaskType.MULTICLASS_CLASSIFICATION else torch.logit(bounded)


def auxiliary_loss(raw: Tensor, truth: Truth, kinds: tuple[str, ...]) -> Tensor:
    """Mean loss over related labels, shape (K,): squared error for 'value', log loss for 'sign'; unknown labels do not count."""
    total = raw.new_zeros(raw.shape[0])
    for column, kind in enumerate(kinds):
        label = truth.auxiliary[..., column]
        known = torch.isfinite(label)
        filled = torch.where(known, label, torch.zeros_like(label))
        guess = raw[..., column]
        loss = functional.binary_cross_entropy_with_logits(guess, filled, reduction="none") if kind == "sign" else (guess - filled).square()
        total = total + weighted_mean(loss, truth.weight * known)
    return total / max(len(kinds), 1)
