"""Reading, checking, ordering and writing the candidates table, ours or somebody else's.

Belongs here: the table's form. Does not: what a row means for a route (`gates`, `policy`). An absent optional column, a null and a NaN
all read as "not computed"; a column that is nearly one of ours, a wrong value or a repeated row is an error, never a guess.
"""

import difflib
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from resources.files import write_atomically
from resources.parquet_files import sound, stated_rows
from routing_assets.contracts import CANDIDATE_COLUMNS, CANDIDATE_SCHEMA, MODES, VOCABULARIES, Candidates, Mode, RowArray

STATED = {b"switchyard.data_hash": "data_hash", b"switchyard.corrected_by": "corrected_by"}  # key in the file to attribute of `Candidates`
MAX_ROWS = 20_000_000  # a small file may hold many more rows than any market has pairs
ENCODED = pa.dictionary(pa.int32(), pa.string())
# Column to its closed interval; None is open.
RANGES: dict[str, tuple[float | None, float | None]] = {
    "p_value": (0.0, 1.0),
    "whole_target_p_value": (0.0, 1.0),
    "q_value": (0.0, 1.0),
    "horizon_minutes": (0.0, None),
    "sample_size": (0.0, None),
    "n_effective": (0.0, None),
    "n_snapshots": (0.0, None),
}


# What a file of arbitrary bytes can raise: names and words that are no UTF-8 among it, and sizes that no memory holds.
UNREADABLE = (pa.ArrowException, OSError, UnicodeError, OverflowError, MemoryError)


class CandidatesError(ValueError):
    """A candidates table that cannot be routed; the message names column, row, value and what to do."""


def read_candidates(path: Path, data_hash: str | None = None) -> Candidates:
    """Read a parquet file of candidates.

    Parameters
    ----------
    data_hash : of the panel the table is about to be used on; None where there is none. A table that states no data is let pass.

    Raises
    ------
    CandidatesError
        Missing, unreadable, empty, made from other data, or a table that `candidates_from_table` refuses.
    """
    if not path.is_file():
        raise CandidatesError(f"{path}: no such file; `switchyard plan` writes METRICS/routing_candidates.parquet under its --output-dir")
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            _refuse_near_names(schema.names, str(path))
            if (n_rows := stated_rows(file.metadata)) > MAX_ROWS:
                raise CandidatesError(f"{path}: {n_rows:,} rows > {MAX_ROWS:,}; a candidates table has a row a (target, symbol)")
            text = [name for name in schema.names if pa.types.is_string(schema.field(name).type)]
            known = [name for name in schema.names if name in CANDIDATE_COLUMNS]
            metadata = file.metadata.metadata or {}
        table = sound(pq.read_table(path, columns=known, read_dictionary=text, partitioning=None, page_checksum_verification=True))
        stated = {name: metadata[key].decode(errors="replace") for key, name in STATED.items() if key in metadata}
        candidates = replace(candidates_from_table(table, str(path)), **stated)
    except UNREADABLE as error:
        raise CandidatesError(f"{path}: not a readable parquet file: {' '.join(str(error).split())[:200]}; write it again") from None
    if data_hash is not None and candidates.data_hash not in (None, data_hash):
        raise CandidatesError(
            f"{path}: made from other data: its data_hash is {candidates.data_hash}, the panel's is {data_hash}; use it on the data, symbols and "
            "settings that it was scored on, or score these with `switchyard plan`"
        )
    return candidates


def candidates_from_table(table: pa.Table, where: str = "candidates", data_hash: str | None = None) -> Candidates:
    """Check a table, fill what is absent with nulls, and order its rows by target, mode, symbol.

    Parameters
    ----------
    table : any subset of `CANDIDATE_SCHEMA` with `target` and `mode`, and `symbol` if any row is SYMBOL_SPECIFIC; other columns are left out.
    where : leads every error message.

    Raises
    ------
    CandidatesError
        A missing or misspelt column, a wrong type, an unknown word, a number out of range, a missing name, a repeated row.
    """
    _refuse_near_names(table.column_names, where)
    if not table.num_rows:
        raise CandidatesError(f"{where}: no rows; a candidates table has a row a target and a row a (target, symbol)")
    columns = [_column(table, field, where) for field in CANDIDATE_SCHEMA]
    normal = pa.Table.from_arrays(columns, names=list(CANDIDATE_COLUMNS))
    for column, words in VOCABULARIES.items():
        _refuse_unknown_words(normal.column(column).chunk(0), column, words, where)
    _refuse_missing_names(normal, where)
    targets, target_codes = _ranked(normal.column("target").chunk(0))
    symbols, symbol_codes = _ranked(normal.column("symbol").chunk(0))
    keys = target_codes * (len(symbols) + 1) + symbol_codes + 1
    if (np.diff(keys) <= 0).any():
        order = np.argsort(keys, kind="stable")
        _refuse_repeats(normal, keys, order, where)
        normal, target_codes, symbol_codes = normal.take(pa.array(order)).combine_chunks(), target_codes[order], symbol_codes[order]
    return Candidates(normal, targets, symbols, target_codes, symbol_codes, data_hash)


