"""What a net is to the shared trainer: its tensors by name, its outputs and its losses, for many models at once.

Belongs here: the base of all nets and the sizes one is built for. Does not: any net, and no torch at import, so that the
registry loads without it.

Every tensor has a leading axis of models: K nets of one shape are one program of batched matrix products (as in
torch.func's model ensembling), and a net fitted alone is the stack of one. No layer mixes rows (no batch norm), so
models and rows stay independent.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from config.sections.base import TaskType

if TYPE_CHECKING:
    from torch import Tensor

FROZEN = "frozen"
NET = "net"

Number = int | float

TRAINING_DEFAULTS: Mapping[str, Number] = {
    "hidden": 32,
    "epochs": 15,
    "patience": 3,
    "batch_rows": 256,
    "learning_rate": 3e-3,
    "weight_decay": 1e-3,
}
"""What every net takes: width, most epochs, epochs without a better inner loss before it stops, rows a batch, AdamW's two rates."""
BOUNDS: Mapping[str, tuple[float, float]] = {
    "hidden": (1, 4096),
    "epochs": (1, 10_000),
    "patience": (1, 10_000),
    "batch_rows": (1, 1_000_000),
    "learning_rate": (1e-7, 1.0),
    "weight_decay": (0.0, 10.0),
    "window": (1, 1024),
    "layers": (1, 12),
    "heads": (1, 64),
    "latent": (1, 1024),
    "draws": (1, 256),
    "reconstruction_weight": (0.0, 100.0),
    "divergence_weight": (0.0, 100.0),
    "adversarial_weight": (0.0, 100.0),
    "auxiliary_weight": (0.0, 100.0),
}


@dataclass(frozen=True)
class Weight:
    """One tensor of a net: its shape without the axis of models, how it starts, and the player that trains it.

    `spread` is the half width of a uniform start around `centre`; `normal` draws a standard normal instead.
    """

    shape: tuple[int, ...]
    spread: float = 0.0
    centre: float = 0.0
    normal: bool = False
    player: str = NET


@dataclass(frozen=True)
class NetShape:
    """The sizes a net is built for; nets of one shape can be stacked.

    `n_inputs` counts the columns a net reads: the features, and for windows one more that is 1 where the bar exists.
    `auxiliary_kinds` holds 'value' or 'sign' for each related label.
    """

    n_inputs: int
    n_outputs: int
    task_type: TaskType
    settings: Mapping[str, Number]
    auxiliary_kinds: tuple[str, ...] = ()

    def whole(self, name: str) -> int:
        return int(self.settings[name])


@dataclass(frozen=True)
class Inputs:
    """What K nets read: `values` of shape (K, B, n_inputs), or (K, B, L, n_inputs) with `mask` (K, B, L) for windows."""

    values: "Tensor"
    mask: "Tensor | None" = None


@dataclass(frozen=True)
class Truth:
    """What K nets are held against, each of shape (K, B): labels in the net's units, weights (0 pads), and raw offsets.

    `auxiliary` has shape (K, B, n_auxiliary), NaN where a related label is not known.
    """

    label: "Tensor"
    weight: "Tensor"
    offset: "Tensor"
    auxiliary: "Tensor"


class Net(ABC):
    """One architecture; subclasses name their tensors and map inputs to raw outputs.

    Raw outputs have shape (K, B, n_outputs): the label in standard units, one log-odds, or a logit a class.
    """

    family: ClassVar[str]
    windowed: ClassVar[bool] = False
    reads_auxiliary: ClassVar[bool] = False
    players: ClassVar[tuple[str, ...]] = (NET,)
    settings: ClassVar[Mapping[str, Number]] = {}

    def __init__(self, shape: NetShape) -> None:
        self.shape = shape

    @classmethod
    def defaults(cls) -> Mapping[str, Number]:
        """Every hyperparameter with its default."""
        return {**TRAINING_DEFAULTS, **cls.settings}

    @abstractmethod
    def weights(self) -> dict[str, Weight]:
        """Every tensor of one net by name."""

    @abstractmethod
    def outputs(self, p: "Mapping[str, Tensor]", inputs: Inputs) -> "Tensor":
        """Raw outputs as used for prediction, shape (K, B, n_outputs)."""

    @classmethod
    def derived_auxiliary(cls, task_type: TaskType) -> tuple[str, ...]:
        """Kinds of the related labels the net derives from y where none are given."""
        return ()

    def positions(self) -> int:
        """Vectors of `hidden` numbers a row becomes inside the net; what a row costs."""
        return self.shape.whole("window") if self.windowed else 1

    def noise_width(self) -> int:
        """Standard normal draws a row that `loss` needs; 0 for none."""
        return 0

    def loss(self, player: str, p: "Mapping[str, Tensor]", inputs: Inputs, truth: Truth, noise: "Tensor | None") -> "Tensor":
        """Training loss of one player, shape (K,)."""
        from training_assets.families.nets.losses import supervised_loss

        return supervised_loss(self.shape.task_type, self.outputs(p, inputs), truth)


def dense(name: str, n_in: int, n_out: int, start: float = 1.0, player: str = NET) -> dict[str, Weight]:
    """The tensors of a linear layer, uniform in +-start/sqrt(n_in); `start` 0 makes a head that begins at its base value."""
    return {
        f"{name}.weight": Weight((n_in, n_out), start / n_in**0.5, player=player),
        f"{name}.bias": Weight((n_out,), 0.0, player=player),
    }


def norm(name: str, width: int) -> dict[str, Weight]:
    """The tensors of a layer norm."""
    return {f"{name}.scale": Weight((width,), centre=1.0), f"{name}.shift": Weight((width,))}


def recurrent(name: str, n_in: int, hidden: int) -> dict[str, Weight]:
    """The tensors of an LSTM; gates in the order candidate, input, output, forget, the forget gate open at the start."""
    return {
        f"{name}.input.weight": Weight((n_in, 4 * hidden), n_in**-0.5),
        f"{name}.input.bias": Weight((4 * hidden,)),
        f"{name}.forget": Weight((hidden,), centre=1.0),
        f"{name}.recurrent": Weight((hidden, 4 * hidden), hidden**-0.5),
    }


def encoder(name: str, width: int) -> dict[str, Weight]:
    """The tensors of a pre-norm transformer block."""
    return {
        **norm(f"{name}.norm1", width),
        **dense(f"{name}.qkv", width, 3 * width),
        **dense(f"{name}.mix", width, width),
        **norm(f"{name}.norm2", width),
        **dense(f"{name}.wide", width, 2 * width),
        **dense(f"{name}.out", 2 * width, width),
    }


def tokenizer(n_features: int, width: int, reader: bool) -> dict[str, Weight]:
    """The tensors of a feature tokenizer; with `reader` a learned token that stands in front and reads the row."""
    spread = width**-0.5
    made = {"tokens.weight": Weight((n_features, width), spread), "tokens.bias": Weight((n_features, width), spread)}
    return {**made, "tokens.reader": Weight((1, width), spread)} if reader else made
