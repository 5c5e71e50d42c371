"""TabLSTM: a recurrent reader of the feature row as tokens.

Each feature becomes a token (feature tokenizer of Gorishniy et al. 2021); an LSTM reads them in the order of the feature list and its last
state predicts. The recurrence runs over features of one moment, never over time.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from training_assets.families.nets.spec import Inputs, Net, Weight, dense, recurrent, tokenizer
from training_assets.families.torch_family import torch_family

if TYPE_CHECKING:
    from torch import Tensor


class TabLSTMNet(Net):
    """Tokens through one LSTM; head on its last state."""

    family = "TabLSTM"

    def weights(self) -> dict[str, Weight]:
        hidden = self.shape.whole("hidden")
        tensors = {**tokenizer(self.shape.n_inputs, hidden, reader=False), **recurrent("row", hidden, hidden)}
        return {**tensors, **dense("head", hidden, self.shape.n_outputs, start=0.0)}

    def positions(self) -> int:
        return self.shape.n_inputs

    def outputs(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "Tensor":
        from training_assets.families.nets.layers import linear, lstm, tokens

        return linear(p, "head", lstm(p, "row", tokens(p, inputs.values)))


FAMILY = torch_family(TabLSTMNet, "An LSTM that reads the feature row as tokens.")
