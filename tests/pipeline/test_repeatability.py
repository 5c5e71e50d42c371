"""The same inputs give the same bytes: across processes, hash seeds, locales, time zones, the order of files, and worker counts."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.pipeline.command import SYMBOLS, results, switchyard, switchyard_process, write_config, write_market

MASTER = "globals/training_plan/master_training_plan.json"
SURROUNDINGS: dict[str, tuple[Mapping[str, str], tuple[object, ...]]] = {
    "one worker, western": ({"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "America/New_York"}, ("--workers", 1)),
    "two workers, eastern": ({"PYTHONHASHSEED": "4242", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"}, ("--workers", 2)),
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars, configuration, and the output of a run in this process."""
    root = tmp_path_factory.mktemp("repeated")
    write_market(root / "bars")
    write_config(root / "config")
    answer = switchyard("run", "--data-dir", root / "bars", "--config-dir", root / "config", "--output-dir", root / "out")
    assert answer.status == 0, answer.err
    return root


def assert_same(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_another_process_in_other_surroundings_gives_the_same_bytes(reference: Path, tmp_path: Path, surroundings: str) -> None:
    environment, options = SURROUNDINGS[surroundings]
    # Copied in the other order and with other times, so that neither the order of a folder nor its clock can tell.
    write_market(tmp_path / "elsewhere", symbols=SYMBOLS[::-1])
    for age, path in enumerate(sorted((tmp_path / "elsewhere").iterdir())):
        os.utime(path, (1_000_000_000 + age, 1_500_000_000 - age))
    places = ("--data-dir", tmp_path / "elsewhere", "--config-dir", reference / "config", "--output-dir", tmp_path / "out")
    answer = switchyard_process("run", *places, *options, extra=environment)
    assert answer.status == 0, answer.err
    assert_same(results(tmp_path / "out"), results(reference / "out"))


def test_a_run_over_its_own_output_changes_nothing(reference: Path) -> None:
    before = results(reference / "out")
    answer = switchyard("run", "--data-dir", reference / "bars", "--config-dir", reference / "config", "--output-dir", reference / "out")
    assert answer.status == 0, answer.err
    assert_same(results(reference / "out"), before)


def test_another_seed_gives_another_plan(reference: Path, tmp_path: Path) -> None:
    answer = switchyard("plan", "--data-dir", reference / "bars", "--config-dir", reference / "config", "--output-dir", tmp_path / "out", "--seed", 9)
    assert answer.status == 0, answer.err
    assert results(tmp_path / "out")[MASTER] != results(reference / "out")[MASTER]
    answer = switchyard("diff", reference / "out", tmp_path / "out")
    assert answer.status in (0, 1)
    assert "first cause: config (" in answer.out


def test_of_two_runs_on_other_data_and_settings_the_data_are_named_first(reference: Path, tmp_path: Path) -> None:
    places = ("--data-dir", write_market(tmp_path / "shorter", n_bars=390), "--config-dir", reference / "config", "--output-dir", tmp_path / "out")
    assert switchyard("plan", *places, "--seed", 9).status == 0
    answer = switchyard("diff", reference / "out", tmp_path / "out", "--json")
    assert json.loads(answer.out)["first_cause"].startswith("data (")
    plans = [json.loads((folder / "out" / MASTER).read_text(encoding="utf-8"))["metadata"] for folder in (reference, tmp_path)]
    assert plans[0]["run_id"] != plans[1]["run_id"]
    assert plans[0]["library_versions"] == plans[1]["library_versions"]
    assert {"numpy", "lightgbm"} <= plans[0]["library_versions"].keys()
