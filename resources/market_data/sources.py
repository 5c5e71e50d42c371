"""The registry of market data sources, and the two questions that are asked of one: what is there, and what it holds.

A new source is one module with a load and a list function, one line in `DATA_SOURCES`, and its name in `config.sections.data.DataConfig`.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from config.sections.data import DataConfig
from resources.market_data.directory import list_directory, load_directory
from resources.market_data.readers import read_header
from resources.market_data.records import MarketData, MarketFile
from resources.market_data.sample import list_sample, load_sample


@dataclass(frozen=True)
class DataSource:
    """One source: `load` reads its bars, `list_files` tells cheaply what it stands on."""

    name: str
    load: Callable[[DataConfig], MarketData]
    list_files: Callable[[DataConfig], tuple[MarketFile, ...]]
    description: str


DATA_SOURCES: Mapping[str, DataSource] = MappingProxyType(
    {
        "sample": DataSource("sample", load_sample, list_sample, "Daily bars of five US stocks from the package bokeh-sampledata."),
        "directory": DataSource("directory", load_directory, list_directory, "A folder or file of bars in any accepted layout."),
    }
)


def load_market_data(config: DataConfig) -> MarketData:
    """Read the configured source.

    Raises
    ------
    DataError
        Nothing can be used: no such folder, mixed layouts or intervals, an unknown symbol, or every symbol refused. A problem of
        one symbol is a value in `MarketData.problems`, and the others go on.
    """
    return DATA_SOURCES[config.source].load(config)


def list_market_files(config: DataConfig) -> tuple[MarketFile, ...]:
    """Path, size and modification time of every file of the configured source, without reading any.

    Raises
    ------
    DataError
        The folder is not there or cannot be listed.
    """
    return DATA_SOURCES[config.source].list_files(config)


def column_names(files: Iterable[MarketFile]) -> Iterator[str]:
    """The columns of some files, each file's header read when its turn comes; a name comes once for each file that has it."""
    for file in files:
        if file.size_bytes:
            yield from read_header(Path(file.path))


def files_fingerprint(files: tuple[MarketFile, ...]) -> str:
    """16 hexadecimal digits that change when a file is added, removed or written again; order does not matter."""
    lines = sorted(f"{file.path!a}\t{file.size_bytes}\t{file.modified_ns}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
