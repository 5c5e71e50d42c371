"""AdamW over a stack of models, each with its own clock, clipping and pause.

Belongs here: the update rule. Does not: losses, early stopping.
Source: Loshchilov & Hutter 2019, with torch's default decay rates.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
MAX_GRADIENT_NORM = 1.0


@dataclass
class StackedAdamW:
    """State of the optimiser for `flat` weights of shape (n_models, n_weights); a model that is not moving is not touched."""

    flat: Tensor
    learning_rate: float
    weight_decay: float

    def __post_init__(self) -> None:
        self.mean = torch.zeros_like(self.flat)
        self.square = torch.zeros_like(self.flat)
        self.steps = torch.zeros(self.flat.shape[0], 1, device=self.flat.device)

    @torch.no_grad()
    def step(self, gradient: Tensor, moving: Tensor) -> None:
        """One update by `gradient` (n_models, n_weights) of the models where `moving` (n_models, 1) is 1."""
        gradient = gradient * (MAX_GRADIENT_NORM / (gradient.norm(dim=1, keepdim=True) + 1e-6)).clamp_max(1.0)
        self.steps += moving
        self.mean.lerp_(gradient, (1 - BETA1) * moving)
        self.square.lerp_(gradient.square(), (1 - BETA2) * moving)
        clock = self.steps.clamp_min(1.0)
        scale = ((self.square / (1 - BETA2**clock)).sqrt_() + EPSILON).reciprocal_()
        update = (self.mean / (1 - BETA1**clock)).mul_(scale).add_(self.flat, alpha=self.weight_decay)
        self.flat -= self.learning_rate * moving * update

    def keep(self, models: Tensor) -> None:
        """Go on with some of the models only."""
        self.flat, self.mean, self.square, self.steps = (held[models] for held in (self.flat, self.mean, self.square, self.steps))
