"""MultiTask: a shared trunk with one head for the target and others for related tasks, whose errors shape the trunk.

Related tasks are the sample's `auxiliary` labels where given (other targets on the same rows). Without them a regression derives |y| and
sign(y) from its own label, and a classification reconstructs the feature row from the trunk.
Source: Caruana 1997; the reconstruction head is the supervised auto-encoder of Le, Patterson & White 2018.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from config.sections.base import TaskType
from training_assets.families.nets.spec import Inputs, Net, Truth, Weight, dense, norm
from training_assets.families.torch_family import torch_family

if TYPE_CHECKING:
    from torch import Tensor


class MultiTaskNet(Net):
    """Two shared layers, a hidden layer of its own for the target, linear heads for the rest."""

    family = "MultiTask"
    reads_auxiliary = True
    settings = {"auxiliary_weight": 0.3}  # noqa: RUF012 - read-only by its declared type

    @classmethod
    def derived_auxiliary(cls, task_type: TaskType) -> tuple[str, ...]:
        return ("value", "sign") if task_type is TaskType.REGRESSION else ()

    def weights(self) -> dict[str, Weight]:
        hidden = self.shape.whole("hidden")
        related = len(self.shape.auxiliary_kinds) or self.shape.n_inputs
        return {
            **dense("first", self.shape.n_inputs, hidden),
            **norm("norm", hidden),
            **dense("second", hidden, hidden),
            **dense("own", hidden, hidden),
            **dense("head", hidden, self.shape.n_outputs, start=0.0),
            **dense("related", hidden, related, start=0.0),
        }

    def outputs(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "Tensor":
        return self._target(p, self._trunk(p, inputs))

    def loss(self, player: str, p: "Mapping[str, Tensor]", inputs: Inputs, truth: Truth, noise: "Tensor | None") -> "Tensor":
        from training_assets.families.nets.layers import linear
        from training_assets.families.nets.losses import auxiliary_loss, supervised_loss, weighted_mean

        trunk = self._trunk(p, inputs)
        guess = linear(p, "related", trunk)
        if self.shape.auxiliary_kinds:
            related = auxiliary_loss(guess, truth, self.shape.auxiliary_kinds)
        else:
            related = weighted_mean((guess - inputs.values).square().mean(dim=-1), truth.weight)
        return supervised_loss(self.shape.task_type, self._target(p, trunk), truth) + self.shape.settings["auxiliary_weight"] * related

    def _trunk(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "Tensor":
        from training_assets.families.nets.layers import gelu, layer_norm, linear

        return gelu(linear(p, "second", gelu(layer_norm(p, "norm", linear(p, "first", inputs.values)))))

    def _target(self, p: "Mapping[str, Tensor]", trunk: "Tensor") -> "Tensor":
        from training_assets.families.nets.layers import gelu, linear

        return linear(p, "head", gelu(linear(p, "own", trunk)))


FAMILY = torch_family(MultiTaskNet, "Shared trunk with heads for the target and for related labels, given or derived.")
