"""The panel: every bar, feature and label of a run, held once, addressed by offsets.

Belongs here: the arrays, their alignment, and their form on disk. Does not: how a feature or a label is
computed (`features`, `targets`), or how time is split (`training_assets.splits`).
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType

BAR_COLUMNS = ("open", "high", "low", "close", "volume")

FloatArray = NDArray[np.float32]
CodeArray = NDArray[np.int32]
RowArray = NDArray[np.int64]


@dataclass(frozen=True)
class Bars:
    """Clean bars of all symbols, symbol after symbol, time ascending within a symbol.

    Attributes
    ----------
    symbols : names in row order.
    times_ns : shape (n_times,), the union of all bar opens, UTC nanoseconds, ascending and unique.
    symbol_offsets : shape (n_symbols + 1,); the rows of symbol s are `symbol_offsets[s]:symbol_offsets[s + 1]`.
    time_codes : shape (n_rows,), the row's position in `times_ns`.
    values : shape (5, n_rows), float64, in the order of `BAR_COLUMNS`; volume is NaN where the source has none.
    session_codes : shape (n_times,), ascending; bars of one session share a code. On daily bars the code is all zero.
    interval_minutes : the bar interval. A bar opens at its timestamp, and everything in it is known at its close,
        which is the row's decision time.
    supplied_names, supplied : columns that came with the data beside the bars, shape (n_supplied, n_rows), float64.
    """

    symbols: tuple[str, ...]
    times_ns: NDArray[np.int64]
    symbol_offsets: NDArray[np.int64]
    time_codes: CodeArray
    values: NDArray[np.float64]
    session_codes: CodeArray
    interval_minutes: int
    supplied_names: tuple[str, ...]
    supplied: NDArray[np.float64]

    @property
    def n_rows(self) -> int:
        return int(self.time_codes.size)

    @property
    def symbol_codes(self) -> CodeArray:
        """Shape (n_rows,), the position of the row's symbol in `symbols`."""
        return np.repeat(np.arange(len(self.symbols), dtype=np.int32), np.diff(self.symbol_offsets))

    @property
    def has_volume(self) -> bool:
        return bool(np.isfinite(self.values[4]).any())

    def write(self, folder: Path) -> None:
        """Write the arrays as plain `.npy` files and the rest as `bars.json` into an existing empty folder."""
        for name in _BAR_ARRAYS:
            _save(folder / f"{name}.npy", getattr(self, name))
        document = {"symbols": self.symbols, "interval_minutes": self.interval_minutes, "supplied_names": self.supplied_names}
        (folder / "bars.json").write_text(json.dumps(document), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Bars":
        """Map written bars into memory, read-only."""
        document = json.loads((folder / "bars.json").read_text(encoding="utf-8"))
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _BAR_ARRAYS}
        return cls(
            symbols=tuple(document["symbols"]), interval_minutes=document["interval_minutes"], supplied_names=tuple(document["supplied_names"]), **arrays
        )


@dataclass(frozen=True)
class TargetInfo:
    """What a target predicts, and how far its label reaches.

    `horizon_bars` is the longest label in bars of the symbol's own series; `classes` lists class values in code
    order for classification (labels hold class *codes* 0..n-1) and is empty for regression.
    """

    name: str
    task_type: TaskType
    horizon_bars: int
    horizon_minutes: int
    source: str  # 'builtin' or 'supplied'
    builder: str
    classes: tuple[float, ...] = ()


@dataclass(frozen=True)
class FeatureInfo:
    """What a feature looks at: `lookback_bars` of past bars ending `lag_bars` before the decision time."""

    name: str
    lookback_bars: int
    lag_bars: int
    cross_sectional: bool
    source: str  # 'builtin' or 'supplied'


