"""One file becomes one frame, strictly, or a named reason why not.

Belongs here: file formats and what can be wrong with bytes, headers and column types. Does not: which files to read
(`layouts`), or whether the rows make sense as bars (`training_assets.panel.cleaning`).
"""

import csv
import gzip
import math
import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from resources.market_data.layouts import suffix_of
from resources.market_data.opening import open_regular
from resources.market_data.records import SYMBOL_COLUMN, TIME_COLUMNS, ProblemCode, UnusableFileError, printable
from resources.parquet_files import sound, stated_rows

MAX_HEADER_CHARACTERS = 4_000_000
MAX_FILE_BYTES = 8_000_000_000
MAX_GZIP_RATIO = 1_032  # deflate cannot say more in a byte, so a file this much smaller than the bound needs no counting
CHUNK_BYTES = 1 << 20
_BAR_COLUMNS = ("open", "high", "low", "close", "volume")
_MAGIC_NAMES = (
    (b"PAR1", "Parquet"),
    (b"PARE", "encrypted Parquet"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip or Excel"),
    (b"ARROW1", "Feather"),
    (b"%PDF", "PDF"),
)
_READ_ERRORS = (pa.ArrowException, OSError, EOFError, zlib.error, csv.Error, UnicodeError, OverflowError, MemoryError)


@dataclass(frozen=True)
class FileContent:
    """A file's rows: numeric columns, time and symbol as spelled there; `ignored_columns` are the text and nested ones."""

    frame: pd.DataFrame
    ignored_columns: tuple[str, ...]


def read_bars_file(path: Path, max_columns: int, max_bytes: int = MAX_FILE_BYTES) -> FileContent:
    """Read a Parquet, CSV or gzipped CSV file of bars.

    Parameters
    ----------
    max_bytes : a file that would take more once decompressed is refused before its rows are read, so that a small file cannot fill the memory.

    Returns
    -------
    Columns keep their names; numbers keep their width; times are strings (CSV), integers or pandas times; index 0..n_rows-1.

    Raises
    ------
    UnusableFileError
        Not a regular file, empty, of another type than its name says, truncated, encrypted, too large, without rows, with repeated or
        too many columns, or with text where a price belongs.
    """
    suffix = suffix_of(path.name)
    _check_start(path, suffix)
    try:
        table = _read_parquet(path, max_columns, max_bytes) if suffix == ".parquet" else _read_csv(path, suffix == ".csv.gz", max_columns, max_bytes)
    except _READ_ERRORS as error:
        raise _explain(error) from None
    if table.num_rows == 0:
        raise UnusableFileError(ProblemCode.NO_ROWS, "has a header and 0 rows; write the bars, or remove the file")
    return _to_content(table)


def read_header(path: Path) -> tuple[str, ...]:
    """The column names of a file, without its rows; none of a file that cannot be used, which `read_bars_file` then says why."""
    suffix = suffix_of(path.name)
    try:
        _check_start(path, suffix)
        return tuple(pq.read_schema(path).names if suffix == ".parquet" else _csv_header(path, suffix == ".csv.gz"))
    except (*_READ_ERRORS, UnusableFileError):
        return ()


def read_unchanged(path: Path, read: Callable[[Path], FileContent]) -> FileContent:
    """Read a file and make sure that it stood still meanwhile.

    Raises
    ------
    UnusableFileError
        `FILE_CHANGED` when its size or modification time differs after reading, whatever reading it gave; else what `read` raises.
    """
    before = _stand(path)
    failure: UnusableFileError | None = None
    content: FileContent | None = None
    try:
        content = read(path)
    except UnusableFileError as error:
        failure = error
    after = _stand(path)
    if after != before:
        message = f"changed while it was read ({before[0]:,} bytes before, {after[0]:,} after); run again when its writer is done"
        raise UnusableFileError(ProblemCode.FILE_CHANGED, message)
    if content is None:
        raise failure or UnusableFileError(ProblemCode.UNREADABLE, "gave nothing")
    return content


def _stand(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise UnusableFileError(ProblemCode.UNREADABLE, f"cannot be looked at: {error.strerror}; check the file and its permissions") from None
    return status.st_size, status.st_mtime_ns


def _check_start(path: Path, suffix: str | None) -> None:
    try:
        with open_regular(path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            head = file.read(8)
            file.seek(max(0, size_bytes - 4))
            tail = file.read(4)
    except OSError as error:
        raise UnusableFileError(ProblemCode.UNREADABLE, f"cannot be read: {error.strerror}; check the file and its permissions") from None
    if size_bytes == 0:
        raise UnusableFileError(ProblemCode.EMPTY_FILE, "is empty (0 bytes); write it again or remove it")
    found = next((name for magic, name in _MAGIC_NAMES if head.startswith(magic)), "text or something else")
    expected = {".parquet": "Parquet", ".csv.gz": "gzip"}.get(suffix or "", "text or something else")
    if found == "encrypted Parquet":
        raise UnusableFileError(ProblemCode.ENCRYPTED, "is encrypted; decrypt it first, no keys are read here")
    if found != expected:
        raise UnusableFileError(ProblemCode.WRONG_TYPE, f"is named {suffix} but its first bytes {head[:4]!r} are {found}; rename it or write it again")
    if suffix == ".parquet" and tail == b"PARE":
        raise UnusableFileError(ProblemCode.ENCRYPTED, "is encrypted; decrypt it first, no keys are read here")
    if suffix == ".parquet" and (tail != b"PAR1" or size_bytes < 12):
        raise UnusableFileError(ProblemCode.TRUNCATED, f"ends in {tail!r} instead of b'PAR1', so its end is missing; write or copy it again")


def _read_parquet(path: Path, max_columns: int, max_bytes: int) -> pa.Table:
    # Pandas' own notes inside the file are left unread: the index comes as a plain column, and nothing in a file steers how it is read.
    with open(path, "rb") as handle:
        file = pq.ParquetFile(handle, page_checksum_verification=True)
        _check_header(file.schema_arrow.names, max_columns)
        pages = sum(file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups))
        # A column of one repeated value takes a few bytes in pages and eight a row in memory.
        _check_size(max(pages, stated_rows(file.metadata) * file.metadata.num_columns * 8), max_bytes)
        return sound(file.read(use_threads=False))


def _read_csv(path: Path, zipped: bool, max_columns: int, max_bytes: int) -> pa.Table:
    header = _csv_header(path, zipped)
    _check_header(header, max_columns)
    _check_size(_unzipped_bytes(path, max_bytes) if zipped else os.stat(path).st_size, max_bytes)
    as_text = {name: pa.string() for name in header if name.casefold() in (*TIME_COLUMNS, SYMBOL_COLUMN)}
    if header and header[0] == "" and not any(name.casefold() in TIME_COLUMNS for name in header):
        as_text[""] = pa.string()
    convert = pa_csv.ConvertOptions(column_types=as_text, strings_can_be_null=False)
    with pa.input_stream(str(path), compression="gzip" if zipped else None) as stream:
        return pa_csv.read_csv(stream, read_options=pa_csv.ReadOptions(use_threads=False), convert_options=convert)


def _csv_header(path: Path, zipped: bool) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8-sig", newline="") if zipped else open(path, encoding="utf-8-sig", newline="") as text:
        line = text.readline(MAX_HEADER_CHARACTERS)
    return next(csv.reader([line]), [])


def _unzipped_bytes(path: Path, max_bytes: int) -> int:
    """Bytes of a gzip file once unzipped, counted no further than past `max_bytes`; the size it states itself may be any number."""
    if os.stat(path).st_size * MAX_GZIP_RATIO <= max_bytes:
        return 0
    count = 0
    with gzip.open(path) as stream:
        while count <= max_bytes and (chunk := stream.read(CHUNK_BYTES)):
            count += len(chunk)
    return count


def _check_size(n_bytes: int, max_bytes: int) -> None:
    if n_bytes > max_bytes:
        message = f"holds at least {n_bytes:,} bytes once decompressed > data.max_file_bytes {max_bytes:,}; split it, or raise it (config/universe.yaml)"
        raise UnusableFileError(ProblemCode.TOO_LARGE, message)


def _check_header(names: list[str], max_columns: int) -> None:
    if len(names) > max_columns:
        raise UnusableFileError(
            ProblemCode.TOO_MANY_COLUMNS, f"has {len(names):,} columns > data.max_columns {max_columns:,}; drop columns or raise it (config/universe.yaml)"
        )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    folded = Counter(name.casefold() for name in names)
    repeated += [
        name for name in names if name.casefold() in (*_BAR_COLUMNS, *TIME_COLUMNS, SYMBOL_COLUMN) and folded[name.casefold()] > 1 and name not in repeated
    ]
    if repeated:
        raise UnusableFileError(
            ProblemCode.DUPLICATE_COLUMN, f"has more than one column named {', '.join(printable(repr(name)) for name in repeated[:5])}; keep one"
        )
    if len(names) == 1 and any(separator in names[0] for separator in ";\t|"):
        raise UnusableFileError(ProblemCode.WRONG_TYPE, f"has the one column {printable(names[0])!r}; separate columns by commas")


def _to_content(table: pa.Table) -> FileContent:
    arrays: dict[str, pa.ChunkedArray] = {}
    ignored = []
    has_time = any(name.casefold() in TIME_COLUMNS for name in table.column_names)
    # The schema builds its list of types anew each time it is asked, so it is asked once.
    for position, (name, column, kind) in enumerate(zip(table.column_names, table.columns, table.schema.types, strict=True)):
        folded = name.casefold()
        is_index = not has_time and ((position == 0 and name == "") or (name == "__index_level_0__" and pa.types.is_temporal(kind)))
        if is_index:
            arrays["timestamp"] = column
        elif folded in TIME_COLUMNS:
            arrays[name] = column.cast(pa.timestamp("ms")) if pa.types.is_date(kind) else column
        elif folded == SYMBOL_COLUMN:
            arrays[name] = column.cast(pa.string()).dictionary_encode()
        elif (number := _as_numbers(column, kind)) is not None:
            arrays[name] = number
        elif folded in _BAR_COLUMNS:
            raise _text_problem(name, column)
        elif not name.startswith("__index_level_"):
            ignored.append(name)
    return FileContent(pa.table(arrays).to_pandas(ignore_metadata=True), tuple(ignored))


def _as_numbers(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    if pa.types.is_dictionary(kind):
        kind, column = kind.value_type, column.cast(kind.value_type)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8()).cast(pa.float32())
    return column.cast(pa.float64()) if pa.types.is_decimal(kind) or pa.types.is_null(kind) else None


def _text_problem(name: str, column: pa.ChunkedArray) -> UnusableFileError:
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)):
        return UnusableFileError(ProblemCode.TEXT_COLUMN, f"column '{name}' holds {kind}, not numbers; write numbers")
    values = column.cast(pa.string()).to_pylist()
    row = next((row for row, text in enumerate(values) if not _is_number(text)), 0)
    message = f"column '{name}' holds text, in row {row + 1} {printable(repr(values[row]))}, not numbers; write plain numbers with a decimal point"
    return UnusableFileError(ProblemCode.TEXT_COLUMN, message)


