"""GAN: a conditional generator of the label given the row, and an adversary that tells generated labels from real ones.

Both train at every step: the adversary on real and generated (row, label) pairs, the generator on fooling it plus the supervised loss of
its mean over draws. The prediction is the generator's conditional mean (or mean probability) over fixed noise draws that are part of the
model. Loss curves of both players are in the fit details.
Source: Mirza & Osindero 2014 (conditional GAN); adversarial plus supervised term as in Isola et al. 2017; for regression Aggarwal et al. 2019.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from config.sections.base import TaskType
from training_assets.families.nets.spec import FROZEN, NET, Inputs, Net, Truth, Weight, dense
from training_assets.families.torch_family import torch_family

if TYPE_CHECKING:
    from torch import Tensor

ADVERSARY = "adversary"
TRAINING_DRAWS = 2


class GANNet(Net):
    """Generator (row, noise) to label; adversary (row, label) to real or not."""

    family = "GAN"
    players = (ADVERSARY, NET)
    settings = {"latent": 4, "draws": 16, "adversarial_weight": 0.05}  # noqa: RUF012 - read-only by its declared type

    def weights(self) -> dict[str, Weight]:
        hidden, latent, width = self.shape.whole("hidden"), self.shape.whole("latent"), self.shape.n_inputs
        return {
            **dense("row", width, hidden),
            **dense("noise", latent, hidden),
            **dense("wide", hidden, hidden),
            **dense("label", hidden, self.shape.n_outputs),
            "draws": Weight((self.shape.whole("draws"), latent), normal=True, player=FROZEN),
            **dense("judge", width + self.shape.n_outputs, hidden, player=ADVERSARY),
            **dense("verdict", hidden, 1, player=ADVERSARY),
        }

    def noise_width(self) -> int:
        return TRAINING_DRAWS * self.shape.whole("latent")

    def outputs(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "Tensor":
        k, rows, _ = inputs.values.shape
        draws = p["draws"].unsqueeze(1).expand(k, rows, -1, -1)
        return self._mean(self._generated(p, inputs.values, draws))

    def loss(self, player: str, p: "Mapping[str, Tensor]", inputs: Inputs, truth: Truth, noise: "Tensor | None") -> "Tensor":
        from training_assets.families.nets.losses import supervised_loss

        if noise is None:
            raise ValueError("GAN: its loss needs noise; the trainer draws noise_width() numbers a row")
        draws = noise.view(*noise.shape[:2], TRAINING_DRAWS, -1)
        made = self._generated(p, inputs.values, draws)
        if player == ADVERSARY:
            real = self._verdict(p, inputs.values, self._real(truth).unsqueeze(2), truth, real=True)
            return 0.5 * (real + self._verdict(p, inputs.values, self._shown(made, truth).detach(), truth, real=False))
        fooled = self._verdict(p, inputs.values, self._shown(made, truth), truth, real=True)
        return supervised_loss(self.shape.task_type, self._mean(made), truth) + self.shape.settings["adversarial_weight"] * fooled

    def _generated(self, p: "Mapping[str, Tensor]", values: "Tensor", draws: "Tensor") -> "Tensor":
        """Raw labels (K, B, draws, n_outputs)."""
        from training_assets.families.nets.layers import gelu, linear

        hidden = gelu(linear(p, "row", values).unsqueeze(2) + linear(p, "noise", draws))
        return linear(p, "label", gelu(linear(p, "wide", hidden)))

    def _mean(self, made: "Tensor") -> "Tensor":
        from training_assets.families.nets.losses import probabilities, raw_of_probabilities

        return raw_of_probabilities(self.shape.task_type, probabilities(self.shape.task_type, made).mean(dim=2))

    def _shown(self, made: "Tensor", truth: Truth) -> "Tensor":
        """Generated labels as the adversary sees them: values, or probabilities with the row's offset."""
        from training_assets.families.nets.losses import probabilities

        if self.shape.task_type is TaskType.BINARY_CLASSIFICATION:
            made = made + truth.offset[:, :, None, None]
        return probabilities(self.shape.task_type, made)

    def _real(self, truth: Truth) -> "Tensor":
        """Real labels in the same form: values, 0 or 1, or one-hot."""
        from torch.nn.functional import one_hot

        if self.shape.task_type is TaskType.MULTICLASS_CLASSIFICATION:
            return one_hot(truth.label.long(), self.shape.n_outputs).to(truth.label.dtype)
        return truth.label.unsqueeze(-1)

    def _verdict(self, p: "Mapping[str, Tensor]", values: "Tensor", labels: "Tensor", truth: Truth, real: bool) -> "Tensor":
        """The adversary's log loss (K,) on labels (K, B, draws, n_outputs), told that they are real or not."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        from training_assets.families.nets.layers import gelu, linear
        from training_assets.families.nets.losses import weighted_mean

        rows = values.unsqueeze(2).expand(-1, -1, labels.shape[2], -1)
        verdict = linear(p, "verdict", gelu(linear(p, "judge", torch.cat([rows, labels], dim=-1)))).squeeze(-1)
        told = torch.full_like(verdict, float(real))
        return weighted_mean(binary_cross_entropy_with_logits(verdict, told, reduction="none").mean(dim=2), truth.weight)


FAMILY = torch_family(GANNet, "Conditional generator of the label against an adversary; predicts the generator's mean over fixed noise draws.")