@dataclass(frozen=True)
class Panel:
    """Features and labels on the rows of `Bars`, float32, one contiguous array a column.

    Attributes
    ----------
    features : shape (n_features, n_rows); `features[j]` is one column without a copy; NaN where not known.
    labels : shape (n_targets, n_rows); the label of a row looks ahead from the row's bar close; NaN where its window is not
        complete. Regression holds values, classification class codes.
    label_end_codes : shape (n_targets, n_rows); position in `times_ns` of the bar at whose close the label is known; -1
        where the label is NaN. The label interval of a row is (time_codes[row], label_end_codes[row]].
    bar_values : shape (5, n_rows), the bars in float32, in the order of `BAR_COLUMNS`.
    holdout_start_code : rows at or after this time code, and labels that end after it, are the holdout.
    data_hash : content hash of the bars and supplied columns, 16 hexadecimal digits.
    folder : where the panel is mapped from, None for one in memory; worker processes map the same files.
    """

    symbols: tuple[str, ...]
    times_ns: NDArray[np.int64]
    symbol_offsets: NDArray[np.int64]
    time_codes: CodeArray
    session_codes: CodeArray
    interval_minutes: int
    feature_infos: tuple[FeatureInfo, ...]
    features: FloatArray
    target_infos: tuple[TargetInfo, ...]
    labels: FloatArray
    label_end_codes: CodeArray
    bar_values: FloatArray
    holdout_start_code: int
    data_hash: str
    folder: Path | None = None

    @property
    def n_rows(self) -> int:
        return int(self.time_codes.size)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(info.name for info in self.feature_infos)

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(info.name for info in self.target_infos)

    @property
    def symbol_codes(self) -> CodeArray:
        """Shape (n_rows,), the position of the row's symbol in `symbols`."""
        return np.repeat(np.arange(len(self.symbols), dtype=np.int32), np.diff(self.symbol_offsets))

    def rows_of(self, symbol: str) -> slice:
        """Rows of one symbol, time ascending. Raises KeyError for a symbol that is not in the panel."""
        try:
            code = self.symbols.index(symbol)
        except ValueError:
            raise KeyError(f"symbol '{symbol}' is not in the panel of {len(self.symbols)} symbols") from None
        return slice(int(self.symbol_offsets[code]), int(self.symbol_offsets[code + 1]))

    def target_code(self, target: str) -> int:
        """Position of a target in `target_infos`. Raises KeyError."""
        try:
            return self.target_names.index(target)
        except ValueError:
            raise KeyError(f"target '{target}' is not in the panel; it has {', '.join(self.target_names)}") from None

    def feature_codes(self, names: tuple[str, ...]) -> NDArray[np.int64]:
        """Positions of features, in the order given. Raises KeyError with the first name that is missing."""
        position = {name: code for code, name in enumerate(self.feature_names)}
        missing = [name for name in names if name not in position]
        if missing:
            raise KeyError(f"features missing from the panel: {', '.join(missing[:5])} ({len(missing)} in all)")
        return np.array([position[name] for name in names], dtype=np.int64)

    def write(self, folder: Path) -> None:
        """Write the arrays as plain `.npy` files and the rest as `panel.json` into an existing empty folder."""
        for name in _ARRAYS:
            _save(folder / f"{name}.npy", getattr(self, name))
        document = {
            "symbols": self.symbols,
            "interval_minutes": self.interval_minutes,
            "feature_infos": [asdict(info) for info in self.feature_infos],
            "target_infos": [asdict(info) for info in self.target_infos],
            "holdout_start_code": self.holdout_start_code,
            "data_hash": self.data_hash,
        }
        (folder / "panel.json").write_text(json.dumps(document), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Panel":
        """Map a written panel into memory, read-only; nothing is copied until it is touched."""
        document = json.loads((folder / "panel.json").read_text(encoding="utf-8"))
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS}
        return cls(
            symbols=tuple(document["symbols"]),
            interval_minutes=document["interval_minutes"],
            feature_infos=tuple(FeatureInfo(**info) for info in document["feature_infos"]),
            target_infos=tuple(
                TargetInfo(**{**info, "task_type": TaskType(info["task_type"]), "classes": tuple(info["classes"])}) for info in document["target_infos"]
            ),
            holdout_start_code=document["holdout_start_code"],
            data_hash=document["data_hash"],
            folder=folder,
            **arrays,
        )


def _save(path: Path, array: np.ndarray) -> None:
    """Write an array; one that is a whole mapped file is linked where the file system can: the same bytes, neither copied nor held twice."""
    if isinstance(array, np.memmap) and array.flags.c_contiguous and array.filename is not None:
        source = Path(array.filename)
        with suppress(OSError):
            if source.stat().st_size == array.offset + array.nbytes:
                os.link(source, path)
                return
    np.save(path, array, allow_pickle=False)


_ARRAYS = ("times_ns", "symbol_offsets", "time_codes", "session_codes", "features", "labels", "label_end_codes", "bar_values")
_BAR_ARRAYS = ("times_ns", "symbol_offsets", "time_codes", "values", "session_codes", "supplied")
