"""Coverage-guided fuzzers of readers and parsers, each in a process of its own, for `SWITCHYARD_FUZZ_SECONDS` (default 2; `make fuzz` 120)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.command import process_environment

SECONDS = int(os.environ.get("SWITCHYARD_FUZZ_SECONDS", "2"))
NAMES = ("settings", "override", "plans", "candidates", "bars.csv", "bars.csv.gz", "bars.parquet")


@pytest.mark.parametrize("name", NAMES)
def test_whatever_bytes_a_reader_is_given_it_reads_them_or_gives_its_own_error(tmp_path: Path, name: str) -> None:
    words = [sys.executable, "-m", "tests.fuzz.coverage_guided", name, str(tmp_path), str(SECONDS)]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", env=process_environment(), timeout=SECONDS + 120, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
