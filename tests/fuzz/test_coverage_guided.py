"""Coverage-guided fuzzers of readers and parsers, each in a process of its own: a fixed number of inputs from a fixed seed, the same each time.

`SWITCHYARD_FUZZ_SECONDS` makes it that many seconds from a new seed instead (`make fuzz`: 120).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.command import process_environment

LIMIT = ("seconds", os.environ["SWITCHYARD_FUZZ_SECONDS"]) if "SWITCHYARD_FUZZ_SECONDS" in os.environ else ("inputs", "500")
NAMES = ("settings", "override", "plans", "candidates", "bars.csv", "bars.csv.gz", "bars.parquet")


@pytest.mark.parametrize("name", NAMES)
def test_whatever_bytes_a_reader_is_given_it_reads_them_or_gives_its_own_error(tmp_path: Path, name: str) -> None:
    words = [sys.executable, "-m", "tests.fuzz.coverage_guided", name, str(tmp_path), *LIMIT]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", env=process_environment(), check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
