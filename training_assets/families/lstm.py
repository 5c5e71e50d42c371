"""LSTM: a recurrent net over the last bars.

Source: Hochreiter & Schmidhuber 1997, one layer, forget gate as in Gers et al. 2000.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from training_assets.families.nets.spec import Inputs, Net, Weight, dense, recurrent
from training_assets.families.torch_family import torch_family

if TYPE_CHECKING:
    from torch import Tensor


class LSTMNet(Net):
    """Bars, oldest first, through one LSTM; head on its last state."""

    family = "LSTM"
    windowed = True
    settings = {"window": 16}  # noqa: RUF012 - read-only by its declared type

    def weights(self) -> dict[str, Weight]:
        hidden = self.shape.whole("hidden")
        return {**recurrent("bars", self.shape.n_inputs, hidden), **dense("head", hidden, self.shape.n_outputs, start=0.0)}

    def outputs(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "Tensor":
        from training_assets.families.nets.layers import linear, lstm

        return linear(p, "head", lstm(p, "bars", inputs.values))


FAMILY = torch_family(LSTMNet, "One LSTM layer over the last bars.")
