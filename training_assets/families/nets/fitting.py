"""The one trainer of all nets: a stack of models of one shape, each with its own rows, order, noise, clock and best epoch.

Belongs here: minibatches, updates, early stopping, loss curves. Does not: what is learnt (`spec.Net`), scaling (`preparation`), grouping and
memory (`stacked`). A net fitted alone is a stack of one: everything random about a model comes from its own generator and everything
counted from its own rows, so that its neighbours change nothing about it (`stacked` says how roundings are kept from it too).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training_assets.families.base import FitError
from training_assets.families.nets.losses import row_losses
from training_assets.families.nets.optimiser import StackedAdamW
from training_assets.families.nets.preparation import Prepared
from training_assets.families.nets.rows import RowStore, store_rows
from training_assets.families.nets.spec import FROZEN, NET, Net, Weight

# A model with few rows takes smaller batches, so that an epoch still makes several updates; in steps of this many rows, so that models of
# about one length share a batch size and with it a stack.
BATCH_STEP_ROWS = 32
MIN_BATCHES_AN_EPOCH = 8
# Inner rows scored at a time. A constant, and not what memory would hold: how a sum is cut decides its last digits.
EVALUATION_ROWS = 64


@dataclass(frozen=True)
class Trained:
    """A net's best weights by name, and what its card tells of the fit."""

    weights: dict[str, NDArray[np.float32]]
    details: dict[str, Any]


@contextmanager
def held_torch(device: torch.device) -> Iterator[None]:
    """One thread, and on the CPU deterministic algorithms only; what was set before is set again after.

    Deterministic mode would also fill every new tensor before its use, a tenth of the time here; nothing reads one that it has not written.
    """
    deterministic: Any = torch.utils.deterministic
    threads, filled = torch.get_num_threads(), deterministic.fill_uninitialized_memory
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(device.type == "cpu")
    deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
        deterministic.fill_uninitialized_memory = filled
        torch.set_num_threads(threads)


def train_stack(net: Net, fits: Sequence[Prepared], batch_rows: int) -> list[Trained | FitError]:
    """Train one net for each fit, all of `net`'s shape, on the device of the first request; an error for a net whose inner loss is never finite.

    Raises
    ------
    torch.OutOfMemoryError
        The stack does not fit on its device.
    """
    device = torch.device(fits[0].request.device)
    with held_torch(device):
        window = net.shape.whole("window") if net.windowed else None
        stack = _Stack(net, store_rows(fits, window, device), [fit.request.seed for fit in fits], batch_rows, device)
        for epoch in range(1, net.shape.whole("epochs") + 1):
            if not stack.active:
                break
            stack.run_epoch(epoch)
        return [_trained(stack, model, fit) for model, fit in enumerate(fits)]


@dataclass
class _Course:
    """One model's way through its epochs."""

    generator: torch.Generator
    batch_rows: int
    train_loss: dict[str, list[float]]
    inner_loss: list[float] = field(default_factory=list)
    best_epoch: int = 0

    @property
    def best_loss(self) -> float:
        return self.inner_loss[self.best_epoch - 1] if self.best_epoch else float("inf")


