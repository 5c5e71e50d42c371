"""The content hash of bars: equal for equal data, whatever files and order they came in.

Belongs here: what counts as content. Does not: files, or settings (`config.load.config_hash`).
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from training_assets.panel.panel import Bars


def data_hash(bars: Bars) -> str:
    """16 hexadecimal digits of the SHA-256 over symbols, times, bars, supplied columns and interval.

    Sessions do not count: they follow from the times and `data.session_gap_bars`, which the config hash holds.
    Symbols and supplied columns count in name order. Values count bit for bit as float64, except that every NaN is one NaN and -0 is 0.
    """
    digest = hashlib.sha256()
    columns = sorted(range(len(bars.supplied_names)), key=lambda code: bars.supplied_names[code])
    _feed(digest, f"interval {bars.interval_minutes}", *(f"supplied {bars.supplied_names[code]}" for code in columns))
    for code in sorted(range(len(bars.symbols)), key=lambda code: bars.symbols[code]):
        rows = slice(int(bars.symbol_offsets[code]), int(bars.symbol_offsets[code + 1]))
        _feed(digest, f"symbol {bars.symbols[code]}", f"rows {rows.stop - rows.start}")
        times = bars.time_codes[rows]
        digest.update(bars.times_ns[times].astype("<i8").tobytes())
        digest.update(_canonical(bars.values[:, rows]))
        for column in columns:
            digest.update(_canonical(bars.supplied[column, rows]))
    return digest.hexdigest()[:16]


def _feed(digest: "hashlib._Hash", *texts: str) -> None:
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        # The length first: no two lists of texts feed the same bytes.
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)


def _canonical(values: NDArray[np.float64]) -> bytes:
    return np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8").tobytes()
