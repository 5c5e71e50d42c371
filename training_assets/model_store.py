"""A trained model on disk: its folder, its card, and back.

Belongs here: where a model lies, what its folder holds, writing it whole and refusing it when it is not. Does not: fitting, scoring, or which
models serve a plan (`training_assets.prediction`).

A folder holds the family's own files, `oos_predictions.parquet` and `model_card.json`, which lists the digest of every other file. Equal inputs
give equal bytes in all of them but the card, whose `fit_seconds` is measured.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from config.sections.base import TaskType
from resources.files import encode_name, folder_written_atomically
from resources.process_limits import single_threaded
from training_assets.contracts import Interval, ModelCard, Route
from training_assets.ensemble import BLEND, load_blend
from training_assets.families.base import FittedModel
from training_assets.families.registry import find_family
from training_assets.panel.panel import Panel
from training_assets.samples import gather_rows

CARD_FILE = "model_card.json"
OOS_FILE = "oos_predictions.parquet"
FILES_DETAIL = "files"
KNOWN_UNTIL_DETAIL = "oos_known_until_codes"
"""Detail of a cross-fitted model: by number of the out-of-sample part, the last time code at whose close its fit may know a label."""
PREDICTION_COLUMNS = ("timestamp", "symbol", "target", "prediction", "route", "model_id")


class ModelError(RuntimeError):
    """A model folder that cannot be used: missing, incomplete, changed since it was written, or made for other data."""


@dataclass(frozen=True)
class OosPredictions:
    """What a model said of rows it was not fitted on.

    `columns` : as `oos_columns` makes them; the same for every family of a job. `predictions` : shape (n_rows,), or (n_rows, n_classes) for
    multi-class.
    """

    columns: Mapping[str, pa.Array]
    predictions: NDArray[np.float32]


def model_folder(models_root: Path, target: str, symbol: str | None, family: str) -> Path:
    """Where a model lies under `models/`; names are encoded, so none can point outside. `symbol` None is the cross-sectional model."""
    place = "cross_sectional" if symbol is None else f"symbol={encode_name(symbol)}"
    return models_root / encode_name(target) / place / encode_name(family)


def write_model(folder: Path, model: FittedModel, card: ModelCard, oos: OosPredictions) -> ModelCard:
    """Write a model folder whole, taking the place of what was there; returns the card as written, with the digests of the files."""
    with folder_written_atomically(folder) as unfinished:
        model.save(unfinished)
        _write_oos(unfinished / OOS_FILE, oos, card)
        complete = replace(card, details={**card.details, FILES_DETAIL: file_digests(unfinished)})
        (unfinished / CARD_FILE).write_bytes(orjson.dumps(complete, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))
    return complete


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder but its own card, by relative path."""
    digests = {}
    for place, _, names in os.walk(folder):
        inner = "" if place == str(folder) else f"{Path(place).relative_to(folder).as_posix()}/"
        for name in names:
            if inner or name != CARD_FILE:
                with open(f"{place}/{name}", "rb") as file:
                    digests[inner + name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def read_card(folder: Path) -> ModelCard:
    """Read and check the card of a model folder. Raises ModelError when there is none, or it is no card."""
    path = folder / CARD_FILE
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelError(f"{folder}: no model here ({CARD_FILE} is missing); train it, or check the path") from None
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelError(f"{path}: cannot be read: {error}; train the model again") from None
    try:
        return _card_from_document(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: not a model card: {type(error).__name__}: {error}; train the model again") from None


def verified_card(folder: Path) -> ModelCard:
    """The card of a model folder whose every file is as it was written. Raises ModelError naming the first that is not."""
    card = read_card(folder)
    written, found = card.details.get(FILES_DETAIL), file_digests(folder)
    if not isinstance(written, Mapping):
        raise ModelError(f"{folder / CARD_FILE}: lists no files; train the model again")
    for name in sorted(written.keys() | found.keys()):
        if written.get(name) != found.get(name):
            state = "missing" if name not in found else "not part of the model" if name not in written else "changed since it was written"
            raise ModelError(f"{folder / name}: {state}; train the model again, or restore the folder")
    return card


def read_oos(folder: Path) -> pa.Table:
    """The out-of-sample predictions of a model folder. Raises ModelError."""
    try:
        return pq.read_table(folder / OOS_FILE)
    except (OSError, UnicodeError, pa.ArrowException) as error:
        raise ModelError(f"{folder / OOS_FILE}: cannot be read: {error}; train the model again") from None


def probability_columns(n_classes: int) -> tuple[str, ...]:
    """Names of the columns that hold a multi-class model's probabilities, in code order."""
    return tuple(f"probability_{code}" for code in range(n_classes))


def expected_value(card: ModelCard, predictions: NDArray[np.float32]) -> NDArray[np.float32]:
    """One number a row: the prediction itself, or for multi-class the class values' mean under the predicted probabilities."""
    return predictions if predictions.ndim == 1 else (predictions @ np.asarray(card.classes, np.float32)).astype(np.float32)


def oos_columns(
    panel: Panel,
    target: str,
    time_codes: NDArray[np.int32],
    symbol_codes: NDArray[np.int32],
    folds: NDArray[np.int32],
    labels: NDArray[np.float32],
) -> dict[str, pa.Array]:
    """Columns of `oos_predictions.parquet` that say which row it is; all of shape (n_rows,).

    `folds` : number of the out-of-sample part; the last is the one that `oos_metrics` score, those before it were cross-fitted for blends.
    """
    rows = row_columns(panel, target, time_codes, symbol_codes)
    return {**rows, "fold": pa.array(folds, pa.int32()), "label": pa.array(labels, pa.float32())}


def row_columns(panel: Panel, target: str, time_codes: NDArray[np.int32], symbol_codes: NDArray[np.int32]) -> dict[str, pa.Array]:
    """Timestamp (bar open, UTC), symbol and target of panel rows, as columns."""
    codes, places = np.unique(symbol_codes, return_inverse=True)
    names = pa.array([panel.symbols[code] for code in codes.tolist()], pa.string())
    return {
        # A plain view: indexing a memory map object is slow.
        "timestamp": pa.array(np.asarray(panel.times_ns)[time_codes], pa.timestamp("ns", tz="UTC")),
        "symbol": names.take(pa.array(places)),
        "target": pa.repeat(pa.scalar(target, pa.string()), time_codes.size),
    }


@dataclass(frozen=True)
class LoadedModel:
    """A trained model read back from its folder.

    `card` says what it is; `predict` asks it about any panel that has its features.
    """

    card: ModelCard
    model: FittedModel

    def predict(self, panel: Panel, symbols: Sequence[str] | None = None, newest_only: bool = False) -> pd.DataFrame:
        """Predict the rows of a panel.

        Parameters
        ----------
        panel : one that has the features of the card; its labels are not read.
        symbols : of the model's symbols, those to predict; None means all that the panel has.
        newest_only : only the last bar of each symbol.

        Returns
        -------
        Columns `timestamp` (bar open, UTC; the prediction is made at the bar's close), `symbol`, `target`, `prediction` (value, probability of class
        1, or for multi-class the class values' mean under the predicted probabilities), `route`, `model_id`; symbols in the panel's order, time
        ascending.

        Raises
        ------
        ModelError
            A symbol the model does not know, or features the panel does not have.
        """
        card = self.card
        known = (card.symbol,) if card.symbol is not None else card.symbols or ()
        wanted = [symbol for symbol in known if symbol in panel.symbols] if symbols is None else list(symbols)
        if foreign := [symbol for symbol in wanted if symbol not in known]:
            raise ModelError(f"{card.model_id}: was not trained on {', '.join(foreign)}; it knows {', '.join(known)}")
        if not wanted:
            return empty_predictions()
        try:
            rows = gather_rows(panel, tuple(wanted), card.features)
        except KeyError as error:
            raise ModelError(f"{card.model_id}: {error.args[0]}; predict on a panel built with the settings of the training run") from None
        chosen = np.r_[rows.starts[1:] != rows.starts[:-1], True] if newest_only else np.ones(rows.n_rows, bool)
        chosen = chosen[: rows.n_rows]
        with single_threaded():
            values = expected_value(card, self.model.predict(rows.sample(chosen)))
        columns = row_columns(panel, card.target, rows.time_codes[chosen], rows.symbol_codes[chosen])
        frame: pd.DataFrame = pa.table(columns).to_pandas()
        return frame.assign(prediction=values, route=str(card.route), model_id=card.model_id)


def load_model(path: Path | str) -> LoadedModel:
    """Read a model folder.

    Raises
    ------
    ModelError
        Missing, incomplete, changed since it was written, or of a family that this version does not have.
    """
    folder = Path(path)
    card = verified_card(folder)
    try:
        model = load_blend(folder, find_family) if card.family == BLEND else find_family(card.family).load(folder)
    except (OSError, KeyError, ValueError) as error:
        raise ModelError(f"{folder}: cannot be loaded: {type(error).__name__}: {error}; train the model again") from None
    return LoadedModel(card, model)


def empty_predictions() -> pd.DataFrame:
    """A table of predictions without rows."""
    kinds = {"timestamp": "datetime64[ns, UTC]", "prediction": "float32"}
    return pd.DataFrame({column: pd.Series(dtype=kinds.get(column, "object")) for column in PREDICTION_COLUMNS})


def _write_oos(path: Path, oos: OosPredictions, card: ModelCard) -> None:
    columns = {**oos.columns, "prediction": pa.array(expected_value(card, oos.predictions), pa.float32())}
    if oos.predictions.ndim == 2:
        for name, column in zip(probability_columns(oos.predictions.shape[1]), oos.predictions.T, strict=True):
            columns[name] = pa.array(np.ascontiguousarray(column), pa.float32())
    # Most of these tables are a few hundred rows, where setting zstd up costs more than it saves, and so do writes of a few bytes each.
    content = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), content, compression="snappy", use_dictionary=["symbol", "target"], write_statistics=False)
    path.write_bytes(content.getvalue())


def _card_from_document(document: Any) -> ModelCard:
    unknown = set(document) - {item.name for item in fields(ModelCard)}
    if unknown:
        raise ValueError(f"unknown fields {', '.join(sorted(unknown))}")
    return ModelCard(
        **{
            **document,
            "symbols": None if document["symbols"] is None else tuple(document["symbols"]),
            "route": Route(document["route"]),
            "features": tuple(document["features"]),
            "task_type": TaskType(document["task_type"]),
            "classes": tuple(document["classes"]),
            "oos_metrics": tuple(Interval(**metric) for metric in document["oos_metrics"]),
        }
    )
