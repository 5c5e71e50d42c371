"""Transformer: causal self-attention over the last bars.

Source: Vaswani et al. 2017, pre-norm blocks, learned positions; a bar attends to itself and to earlier bars that exist.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from training_assets.families.nets.spec import Inputs, Net, Weight, dense, encoder, norm
from training_assets.families.torch_family import torch_family

if TYPE_CHECKING:
    from torch import Tensor


class TransformerNet(Net):
    """Bars to tokens with positions, `layers` causal blocks, head on the newest bar's token."""

    family = "Transformer"
    windowed = True
    settings = {"window": 16, "layers": 1, "heads": 4}  # noqa: RUF012 - read-only by its declared type

    def weights(self) -> dict[str, Weight]:
        hidden = self.shape.whole("hidden")
        tensors = {**dense("bars", self.shape.n_inputs, hidden), "positions": Weight((self.shape.whole("window"), hidden), 0.5)}
        for layer in range(self.shape.whole("layers")):
            tensors |= encoder(f"block{layer}", hidden)
        return {**tensors, **norm("norm", hidden), **dense("head", hidden, self.shape.n_outputs, start=0.0)}

    def outputs(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "Tensor":
        from training_assets.families.nets.layers import causal_allowed, encoder_block, layer_norm, linear

        if inputs.mask is None:
            raise ValueError("Transformer: reads windows of bars, got single rows")
        bars = linear(p, "bars", inputs.values) + p["positions"][:, None]
        allowed, layers, heads = causal_allowed(inputs.mask), self.shape.whole("layers"), self.shape.whole("heads")
        for layer in range(layers):
            bars = encoder_block(p, f"block{layer}", bars, heads, allowed, only=-1 if layer == layers - 1 else None)
        return linear(p, "head", layer_norm(p, "norm", bars[:, :, 0]))


FAMILY = torch_family(TransformerNet, "Causal self-attention over the last bars.")
