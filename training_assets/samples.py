"""From the panel to the rows that one fit or prediction sees.

Belongs here: gathering a job's rows from the panel, and cutting samples out of them by row masks. Does not: which rows those are
(`training_assets.splits`), or what is done with them.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from training_assets.families.base import FloatMatrix, Sample
from training_assets.panel.panel import Panel
from training_assets.splits import pre_holdout_mask
from training_assets.uniqueness import panel_uniqueness

Mask = NDArray[np.bool_]
Scalar = TypeVar("Scalar", np.float32, np.int32)


@dataclass(frozen=True)
class JobRows:
    """Every row of a job's symbols up to a time, gathered once and cut into samples as often as needed.

    Attributes
    ----------
    x : shape (n_rows, n_features), float32, row-major; symbol after symbol, time ascending within a symbol.
    y : shape (n_rows,), labels; NaN where the label is not known before `stop_code`, or was not asked for.
    label_end_codes : shape (n_rows,), time code at whose close the label is known; -1 where `y` is NaN.
    weight : shape (n_rows,), average uniqueness of the label among the symbol's labels; zero where `y` is NaN, ones without a target.
    time_codes, symbol_codes : shape (n_rows,), codes of the panel.
    starts : shape (n_rows,), the position at which the row's symbol begins.
    symbol_names : names by symbol code.
    """

    x: FloatMatrix
    y: NDArray[np.float32]
    label_end_codes: NDArray[np.int32]
    weight: NDArray[np.float32]
    time_codes: NDArray[np.int32]
    symbol_codes: NDArray[np.int32]
    starts: NDArray[np.int64]
    feature_names: tuple[str, ...]
    symbol_names: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        return int(self.y.size)

    @cached_property
    def usable(self) -> Mask:
        """Rows that may train or be scored: labelled, and with at least one feature known."""
        return (self.label_end_codes >= 0) & np.isfinite(self.x).any(axis=1)

    def sample(self, rows: Mask | NDArray[np.int64], offset: NDArray[np.float32] | None = None, auxiliary: FloatMatrix | None = None) -> Sample:
        """The chosen rows as a sample whose windows may reach back to each symbol's first row.

        Parameters
        ----------
        rows : mask of shape (n_rows,), or ascending positions.
        offset : shape (n_rows,), raw score of every row of the job; auxiliary : shape (n_rows, n_auxiliary), related labels; cut like the rest.
        """
        positions = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
        return Sample(
            x=self.x[positions],
            y=self.y[positions],
            weight=self.weight[positions],
            time_codes=self.time_codes[positions],
            symbol_codes=self.symbol_codes[positions],
            label_end_codes=self.label_end_codes[positions],
            feature_names=self.feature_names,
            history=self.x,
            history_rows=positions,
            history_starts=self.starts[positions],
            offset=None if offset is None else offset[positions],
            auxiliary=None if auxiliary is None else auxiliary[positions],
            symbol_names=self.symbol_names,
        )


def gather_rows(panel: Panel, symbols: tuple[str, ...], features: tuple[str, ...], target: str | None = None, stop_code: int | None = None) -> JobRows:
    """Gather the rows of some symbols, features and one target.

    Parameters
    ----------
    symbols : in any order; rows come in the panel's.
    target : None gathers no labels, for prediction.
    stop_code : rows from this time code on are not read, and labels known only then or later are left out. Training passes the panel's
        `holdout_start_code`, so that nothing of the holdout enters a job in any form.

    Raises
    ------
    KeyError
        A symbol, feature or target that the panel does not have.
    """
    ordered = _in_panel_order(panel, symbols)
    blocks = [_symbol_rows(panel, symbol, stop_code) for symbol in ordered]
    sizes = np.array([block.stop - block.start for block in blocks], dtype=np.int64)
    offsets = np.r_[0, np.cumsum(sizes)]
    codes = panel.feature_codes(features)
    x = np.empty((int(offsets[-1]), codes.size), np.float32)
    features_of_panel = np.asarray(panel.features)  # a plain view: indexing a memory map object again and again is slow
    for block, start, stop in zip(blocks, offsets[:-1], offsets[1:], strict=True):
        x[start:stop] = features_of_panel[codes, block].T
    time_codes = _joined([panel.time_codes[block] for block in blocks], np.zeros(0, np.int32))
    panel_codes = np.array([panel.symbols.index(symbol) for symbol in ordered], dtype=np.int32)
    y, ends, weight = _labels(panel, blocks, target, stop_code, time_codes, offsets)
    return JobRows(x, y, ends, weight, time_codes, np.repeat(panel_codes, sizes), np.repeat(offsets[:-1], sizes), features, panel.symbols)


def _in_panel_order(panel: Panel, symbols: tuple[str, ...]) -> tuple[str, ...]:
    for symbol in symbols:
        panel.rows_of(symbol)
    wanted = set(symbols)
    return tuple(symbol for symbol in panel.symbols if symbol in wanted)


def _symbol_rows(panel: Panel, symbol: str, stop_code: int | None) -> slice:
    block = panel.rows_of(symbol)
    if stop_code is None:
        return block
    return slice(block.start, block.start + int(np.searchsorted(panel.time_codes[block], stop_code)))


def _labels(
    panel: Panel, blocks: list[slice], target: str | None, stop_code: int | None, time_codes: NDArray[np.int32], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    if target is None:
        n_rows = time_codes.size
        return np.full(n_rows, np.nan, np.float32), np.full(n_rows, -1, np.int32), np.ones(n_rows, np.float32)
    code = panel.target_code(target)
    y = _joined([panel.labels[code, block] for block in blocks], np.zeros(0, np.float32))
    ends = _joined([panel.label_end_codes[code, block] for block in blocks], np.zeros(0, np.int32))
    known = np.isfinite(y) & (ends >= 0)
    if stop_code is not None:
        known &= pre_holdout_mask(stop_code, ends)
    y, ends = np.where(known, y, np.float32(np.nan)), np.where(known, ends, np.int32(-1))
    return y, ends, panel_uniqueness(time_codes, ends, offsets)


def _joined(parts: list[NDArray[Scalar]], nothing: NDArray[Scalar]) -> NDArray[Scalar]:
    return np.concatenate([np.asarray(part) for part in parts]) if parts else nothing