def _is_number(text: str | None) -> bool:
    # By the library that took the column for text; pandas' parser ends the process on an exponent beyond 32 bits (1E2147483648).
    try:
        return not math.isnan(pa.scalar((text or "").strip()).cast(pa.float64()).as_py())
    except pa.ArrowInvalid:
        return False


def _explain(error: BaseException) -> UnusableFileError:
    text = printable(" ".join(str(error).split()))
    if isinstance(error, UnusableFileError):
        return error
    if isinstance(error, PermissionError | FileNotFoundError):
        return UnusableFileError(ProblemCode.UNREADABLE, f"cannot be read: {error.strerror}; check the file and its permissions")
    if isinstance(error, UnicodeError):
        return UnusableFileError(ProblemCode.UNREADABLE, f"cannot be read as UTF-8 text: {text}; save it as UTF-8")
    if "ncrypt" in text:
        return UnusableFileError(ProblemCode.ENCRYPTED, "is encrypted in part; decrypt it first, no keys are read here")
    if isinstance(error, EOFError) or "end-of-stream" in text or "truncated" in text.lower():
        return UnusableFileError(ProblemCode.TRUNCATED, f"ends too early ({text}); write or copy it again")
    return UnusableFileError(ProblemCode.UNREADABLE, f"cannot be read: {text}; write it again")


def split_by_symbol(content: FileContent) -> dict[str, pd.DataFrame] | None:
    """One frame a symbol of a file with a symbol column (rows in file order, index kept), or None where there is no such column.

    Rows without a symbol come under the empty name.
    """
    column = next((name for name in content.frame.columns if str(name).casefold() == SYMBOL_COLUMN), None)
    if column is None:
        return None
    categories = content.frame[column]
    rest = content.frame.drop(columns=[column])
    labels = ["", *(str(label) for label in categories.cat.categories)]
    groups = rest.groupby(categories.cat.codes.to_numpy().astype(int) + 1, sort=False).indices
    # A text that is empty is no symbol either, so its rows join those where the symbol is null.
    named: dict[str, list[np.ndarray]] = defaultdict(list)
    for code, rows in groups.items():
        named[labels[int(str(code))]].append(np.asarray(rows))
    return {name: rest.iloc[np.sort(np.concatenate(rows))] for name, rows in named.items()}
