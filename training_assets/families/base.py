"""What a model family is: how it is fitted, and what a fitted model can do.

Belongs here: the two protocols and the sample a fit sees. Does not: any family, any file layout of a job's folder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Stage

FloatMatrix = NDArray[np.float32]


class FitError(ValueError):
    """A fit that cannot succeed, however often it is tried; the message names the family, what is wrong and the value against its bound."""


@dataclass(frozen=True)
class Sample:
    """The rows one fit or prediction sees, symbol after symbol, time ascending within a symbol.

    Attributes
    ----------
    x : shape (n_rows, n_features), features known at each row's bar close; NaN where not known.
    y : shape (n_rows,), regression value or class code; all NaN when only predicting.
    weight : shape (n_rows,), average uniqueness of the row's label; ones where it does not matter.
    time_codes, symbol_codes : shape (n_rows,), the row's time and symbol.
    label_end_codes : shape (n_rows,), time code at whose close the row's label is known; -1 where it has none.
    feature_names : names of the columns of `x`.
    history : shape (n_history, n_features), every row of these symbols from the panel's start, in the same order; what
        `windows` reads. `history_rows[i]` is the position of row i in it, `history_starts[i]` where its symbol begins.
    offset : shape (n_rows,) or None; a raw score (log-odds for classification) that the model adds its own to.
    auxiliary : shape (n_rows, n_auxiliary) or None; related labels of the same rows, known no later than `y`, NaN where not
        known; only MultiTask reads them, at the fit.
    symbol_names : names by symbol code, since a code means a symbol within one panel only; empty for data that is no panel.
    """

    x: FloatMatrix
    y: NDArray[np.float32]
    weight: NDArray[np.float32]
    time_codes: NDArray[np.int32]
    symbol_codes: NDArray[np.int32]
    label_end_codes: NDArray[np.int32]
    feature_names: tuple[str, ...]
    history: FloatMatrix
    history_rows: NDArray[np.int64]
    history_starts: NDArray[np.int64]
    offset: NDArray[np.float32] | None = None
    auxiliary: FloatMatrix | None = None
    symbol_names: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        return int(self.x.shape[0])

    def windows(self, length: int, rows: NDArray[np.int64] | None = None) -> tuple[FloatMatrix, NDArray[np.bool_]]:
        """The last `length` bars of features up to and including each row.

        Returns
        -------
        windows : shape (n_rows, length, n_features), oldest first; zero where the symbol has no bar yet.
        mask : shape (n_rows, length), False there.
        """
        ends = self.history_rows if rows is None else self.history_rows[rows]
        starts = self.history_starts if rows is None else self.history_starts[rows]
        positions = ends[:, None] + np.arange(1 - length, 1)[None, :]
        mask = positions >= starts[:, None]
        gathered = self.history[np.where(mask, positions, 0)]
        gathered[~mask] = 0.0
        return gathered, mask


def sample_from_arrays(
    x: FloatMatrix,
    y: NDArray[np.float32],
    time_codes: NDArray[np.int32] | None = None,
    symbol_codes: NDArray[np.int32] | None = None,
    feature_names: tuple[str, ...] | None = None,
) -> Sample:
    """A sample whose history is its own rows, for tests and for data that is no panel. Rows must come symbol after symbol; labels are known one bar on."""
    n_rows = x.shape[0]
    symbols = np.zeros(n_rows, np.int32) if symbol_codes is None else symbol_codes
    first = np.r_[True, symbols[1:] != symbols[:-1]] if n_rows else np.zeros(0, bool)
    starts = np.maximum.accumulate(np.where(first, np.arange(n_rows), 0)) if n_rows else np.zeros(0, np.int64)
    times = (np.arange(n_rows) - starts).astype(np.int32) if time_codes is None else time_codes
    names = feature_names or tuple(f"f{column}" for column in range(x.shape[1]))
    return Sample(x, y, np.ones(n_rows, np.float32), times, symbols, times + np.int32(1), names, x, np.arange(n_rows), starts)


class FittedModel(Protocol):
    """A model after its fit; all state in open formats."""

    fit_details: dict[str, Any]  # what the card tells of the fit: rounds, losses by epoch, quantile coverage

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """Shape (n_rows,): value (regression) or probability of class 1 (binary); shape (n_rows, n_classes) for multi-class."""
        ...

    def save(self, folder: Path) -> None:
        """Write every file that `Family.load` needs into an existing empty folder."""
        ...


@dataclass(frozen=True)
class FitRequest:
    """Everything a fit may depend on.

    `train` and `inner` do not overlap and are purged against each other; `inner` comes later in time, serves early stopping and
    the choice of strengths, and is never scored. `device` is 'cpu', 'cuda', 'cuda:0' or 'mps'.
    """

    train: Sample
    inner: Sample
    task_type: TaskType
    n_classes: int
    hyperparameters: Mapping[str, Any]
    seed: int
    device: str = "cpu"


@dataclass(frozen=True)
class Family:
    """One kind of model; an entry of `FAMILIES`.

    `fit` must give the same model for the same request on the CPU. `load` reads what `save` wrote and predicts the same numbers.
    `cheap` families may train in the experimental lane; `libraries` are the distributions whose versions the card names.
    `residual_settings` gives the hyperparameters of a fit on a pooled model's offset that is shrunk towards adding nothing by a known prior: its
    argument is the prior's weight over the rows' own. Families without it choose their own regularisation there as elsewhere.
    `told_out_of_sample` says of rows that a model was not fitted on what its score cannot: coverage, log score, reward.
    `fit_many` fits many requests as one program, each to the model that `fit` gives, or to the error that it raises.
    `takes_auxiliary` families learn from the labels of related targets too (`Sample.auxiliary`); `reads_state` ones need a feature that tells the
    state of the market, and are given the plan's where their job's own tell nothing of it.
    """

    name: str
    stage: Stage
    task_types: frozenset[TaskType]
    cheap: bool
    defaults: Mapping[str, Any]
    libraries: tuple[str, ...]
    fit: Callable[[FitRequest], FittedModel]
    load: Callable[[Path], FittedModel]
    description: str
    min_rows: int = 50
    single_symbol: bool = True  # False: the family learns across symbols and takes pooled jobs only
    takes_offset: bool = False  # True: adds its own raw score to `Sample.offset` (regression and binary), at the fit and at every prediction
    residual_settings: Callable[[float], Mapping[str, Any]] | None = None  # hyperparameters of a fit on an offset, for a given penalty towards none
    takes_auxiliary: bool = False
    reads_state: bool = False
    told_out_of_sample: Callable[[Any, Sample], dict[str, Any]] | None = None  # given a model of the family and labelled rows; goes into the card
    fit_many: Callable[[Sequence[FitRequest]], list[FittedModel | FitError]] | None = None
