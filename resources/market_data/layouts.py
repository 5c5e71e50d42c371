"""Which files of a folder hold whose bars, found from names alone.

Belongs here: detecting a layout and listing its files without opening them. Does not: reading (`readers`).
"""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from resources.market_data.records import DataError, Layout, printable

SUFFIXES = (".parquet", ".csv", ".csv.gz")
EXPECTED = "expected <SYMBOL>.parquet|csv|csv.gz, [interval=5m/]symbol=<SYMBOL>/*.parquet, or one file with a symbol column"
_INTERVAL = re.compile(r"interval=(\d{1,5})(m|min|t|h|d)", re.IGNORECASE)
_UNIT_MINUTES = {"m": 1, "min": 1, "t": 1, "h": 60, "d": 1440}


@dataclass(frozen=True)
class Claim:
    """One place that claims to hold a symbol: a file, or a folder of parts.

    `symbol` is None where it stands inside the file; `unlisted` says why the files of a folder are not known, and is empty where they are.
    """

    symbol: str | None
    place: Path
    files: tuple[Path, ...]
    unlisted: str = ""


@dataclass(frozen=True)
class Discovery:
    """A folder's layout; `root` is the real path that no file may lead out of. A file that the user named may be a link to anywhere."""

    layout: Layout
    root: Path
    claims: tuple[Claim, ...]
    interval_minutes: int | None
    ignored: tuple[str, ...]


def discover(path: Path) -> Discovery:
    """Detect the layout of a folder or file.

    Raises
    ------
    DataError
        It does not exist or cannot be listed; holds no bars, several layouts at once, or several intervals.
    """
    mode = _mode(path)
    if stat.S_ISREG(mode):
        if suffix_of(path.name) is None:
            raise DataError(f"data.path {printable(str(path))}: not one of {' '.join(SUFFIXES)}; {EXPECTED}")
        return Discovery(Layout.ONE_FILE, path.resolve().parent, (Claim(None, path, (path,)),), None, ())
    if not stat.S_ISDIR(mode):
        raise DataError(f"data.path {printable(str(path))} is a pipe or a device; name a folder or file with --data-dir or data.path")
    files, symbol_folders, interval_folders, ignored = _sort_entries(path)
    kinds = [name for name, found in (("files", files), ("symbol= folders", symbol_folders), ("interval= folders", interval_folders)) if found]
    if not kinds:
        seen = f"; it holds {', '.join(ignored[:5])}" if ignored else "; it is empty"
        raise DataError(f"data.path {printable(str(path))} holds no bars: {EXPECTED}{seen}")
    if len(kinds) > 1:
        raise DataError(f"data.path {printable(str(path))} mixes layouts: {', '.join(kinds)}; keep one, or name the one to read")
    if len(interval_folders) > 1:
        names = ", ".join(printable(folder.name) for folder in interval_folders)
        raise DataError(f"data.path {printable(str(path))} holds several bar intervals: {names}; name one, for instance {interval_folders[0]}")
    if interval_folders:
        return _discover_interval(path, interval_folders[0], ignored)
    stated = _interval_minutes(path) if path.name.casefold().startswith("interval=") else None
    if symbol_folders:
        return Discovery(Layout.FOLDER_PER_SYMBOL, path.resolve(), tuple(_folder_claim(folder) for folder in symbol_folders), stated, tuple(ignored))
    if path.name.startswith("symbol="):
        return Discovery(Layout.FOLDER_PER_SYMBOL, path.resolve(), (_folder_claim(path),), None, tuple(ignored))
    # A lone file may hold one symbol or all of them; its columns decide when it is read.
    claims = (Claim(None, files[0], (files[0],)),) if len(files) == 1 else tuple(Claim(_stem(file.name), file, (file,)) for file in files)
    layout = Layout.ONE_FILE if len(files) == 1 else Layout.FILE_PER_SYMBOL
    return Discovery(layout, path.resolve(), claims, stated, tuple(ignored))


def suffix_of(name: str) -> str | None:
    """Which of `SUFFIXES` a file name ends in, letter case aside, or None."""
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix) and len(name) > len(suffix)), None)


def symbol_of_file(path: Path) -> str:
    """The symbol that a file is named for."""
    return _stem(path.name)


def _stem(name: str) -> str:
    return name[: -len(suffix_of(name) or "")]


def _mode(path: Path) -> int:
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"data.path {printable(str(path))} is not there; name a folder or file with --data-dir or data.path") from None
    except OSError as error:
        message = f"cannot be looked at: {error.strerror}; check the name and its permissions, or name another with --data-dir or data.path"
        raise DataError(f"data.path {printable(str(path))} {message}") from None


def _sort_entries(path: Path) -> tuple[list[Path], list[Path], list[Path], list[str]]:
    files, symbols, intervals, ignored = [], [], [], []
    for entry in _scan(path):
        if entry.name.startswith((".", "_")):
            # Hidden files and Hive's own markers (_SUCCESS, _metadata), half-written files of careful writers among them.
            ignored.append(printable(entry.name))
        elif entry.name.startswith("symbol=") and (_is_folder(entry) or entry.is_symlink()):
            symbols.append(Path(entry.path))
        elif entry.name.casefold().startswith("interval=") and _is_folder(entry):
            intervals.append(Path(entry.path))
        elif suffix_of(entry.name):
            files.append(Path(entry.path))
        else:
            ignored.append(printable(entry.name))
    return files, symbols, intervals, ignored


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _scan(path: Path) -> list[os.DirEntry[str]]:
    try:
        return _list(path)
    except OSError as error:
        raise DataError(f"{printable(str(path))} cannot be listed: {error.strerror}; check its permissions") from None


def _list(path: Path) -> list[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _discover_interval(root: Path, folder: Path, ignored: list[str]) -> Discovery:
    files, symbols, intervals, more = _sort_entries(folder)
    if files or intervals or not symbols:
        raise DataError(
            f"{printable(str(folder))} should hold symbol=<SYMBOL> folders and nothing else, it holds {len(symbols)} of them and {len(files)} files"
        )
    claims = tuple(_folder_claim(symbol) for symbol in symbols)
    return Discovery(Layout.FOLDER_PER_SYMBOL, root.resolve(), claims, _interval_minutes(folder), (*ignored, *more))


def _interval_minutes(folder: Path) -> int:
    match = _INTERVAL.fullmatch(folder.name)
    if match is None or int(match[1]) == 0:
        raise DataError(f"{printable(str(folder))}: interval is not understood; write interval=5m, interval=1h or interval=1d")
    return int(match[1]) * _UNIT_MINUTES[match[2].lower()]


def _folder_claim(folder: Path) -> Claim:
    symbol = unquote(folder.name.removeprefix("symbol="), errors="surrogateescape")
    try:
        entries = _list(folder)
    except OSError as error:  # costs this symbol, not the market
        return Claim(symbol, folder, (), f"cannot be listed: {error.strerror}; check the folder, its link and its permissions")
    parts = tuple(Path(entry.path) for entry in entries if entry.name.lower().endswith(".parquet") and not entry.name.startswith((".", "_")))
    return Claim(symbol, folder, parts)
