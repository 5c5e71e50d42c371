"""The rows of many fits on one device: one table of inputs, addressed by row, so that ragged models share a program.

Belongs here: the table and how a batch is read from it. Does not: scaling (`preparation`), training (`fitting`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training_assets.families.base import FloatMatrix, Sample
from training_assets.families.nets.preparation import Prepared, scaled
from training_assets.families.nets.spec import Inputs, Truth

Places = NDArray[np.int64]  # shape (2, n_rows): the end and the start of each row's window in a table


@dataclass(frozen=True)
class RowStore:
    """Training rows of all models, then their inner rows.

    Attributes
    ----------
    table : shape (n_table, n_features), scaled inputs; for windows as `window_inputs` would read them, with a last column of ones and a last row
        of zeros, which stands for every bar that is not there.
    ends, starts : shape (n_rows,), where the row stands in `table` and where its symbol begins.
    label, weight, offset : shape (n_rows,); auxiliary : shape (n_rows, n_auxiliary).
    train, inner : (first row, count) by model.
    window : bars a window holds; None reads the row alone.
    """

    table: Tensor
    ends: Tensor
    starts: Tensor
    label: Tensor
    weight: Tensor
    offset: Tensor
    auxiliary: Tensor
    train: tuple[tuple[int, int], ...]
    inner: tuple[tuple[int, int], ...]
    window: int | None

    def read(self, rows: Tensor, live: Tensor) -> tuple[Inputs, Truth]:
        """Inputs and truth of `rows` (K, B); where `live` is 0 the row pads and weighs nothing."""
        inputs = self._windows(rows) if self.window else Inputs(self.table[self.ends[rows]])
        return inputs, Truth(self.label[rows], self.weight[rows] * live, self.offset[rows], self.auxiliary[rows])

    def _windows(self, rows: Tensor) -> Inputs:
        steps = torch.arange(1 - (self.window or 1), 1, device=rows.device)
        positions = self.ends[rows].unsqueeze(-1) + steps
        mask = positions >= self.starts[rows].unsqueeze(-1)
        return Inputs(self.table[positions.where(mask, self.table.shape[0] - 1)], mask)


def window_inputs(values: Tensor, mask: Tensor) -> Inputs:
    """Windows as nets read them: zero before the symbol's first bar, and a last column that is 1 where the bar exists."""
    exists = mask.unsqueeze(-1).to(values.dtype)
    return Inputs(torch.cat([values * exists, exists], dim=-1), mask)


def store_rows(fits: Sequence[Prepared], window: int | None, device: torch.device) -> RowStore:
    """Put the rows of all fits into one store on the device."""
    tables: list[FloatMatrix] = []
    train_places: list[Places] = []
    inner_places: list[Places] = []
    height = 0
    for fit in fits:
        made, train, inner = _table(fit, window)
        train_places.append(train + height)
        inner_places.append(inner + height)
        tables.append(made)
        height += made.shape[0]
    if window:
        bars = np.concatenate(tables)
        exists = np.ones((height, 1), np.float32)
        tables = [np.concatenate([bars, exists], axis=1), np.zeros((1, bars.shape[1] + 1), np.float32)]
    ordered = [fit.train for fit in fits] + [fit.inner for fit in fits]
    counts = [rows.n_rows for rows in ordered]
    spans = tuple(zip(np.concatenate([[0], np.cumsum(counts)[:-1]]).tolist(), counts, strict=True))
    places = np.concatenate(train_places + inner_places, axis=1)
    return RowStore(
        table=torch.from_numpy(np.concatenate(tables)).to(device),
        ends=torch.from_numpy(places[0]).to(device),
        starts=torch.from_numpy(places[1]).to(device),
        label=_joined([rows.label for rows in ordered], device),
        weight=_joined([rows.weight for rows in ordered], device),
        offset=_joined([rows.offset for rows in ordered], device),
        auxiliary=_joined([rows.auxiliary for rows in ordered], device),
        train=spans[: len(fits)],
        inner=spans[len(fits) :],
        window=window,
    )


def _joined(parts: Sequence[NDArray[np.float32]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.concatenate(parts)).to(device)


def _table(fit: Prepared, window: int | None) -> tuple[FloatMatrix, Places, Places]:
    """One fit's inputs, and for its train and inner rows their end and start in them."""
    train, inner = fit.request.train, fit.request.inner
    if not window:
        ends = np.arange(train.n_rows + inner.n_rows, dtype=np.int64)
        places = np.stack([ends, ends])
        return scaled(fit.inputs, np.concatenate([train.x, inner.x])), places[:, : train.n_rows], places[:, train.n_rows :]
    shared = inner.history is train.history
    histories = train.history if shared else np.concatenate([train.history, inner.history])
    shift = 0 if shared else train.history.shape[0]
    return scaled(fit.inputs, histories), _places(train, 0), _places(inner, shift)


def _places(sample: Sample, shift: int) -> Places:
    return np.stack([sample.history_rows, sample.history_starts]).astype(np.int64) + shift
