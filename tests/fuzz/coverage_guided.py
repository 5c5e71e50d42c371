"""Fuzzers that watch which lines their input reaches (atheris, over libFuzzer): bytes and texts into the readers and the parsers of plans.

Belongs here: what is fuzzed, and from which seeds. Does not: how long (`test_coverage_guided`).
`python -m tests.fuzz.coverage_guided READER FOLDER seconds|inputs N` runs one, since libFuzzer owns its process.
A reader gives a value or its own error; anything else ends the run with the input that did it in FOLDER.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import atheris

with atheris.instrument_imports(include=["config", "resources", "routing_assets", "training_assets"]):
    from config.load import ConfigError, load_config, parse_yaml, validate_config
    from resources.market_data.readers import read_bars_file, split_by_symbol
    from resources.market_data.records import UnusableFileError
    from routing_assets.decisions.plan_documents import PlanError, read_routing_plan
    from routing_assets.evidence.candidates_table import CandidatesError, read_candidates
    from routing_assets.plans.training_plan_files import MASTER, load_training_plan
    from training_assets.panel.cleaning import clean_symbol
    from training_assets.plan_reader import TrainingPlanError, read_master_plan

from tests.fuzz.test_fuzz_readers import CANDIDATE_BYTES, MASTER_BYTES
from tests.pipeline.command import TINY_CONFIG, bars

MAX_COLUMNS, MAX_BYTES, MAX_LENGTH = 200, 50_000_000, 65_536
SEEDS_FOLDER, WORK_FOLDER = "seeds", "work"
LIMITS = MappingProxyType({"seconds": "-max_total_time={}", "inputs": "-runs={} -seed=1"})


@dataclass(frozen=True)
class Reader:
    """`read` takes bytes and a folder to lay them in; `refusals` are its own errors; `seed` is something that it reads."""

    read: Callable[[bytes, Path], object]
    refusals: tuple[type[Exception], ...]
    seed: Callable[[Path], None]


def require(held: bool, what: str) -> None:
    if not held:
        raise AssertionError(what)


def read_settings(content: bytes, folder: Path) -> None:
    sections = parse_yaml(content.decode("utf-8", "replace"), "here")
    if isinstance(sections, dict):
        validate_config(sections)


def read_override(content: bytes, folder: Path) -> None:
    load_config(overrides=[content.decode("utf-8", "replace")])


def read_plans(content: bytes, folder: Path) -> None:
    (folder / MASTER).write_bytes(content)
    for read in (load_training_plan, read_master_plan, lambda place: read_routing_plan(place / MASTER)):
        try:
            read(folder)
        except (PlanError, TrainingPlanError) as error:
            require(MASTER in str(error), f"names no file: {error}")


def read_table(content: bytes, folder: Path) -> None:
    (folder / "given.parquet").write_bytes(content)
    read_candidates(folder / "given.parquet")


def read_bars(suffix: str) -> Callable[[bytes, Path], None]:
    def read(content: bytes, folder: Path) -> None:
        path = folder / f"AAA{suffix}"
        path.write_bytes(content)
        read_content = read_bars_file(path, MAX_COLUMNS, MAX_BYTES)
        for symbol, frame in (split_by_symbol(read_content) or {"AAA": read_content.frame}).items():
            clean_symbol(symbol, frame, "America/New_York", 0.1, 5)

    return read


def seed_of(content: bytes) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(content), None)[1]


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "settings": Reader(read_settings, (ConfigError,), seed_of(TINY_CONFIG.encode())),
        "override": Reader(read_override, (ConfigError,), seed_of(b"routing.significance.max_q=0.05")),
        "plans": Reader(read_plans, (), seed_of(MASTER_BYTES)),
        "candidates": Reader(read_table, (CandidatesError,), seed_of(CANDIDATE_BYTES)),
        "bars.csv": Reader(read_bars(".csv"), (UnusableFileError,), lambda path: bars(20).to_csv(path, index=False)),
        "bars.csv.gz": Reader(read_bars(".csv.gz"), (UnusableFileError,), lambda path: bars(20).to_csv(path, index=False, compression="gzip")),
        "bars.parquet": Reader(read_bars(".parquet"), (UnusableFileError,), lambda path: bars(20).to_parquet(path)),
    }
)


def main(name: str, folder: Path, unit: str, number: int) -> None:
    """Fuzz one reader for so many seconds, or with so many inputs that are the same each time.

    libFuzzer ends the process, with a status other than 0 where an input broke it.
    """
    reader, seeds, work = READERS[name], folder / SEEDS_FOLDER, folder / WORK_FOLDER
    for place in (seeds, work):
        place.mkdir(parents=True, exist_ok=True)
    reader.seed(seeds / "valid")

    def one_input(content: bytes) -> None:
        try:
            reader.read(content, work)
        except reader.refusals as error:
            require(bool(str(error)), "says nothing")

    options = [
        *LIMITS[unit].format(number).split(),
        f"-max_len={MAX_LENGTH}",
        f"-artifact_prefix={folder}/",
        "-timeout=30",
        "-rss_limit_mb=4096",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(seeds)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
