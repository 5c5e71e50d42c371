"""The source `directory`: a folder or file of the user's, in any accepted layout.

Belongs here: joining layout, names and readers, and turning failures of one symbol into problems. Does not: deciding whether bars make sense.
"""

import os
import stat
from collections import defaultdict
from functools import partial
from pathlib import Path

import pandas as pd

from config.sections.data import DataConfig
from resources.market_data.layouts import Claim, Discovery, discover, suffix_of, symbol_of_file
from resources.market_data.names import colliding_names, name_problem, require_known
from resources.market_data.opening import inside
from resources.market_data.readers import FileContent, read_bars_file, read_unchanged, split_by_symbol
from resources.market_data.records import DataError, DataProblem, Layout, MarketData, MarketFile, ProblemCode, UnusableFileError, list_problems, printable


def load_directory(config: DataConfig) -> MarketData:
    """Read every symbol asked for; see `resources.market_data.sources.load_market_data`."""
    found = discover(_root(config))
    return _load_one_file(found, config) if found.layout is Layout.ONE_FILE else _load_many(found, config)


def list_directory(config: DataConfig) -> tuple[MarketFile, ...]:
    """Every file of the layout as it stands now, by its state alone; what cannot be reached, leads out of the folder or is no regular file has size 0.

    Raises
    ------
    DataError
        As `discover`: a folder that cannot be read is not an empty one.
    """
    found = discover(_root(config))
    return tuple(_market_file(path, claim.symbol, found.root) for claim in found.claims for path in claim.files)


def _root(config: DataConfig) -> Path:
    if not config.path:
        raise DataError("data.source is 'directory' and data.path is not set; name a folder or file with --data-dir or data.path (config/universe.yaml)")
    if "\0" in config.path:
        raise DataError(f"data.path {printable(config.path)} holds a null character; name a folder or file")
    return Path(config.path)


def _market_file(path: Path, symbol: str | None, root: Path) -> MarketFile:
    try:
        status = os.stat(inside(path, root))
    except (OSError, UnusableFileError):
        return MarketFile(str(path), symbol, 0, 0)
    size_bytes = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return MarketFile(str(path), symbol, size_bytes, status.st_mtime_ns)


def _load_many(found: Discovery, config: DataConfig) -> MarketData:
    places: dict[str, list[str]] = defaultdict(list)
    for claim in found.claims:
        places[claim.symbol or ""].append(claim.place.name)
    require_known(config.symbols, places, printable(str(_root(config))))
    wanted = set(places if config.symbols is None else config.symbols)
    problems = [problem for problem in colliding_names(places) if problem.symbol in wanted]
    refused = {problem.symbol for problem in problems}
    frames: dict[str, pd.DataFrame] = {}
    ignored_columns: dict[str, int] = defaultdict(int)
    files = []
    for claim in found.claims:
        symbol = claim.symbol or ""
        if symbol not in wanted or symbol in refused:
            continue
        files += [_market_file(path, symbol, found.root) for path in claim.files]
        result = _read_claim(claim, symbol, found.root, config)
        if isinstance(result, DataProblem):
            problems.append(result)
            continue
        frames[symbol] = result.frame
        for column in result.ignored_columns:
            ignored_columns[column] += 1
    return _finish(frames, found, tuple(files), problems, ignored_columns, config)


