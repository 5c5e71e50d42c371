"""TabTransformer: self-attention among the features of a row.

Each feature becomes a token, a learned token reads them, and its last state predicts.
Source: FT-Transformer of Gorishniy et al. 2021.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from training_assets.families.nets.spec import Inputs, Net, Weight, dense, encoder, norm, tokenizer
from training_assets.families.torch_family import torch_family

if TYPE_CHECKING:
    from torch import Tensor


class TabTransformerNet(Net):
    """Tokens behind a reading token, `layers` blocks of attention, head on the reading token."""

    family = "TabTransformer"
    settings = {"layers": 1, "heads": 4}  # noqa: RUF012 - read-only by its declared type

    def weights(self) -> dict[str, Weight]:
        hidden = self.shape.whole("hidden")
        tensors = tokenizer(self.shape.n_inputs, hidden, reader=True)
        for layer in range(self.shape.whole("layers")):
            tensors |= encoder(f"block{layer}", hidden)
        return {**tensors, **norm("norm", hidden), **dense("head", hidden, self.shape.n_outputs, start=0.0)}

    def positions(self) -> int:
        return self.shape.n_inputs

    def outputs(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "Tensor":
        from training_assets.families.nets.layers import encoder_block, layer_norm, linear, tokens

        row = tokens(p, inputs.values)
        layers, heads = self.shape.whole("layers"), self.shape.whole("heads")
        for layer in range(layers):
            row = encoder_block(p, f"block{layer}", row, heads, None, only=0 if layer == layers - 1 else None)
        return linear(p, "head", layer_norm(p, "norm", row[:, :, 0]))


FAMILY = torch_family(TabTransformerNet, "Attention among the features of a row, read by a learned token (FT-Transformer).")
