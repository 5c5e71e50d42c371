"""What a run stands on gives way under it: the database, the clock. It is told, whole files are left, a rerun ends as if nothing had been.

Belongs here: faults of the surroundings. Does not: kills and full disks (`test_faults`), or a fit without memory (the trainer's tests).
"""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.instance import open_instance
from tests.dagster.postgres import postgres_server
from tests.dagster.test_postgres_storage import documented_settings
from tests.pipeline.command import (
    leftovers,
    process_environment,
    results,
    start_process,
    switchyard,
    switchyard_process,
    tells_done,
)
from tests.pipeline.test_faults import assert_readers_see_whole_files, given, undisturbed_world
from tests.pipeline.test_security import SECRET

FAKE_CLOCK = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), Path("/usr/lib/faketime/libfaketimeMT.so.1"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars, configuration, and the output of an undisturbed run."""
    return undisturbed_world(tmp_path_factory.mktemp("ground"))


def wait_until_told(process: subprocess.Popen[str], stage: str) -> None:
    """Until a command has told that a stage is done."""
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if tells_done(line, stage):
            return
    raise AssertionError(f"ended before {stage}: {''.join(told)}")


@pytest.mark.parametrize("stage", ["panel", "cross_sectional_models"])
def test_a_database_that_goes_away_is_told_and_a_rerun_goes_on(world: Path, tmp_path: Path, stage: str) -> None:
    home = tmp_path / "out" / ".dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(documented_settings(), encoding="utf-8")
    with postgres_server() as server:
        words, reached = ("run", *given(world), "--output-dir", tmp_path / "out"), {"DAGSTER_PG_URL": server.address}
        process = start_process(*words, extra=reached)
        wait_until_told(process, stage)
        server.stop()
        out, err = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "Traceback" not in out + err
        assert "the run storage of " in err
        assert "the same command goes on from here" in err
        assert len(err.splitlines()) < 60
        assert_readers_see_whole_files(tmp_path / "out")
        server.start()
        again = switchyard_process(*words, extra=reached)
    assert again.status == 0, again.err
    assert results(tmp_path / "out") == results(world / "undisturbed")
    assert leftovers(tmp_path / "out") == []


@pytest.mark.parametrize("address", ["postgresql+psycopg2://me:{secret}@127.0.0.1:1/x", "no address {secret}"])
def test_a_database_that_was_never_there_is_told_without_its_password(world: Path, tmp_path: Path, address: str) -> None:
    home = tmp_path / "out" / ".dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(documented_settings(), encoding="utf-8")
    answer = switchyard_process("plan", *given(world), "--output-dir", tmp_path / "out", extra={"DAGSTER_PG_URL": address.format(secret=SECRET)})
    assert answer.status == 1
    assert f"the run storage of {home / 'dagster.yaml'} cannot be used" in answer.err
    assert "Traceback" not in answer.err
    assert SECRET not in answer.out + answer.err
    assert not any(SECRET.encode() in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


# The children of the process keep the true clock: `tail`, with which Dagster copies the output of steps, does not end under a false one.
WITH_FALSE_CLOCK = "import os, sys; del os.environ['LD_PRELOAD']; from routing_assets.cli import main; sys.exit(main(sys.argv[1:]))"


def test_a_clock_that_jumps_changes_no_result(world: Path, tmp_path: Path) -> None:
    assert FAKE_CLOCK.exists(), "no libfaketime; `apt-get install faketime` (.ci/run does)"
    jumps = tmp_path / "clock"
    jumps.write_text("+0d", encoding="utf-8")
    faked = {"LD_PRELOAD": str(FAKE_CLOCK), "FAKETIME_TIMESTAMP_FILE": str(jumps), "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    words = [sys.executable, "-c", WITH_FALSE_CLOCK, "run", *map(str, given(world)), "--output-dir", str(tmp_path / "out")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=process_environment(faked), start_new_session=True)
    for stage, jump in (("market_bars", "+400d"), ("feature_selection", "-3d"), ("training_plan", "+3650d"), ("cross_sectional_models", "-9000d")):
        wait_until_told(process, stage)
        jumps.write_text(jump, encoding="utf-8")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert results(tmp_path / "out") == results(world / "undisturbed")
    with open_instance(tmp_path / "out") as instance:
        years = {datetime.fromtimestamp(record.create_timestamp.timestamp(), UTC).year for record in instance.get_run_records()}
    assert len(years) > 1, "the clock did not jump"
    again = switchyard("run", *given(world), "--output-dir", tmp_path / "out")
    assert again.status == 0, again.err
    assert results(tmp_path / "out") == results(world / "undisturbed")