def write_candidates(candidates: Candidates, path: Path) -> None:
    """Write the table as parquet; the same candidates give the same bytes."""
    write_atomically(path, candidates_bytes(candidates))


def candidates_bytes(candidates: Candidates) -> bytes:
    """The table as parquet, rows in their fixed order, with fixed writer settings and no clock."""
    table = candidates.table.cast(CANDIDATE_SCHEMA)
    metadata = {key: value.encode() for key, name in STATED.items() if (value := getattr(candidates, name))}
    return parquet_bytes(table.replace_schema_metadata(metadata or None))


def candidates_hash(candidates: Candidates) -> str:
    """Content hash of the table, 16 hexadecimal digits; the plan's `metrics_snapshot`."""
    return hashlib.sha256(candidates_bytes(candidates)).hexdigest()[:16]


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as parquet with fixed settings: the same rows and library give the same bytes."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", version="2.6", store_schema=False, write_statistics=True) as writer:
        if table.schema.metadata:
            writer.add_key_value_metadata({key.decode(): value.decode() for key, value in table.schema.metadata.items()})
        writer.write_table(table, row_group_size=131_072)
    return bytes(sink.getvalue())


def _refuse_near_names(names: list[str], where: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise CandidatesError(f"{where}: column '{repeated[0]}' stands {names.count(repeated[0])} times; keep one")
    absent = [name for name in CANDIDATE_COLUMNS if name not in names]
    for name in names:
        close = difflib.get_close_matches(name.lower(), absent, n=1, cutoff=0.85) if name not in CANDIDATE_COLUMNS else []
        if close:
            raise CandidatesError(f"{where}: unknown column '{name}'; did you mean '{close[0]}'? Rename it, or leave it out if it is something else")
    missing = [name for name in ("target", "mode") if name in absent]
    if missing:
        raise CandidatesError(f"{where}: required column '{missing[0]}' is missing; it has {', '.join(names[:12]) or 'no columns'}")


def _column(table: pa.Table, field: pa.Field, where: str) -> pa.Array:
    """One column in its declared type, text dictionary-encoded; nulls where the table has no such column."""
    wanted = ENCODED if pa.types.is_string(field.type) else field.type
    if field.name not in table.column_names:
        return pa.nulls(table.num_rows, wanted)
    given = table.column(field.name)
    try:
        if wanted is ENCODED:
            return _encoded(given)
        if pa.types.is_floating(given.type):
            given = _finite_or_null(given, field.name, where)
        array = _one_chunk(given.cast(wanted))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CandidatesError(f"{where}: column '{field.name}' is {given.type}, expected {field.type}: {' '.join(str(error).split())[:160]}") from None
    if field.name in RANGES:
        _refuse_out_of_range(array, field.name, where)
    return array


def _encoded(given: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(given.type):
        if given.type.index_type != pa.int32() or given.type.value_type != pa.string():
            given = given.cast(pa.string()).dictionary_encode()
    else:
        given = given.cast(pa.string()).dictionary_encode()
    return _one_chunk(given.unify_dictionaries())


def _one_chunk(given: pa.ChunkedArray) -> pa.Array:
    array = given.combine_chunks()
    return (array.chunk(0) if array.num_chunks else pa.array([], given.type)) if isinstance(array, pa.ChunkedArray) else array


def _finite_or_null(given: pa.ChunkedArray, column: str, where: str) -> pa.ChunkedArray:
    """Turn NaN into null and refuse infinity: one is "not computed", the other a computation gone wrong."""
    if given.type != pa.float64():
        given = given.cast(pa.float64())
    if pc.any(pc.is_nan(given)).as_py():
        given = pc.if_else(pc.is_nan(given), pa.scalar(None, pa.float64()), given)
    low, high = pc.min_max(given).as_py().values()
    if low is not None and (np.isinf(low) or np.isinf(high)):
        row = pc.index(pc.is_inf(given), True).as_py()
        raise CandidatesError(f"{where}: column '{column}', row {row}: {given[row].as_py()} is not finite; write null where a number was not computed")
    return given


def _refuse_out_of_range(array: pa.Array, column: str, where: str) -> None:
    least, most = RANGES[column]
    low, high = pc.min_max(array).as_py().values()
    if low is None:
        return
    for wrong, bound, sign in ((low, least, "<"), (high, most, ">")):
        if bound is not None and ((sign == "<" and wrong < bound) or (sign == ">" and wrong > bound)):
            row = pc.index(array, pa.scalar(wrong, array.type)).as_py()
            raise CandidatesError(f"{where}: column '{column}', row {row}: {wrong} {sign} {bound}; correct it, or write null where it was not computed")


def _refuse_unknown_words(array: pa.DictionaryArray, column: str, words: tuple[str, ...], where: str) -> None:
    for code, word in enumerate(array.dictionary.to_pylist()):
        row = pc.index(array.indices, pa.scalar(code, pa.int32())).as_py() if word not in words else -1
        if row >= 0:  # a dictionary may hold words that no row uses
            close = difflib.get_close_matches(str(word).upper(), words, n=1, cutoff=0.6)
            mend = f"did you mean {close[0]}?" if close else f"use one of {', '.join(words)}"
            raise CandidatesError(f"{where}: column '{column}', row {row}: unknown value '{word}'; {mend}")


def _refuse_missing_names(table: pa.Table, where: str) -> None:
    modes = table.column("mode").chunk(0)
    local = pc.fill_null(pc.equal(modes.cast(pa.string()), Mode.SYMBOL_SPECIFIC.value), False)
    checks = (
        ("mode", pc.is_null(modes), f"null; write {MODES[0]} or {MODES[1]}"),
        ("target", _nameless(table.column("target").chunk(0)), "no name; every row names its target"),
        ("symbol", pc.and_(local, _nameless(table.column("symbol").chunk(0))), "no name; a SYMBOL_SPECIFIC row names its symbol"),
        ("symbol", pc.and_(pc.invert(local), pc.is_valid(table.column("symbol").chunk(0))), "a CROSS_SECTIONAL row has no symbol; write null"),
    )
    for column, wrong, message in checks:
        row = pc.index(wrong, True).as_py()
        if row >= 0:
            raise CandidatesError(f"{where}: column '{column}', row {row}: {message}")


def _nameless(array: pa.DictionaryArray) -> pa.Array:
    empty = pc.index(array.dictionary, "").as_py()
    nameless = pc.is_null(array)
    return pc.or_(nameless, pc.fill_null(pc.equal(array.indices, empty), True)) if empty >= 0 else nameless


def _ranked(array: pa.DictionaryArray) -> tuple[tuple[str, ...], RowArray]:
    """Distinct names that occur, ascending, and each row's position among them, -1 where null."""
    indices = array.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    words = array.dictionary.to_pylist()
    used: NDArray[np.bool_] = np.zeros(len(words) + 1, bool)
    used[indices] = True
    names = tuple(sorted({word for code, word in enumerate(words) if used[code]}))
    place = {name: code for code, name in enumerate(names)}
    lookup = np.array([place.get(word, -1) for word in words] + [-1], np.int64)
    return names, lookup[indices]


def _refuse_repeats(table: pa.Table, keys: RowArray, order: RowArray, where: str) -> None:
    again = np.flatnonzero(np.diff(keys[order]) == 0)
    if again.size:
        first, second = int(order[again[0]]), int(order[again[0] + 1])
        target, symbol = table.column("target")[first].as_py(), table.column("symbol")[first].as_py()
        named = f"target '{target}', symbol '{symbol}'" if symbol is not None else f"target '{target}', CROSS_SECTIONAL"
        raise CandidatesError(f"{where}: row {second}: repeats row {first} ({named}); keep one row of each")