def _read_claim(claim: Claim, symbol: str, root: Path, config: DataConfig) -> FileContent | DataProblem:
    """The rows of one symbol, its parts in name order, or the first thing that is wrong with it."""
    if problem := name_problem(symbol, printable(str(claim.place))):
        return problem
    if claim.unlisted:
        return DataProblem(symbol, ProblemCode.UNREADABLE, printable(str(claim.place)), claim.unlisted)
    if not claim.files:
        return DataProblem(symbol, ProblemCode.NO_FILE, printable(str(claim.place)), "folder holds no *.parquet file; write one, or remove the folder")
    parts = []
    for path in claim.files:
        content = _read_file(path, symbol, root, config)
        if isinstance(content, DataProblem):
            return content
        by_symbol = split_by_symbol(content)
        if by_symbol is not None and set(by_symbol) != {symbol}:
            listed = ", ".join(printable(repr(name)) for name in sorted(by_symbol)[:4])
            message = f"named for {symbol}, but its symbol column says {listed}; rename the file or mend the column"
            return DataProblem(symbol, ProblemCode.SYMBOL_MISMATCH, printable(str(path)), message)
        parts.append(FileContent(content.frame if by_symbol is None else by_symbol[symbol], content.ignored_columns))
    if len(parts) == 1:
        return parts[0]
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    return FileContent(frame, tuple(sorted({column for part in parts for column in part.ignored_columns})))


def _read_file(path: Path, symbol: str, root: Path, config: DataConfig) -> FileContent | DataProblem:
    where = printable(str(path))
    try:
        resolved = inside(path, root)
        if suffix_of(resolved.name) != suffix_of(path.name):
            message = f"is a link to {printable(resolved.name)}, of another type; link files of the same type"
            raise UnusableFileError(ProblemCode.WRONG_TYPE, message)
        return read_unchanged(resolved, partial(read_bars_file, max_columns=config.max_columns, max_bytes=config.max_file_bytes))
    except UnusableFileError as error:
        return DataProblem(symbol, error.code, where, str(error))


def _load_one_file(found: Discovery, config: DataConfig) -> MarketData:
    (path,) = found.claims[0].files
    named = symbol_of_file(path)
    content = _read_file(path, named, found.root, config)
    if isinstance(content, DataProblem):
        raise DataError(f"{printable(str(_root(config)))}: nothing can be used:\n{content}")
    by_symbol = split_by_symbol(content)
    if by_symbol is None:
        by_symbol = {named: content.frame}
        found = Discovery(Layout.FILE_PER_SYMBOL, found.root, found.claims, found.interval_minutes, found.ignored)
    where = printable(str(path))
    problems = []
    if "" in by_symbol:
        rows = by_symbol.pop("")
        message = f"{len(rows)} rows have no symbol, the first is row {int(rows.index[0]) + 1}; fill the symbol column or drop them"
        problems.append(DataProblem("", ProblemCode.MISSING_SYMBOL, where, message))
    require_known(config.symbols, by_symbol, where)
    wanted = set(by_symbol if config.symbols is None else config.symbols)
    named_problems = [problem for symbol in by_symbol if (problem := name_problem(symbol, where))]
    named_problems += colliding_names({symbol: [symbol] for symbol in by_symbol})
    problems += [problem for problem in named_problems if problem.symbol in wanted]
    refused = {problem.symbol for problem in problems}
    frames = {symbol: frame for symbol, frame in by_symbol.items() if symbol in wanted and symbol not in refused}
    ignored_columns = dict.fromkeys(content.ignored_columns, len(frames))
    return _finish(frames, found, (_market_file(path, None, found.root),), problems, ignored_columns, config)


def _finish(
    frames: dict[str, pd.DataFrame],
    found: Discovery,
    files: tuple[MarketFile, ...],
    problems: list[DataProblem],
    ignored_columns: dict[str, int],
    config: DataConfig,
) -> MarketData:
    ordered = tuple(sorted(problems, key=lambda problem: (problem.symbol, problem.code)))
    root = str(_root(config))
    if not frames:
        raise DataError(f"{printable(root)}: nothing can be used:\n{list_problems(ordered)}")
    return MarketData(
        frames=dict(sorted(frames.items())),
        layout=found.layout,
        root=root,
        files=files,
        problems=ordered,
        interval_minutes=found.interval_minutes,
        ignored=found.ignored,
        ignored_columns=dict(sorted(ignored_columns.items())),
    )
