"""TabCNN: convolutions over the feature row as tokens.

Each feature becomes a token (feature tokenizer of Gorishniy et al. 2021) and neighbours in the feature list, which lists like features
together, share kernels; mean and maximum over tokens feed the head. No axis poses as time.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from training_assets.families.nets.spec import Inputs, Net, Weight, dense, norm, tokenizer
from training_assets.families.torch_family import torch_family

if TYPE_CHECKING:
    from torch import Tensor


class TabCNNNet(Net):
    """Tokens, `layers` residual convolutions that look both ways, pooled head."""

    family = "TabCNN"
    settings = {"layers": 2}  # noqa: RUF012 - read-only by its declared type

    def weights(self) -> dict[str, Weight]:
        hidden = self.shape.whole("hidden")
        tensors = tokenizer(self.shape.n_inputs, hidden, reader=False)
        for layer in range(self.shape.whole("layers")):
            tensors |= dense(f"layer{layer}", 3 * hidden, hidden)
        return {**tensors, **norm("norm", 2 * hidden), **dense("head", 2 * hidden, self.shape.n_outputs, start=0.0)}

    def positions(self) -> int:
        return self.shape.n_inputs

    def outputs(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "Tensor":
        import torch

        from training_assets.families.nets.layers import convolution, gelu, layer_norm, linear, tokens

        row = tokens(p, inputs.values)
        for layer in range(self.shape.whole("layers")):
            row = row + gelu(convolution(p, f"layer{layer}", row, dilation=2**layer))
        return linear(p, "head", layer_norm(p, "norm", torch.cat([row.mean(dim=2), row.amax(dim=2)], dim=-1)))


FAMILY = torch_family(TabCNNNet, "Convolutions over the feature row as tokens.")
