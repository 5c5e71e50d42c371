"""MLP: a feed-forward net on the feature row, the plainest of the nets.

Source: two hidden layers with layer norm, as the baseline of Gorishniy et al. 2021 ("Revisiting deep learning models for tabular data").
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from training_assets.families.nets.spec import Inputs, Net, Weight, dense, norm
from training_assets.families.torch_family import torch_family

if TYPE_CHECKING:
    from torch import Tensor


class MLPNet(Net):
    """Row to hidden to hidden to output."""

    family = "MLP"

    def weights(self) -> dict[str, Weight]:
        hidden = self.shape.whole("hidden")
        return {
            **dense("first", self.shape.n_inputs, hidden),
            **norm("norm", hidden),
            **dense("second", hidden, hidden),
            **dense("head", hidden, self.shape.n_outputs, start=0.0),
        }

    def outputs(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "Tensor":
        from training_assets.families.nets.layers import gelu, layer_norm, linear

        hidden = gelu(layer_norm(p, "norm", linear(p, "first", inputs.values)))
        return linear(p, "head", gelu(linear(p, "second", hidden)))


FAMILY = torch_family(MLPNet, "Feed-forward net on the feature row: two hidden layers, layer norm.")
