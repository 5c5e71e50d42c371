"""CNN1D: causal dilated convolutions over the last bars.

Source: Bai, Kolter & Koltun 2018 (temporal convolutional network); dilation doubles by layer, residual connections.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from training_assets.families.nets.spec import Inputs, Net, Weight, dense, norm
from training_assets.families.torch_family import torch_family

if TYPE_CHECKING:
    from torch import Tensor


class CNN1DNet(Net):
    """Bars to channels, `layers` residual causal convolutions, head on the newest bar's channels."""

    family = "CNN1D"
    windowed = True
    settings = {"window": 16, "layers": 3}  # noqa: RUF012 - read-only by its declared type

    def weights(self) -> dict[str, Weight]:
        hidden = self.shape.whole("hidden")
        tensors = dense("bars", self.shape.n_inputs, hidden)
        for layer in range(self.shape.whole("layers")):
            tensors |= dense(f"layer{layer}", 3 * hidden, hidden)
        return {**tensors, **norm("norm", hidden), **dense("head", hidden, self.shape.n_outputs, start=0.0)}

    def outputs(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "Tensor":
        from training_assets.families.nets.layers import layer_norm, linear, newest_of_causal_convolutions

        names = [f"layer{layer}" for layer in range(self.shape.whole("layers"))]
        newest = newest_of_causal_convolutions(p, names, linear(p, "bars", inputs.values))
        return linear(p, "head", layer_norm(p, "norm", newest))


FAMILY = torch_family(CNN1DNet, "Causal dilated convolutions over the last bars.")