class _Stack:
    """The models still training, as rows of flat weights; `active` holds their places among all fits."""

    def __init__(self, net: Net, store: RowStore, seeds: Sequence[int], batch_rows: int, device: torch.device) -> None:
        self.net, self.store, self.device = net, store, device
        self.layout = net.weights()
        self.active = list(range(len(seeds)))
        self.courses = [
            _Course(torch.Generator().manual_seed(seed), batch_size(store.train[model][1], batch_rows), {player: [] for player in net.players})
            for model, seed in enumerate(seeds)
        ]
        drawn = [_draw(self.layout, course.generator) for course in self.courses]
        flats = {player: torch.stack([flat[player] for flat in drawn]).to(device) for player in drawn[0]}
        rate, decay = float(net.shape.settings["learning_rate"]), float(net.shape.settings["weight_decay"])
        self.optimisers = {player: StackedAdamW(flats[player], rate, decay) for player in net.players}
        self.frozen = flats.get(FROZEN)
        self.best = flats[NET].clone()
        self.best_frozen = None if self.frozen is None else self.frozen.clone()

    def run_epoch(self, epoch: int) -> None:
        """One pass of every active model over its own rows, then early stopping by its own inner loss."""
        self._update()
        improved = []
        for place, loss in enumerate(self._inner_losses()):
            course = self.courses[self.active[place]]
            course.inner_loss.append(loss)
            if loss < course.best_loss:
                course.best_epoch = epoch
                improved.append(place)
        if improved:
            self.best[[self.active[place] for place in improved]] = self.optimisers[NET].flat[improved].detach()
        patience = self.net.shape.whole("patience")
        kept = [place for place, model in enumerate(self.active) if epoch - self.courses[model].best_epoch < patience]
        if len(kept) < len(self.active):
            self._keep(kept)

    def _keep(self, places: list[int]) -> None:
        rows = torch.tensor(places, dtype=torch.int64, device=self.device)
        for optimiser in self.optimisers.values():
            optimiser.keep(rows)
        self.frozen = None if self.frozen is None else self.frozen[rows]
        self.active = [self.active[place] for place in places]

    def _update(self) -> None:
        rows, live = (part.to(self.device) for part in self._batches())
        moving = live.amax(dim=2)
        totals = {player: torch.zeros(len(self.active), device=self.device) for player in self.net.players}
        moves = live[:, :, 0].cpu().numpy() > 0
        for step in range(rows.shape[1]):
            inputs, truth = self.store.read(rows[:, step], live[:, step])
            noise = self._noise(rows.shape[2], moves[:, step])
            for player in self.net.players:
                optimiser = self.optimisers[player]
                flat = optimiser.flat.requires_grad_()
                loss = self.net.loss(player, self._parameters(player), inputs, truth, noise)
                (gradient,) = torch.autograd.grad(loss.sum(), flat)
                optimiser.flat = flat.detach()
                optimiser.step(gradient, moving[:, step : step + 1])
                totals[player] += loss.detach() * moving[:, step]
        steps = moving.sum(dim=1)
        for player, total in totals.items():
            for model, mean in zip(self.active, (total / steps).tolist(), strict=True):
                self.courses[model].train_loss[player].append(mean)

    def _batches(self) -> tuple[Tensor, Tensor]:
        """Row numbers and whether they count, (K, steps, batch): each model's own shuffle in its own batch size, zeros beyond."""
        sizes = [(self.store.train[model], self.courses[model]) for model in self.active]
        steps = max(-(-span[1] // course.batch_rows) for span, course in sizes)
        widest = max(course.batch_rows for _, course in sizes)
        rows = torch.zeros(len(sizes), steps, widest, dtype=torch.int64)
        live = torch.zeros(len(sizes), steps, widest)
        for place, ((first, count), course) in enumerate(sizes):
            own = -(-count // course.batch_rows)
            order = torch.zeros(own * course.batch_rows, dtype=torch.int64)
            order[:count] = first + torch.randperm(count, generator=course.generator)
            rows[place, :own, : course.batch_rows] = order.view(own, -1)
            live[place, :own, : course.batch_rows] = (torch.arange(order.numel()) < count).float().view(own, -1)
        return rows, live

    def _noise(self, widest: int, moves: NDArray[np.bool_]) -> Tensor | None:
        width = self.net.noise_width()
        if not width:
            return None
        noise = torch.zeros(len(self.active), widest, width)
        for place, model in enumerate(self.active):
            if moves[place]:
                course = self.courses[model]
                noise[place, : course.batch_rows] = torch.randn(course.batch_rows, width, generator=course.generator)
        return noise.to(self.device)

    def _parameters(self, player: str | None = None) -> dict[str, Tensor]:
        flats = {name: optimiser.flat if name == player else optimiser.flat.detach() for name, optimiser in self.optimisers.items()}
        if self.frozen is not None:
            flats[FROZEN] = self.frozen
        return unpack(self.layout, flats)

    @torch.no_grad()
    def _inner_losses(self) -> list[float]:
        spans = torch.tensor([self.store.inner[model] for model in self.active], device=self.device)
        longest = int(spans[:, 1].max())
        p = self._parameters()
        total = torch.zeros(len(self.active), device=self.device)
        weight = torch.zeros(len(self.active), device=self.device)
        for start in range(0, longest, EVALUATION_ROWS):
            steps = torch.arange(start, start + EVALUATION_ROWS, device=self.device)
            live = steps < spans[:, 1:]
            inputs, truth = self.store.read(torch.where(live, spans[:, :1] + steps, 0), live.float())
            total += (row_losses(self.net.shape.task_type, self.net.outputs(p, inputs), truth) * truth.weight).sum(dim=1)
            weight += truth.weight.sum(dim=1)
        return (total / weight).tolist()


def batch_size(n_rows: int, batch_rows: int) -> int:
    """Rows a batch of a model with `n_rows` rows: at most `batch_rows`, and for short ones a multiple of `BATCH_STEP_ROWS`."""
    return min(batch_rows, max(1, n_rows // (BATCH_STEP_ROWS * MIN_BATCHES_AN_EPOCH)) * BATCH_STEP_ROWS)


def unpack(layout: dict[str, Weight], flats: dict[str, Tensor]) -> dict[str, Tensor]:
    """Named tensors (K, *shape) as views of each player's flat weights (K, n_weights)."""
    named: dict[str, Tensor] = {}
    for player, flat in flats.items():
        own = {name: weight.shape for name, weight in layout.items() if weight.player == player}
        pieces = torch.split_with_sizes(flat, [int(np.prod(shape)) for shape in own.values()], dim=1)
        named.update({name: piece.view(flat.shape[0], *shape) for (name, shape), piece in zip(own.items(), pieces, strict=True)})
    return named


def _draw(layout: dict[str, Weight], generator: torch.Generator) -> dict[str, Tensor]:
    """One model's first weights, flat by player."""
    flats: dict[str, list[Tensor]] = {}
    for weight in layout.values():
        size = int(np.prod(weight.shape))
        drawn = torch.randn(size, generator=generator) if weight.normal else (torch.rand(size, generator=generator) * 2 - 1) * weight.spread + weight.centre
        flats.setdefault(weight.player, []).append(drawn)
    return {player: torch.cat(parts) for player, parts in flats.items()}


def _trained(stack: _Stack, model: int, fit: Prepared) -> Trained | FitError:
    course = stack.courses[model]
    if not course.best_epoch:
        return FitError(
            f"{stack.net.family}: the inner loss was not finite in any of {len(course.inner_loss)} epochs; lower learning_rate or mend the features"
        )
    flats = {NET: stack.best[model : model + 1]}
    if stack.best_frozen is not None:
        flats[FROZEN] = stack.best_frozen[model : model + 1]
    named = unpack({name: weight for name, weight in stack.layout.items() if weight.player in flats}, flats)
    details = {
        "epochs": len(course.inner_loss),
        "best_epoch": course.best_epoch,
        "train_loss": course.train_loss,
        "inner_loss": course.inner_loss,
        "batch_rows": course.batch_rows,
        "fit_window": list(fit.inputs.fit_window),
    }
    return Trained({name: tensor[0].cpu().numpy() for name, tensor in named.items()}, details)
