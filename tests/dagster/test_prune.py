"""Pruning marks before it deletes, deletes nothing that a plan needs, and forgets no run that an asset's state stands on."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from resources.files import write_atomically
from resources.instance import open_instance, run_job
from resources.retention import forget_runs, forgettable_runs
from resources.settings import Settings
from routing_assets.cli import main
from routing_assets.definitions import make_definitions
from routing_assets.plans.training_plan_files import write_training_plan
from tests.dagster.leaking_world import CLEAN, LEAKING, trained_symbols, write_world
from tests.dagster.test_partitions_and_sensors import PANEL, key, pairs, plan_of
from training_assets.contracts import TrainingPlan
from training_assets.partitions import RANGE_END_TAG, RANGE_START_TAG, publish_plan
from training_assets.plan_reader import read_master_plan
from training_assets.retirement import judge_models, needed_folders, plans_of_tree, read_register, remember_plan, retire

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEEP = timedelta(days=30)


def leave_model(models_root: Path, plan: TrainingPlan, symbol: str) -> Path:
    """A model folder where the plan's job of a symbol puts it."""
    (folder,) = [place for place in needed_folders(models_root, plan) if f"symbol={symbol}" in place.parts]
    write_atomically(folder / "model_card.json", "{}")
    return folder


def test_a_model_of_no_plan_is_marked_first_and_deleted_once_its_time_is_over(tmp_path: Path) -> None:
    models, register = tmp_path / "models", tmp_path / "retired.json"
    both, one = plan_of(*pairs("S000", "S001")), plan_of(*pairs("S000"))
    kept, retired = (leave_model(models, both, symbol) for symbol in ("S000", "S001"))
    first = judge_models(models, [one], read_register(register), NOW, KEEP)
    assert (len(first.newly), first.expired) == (1, ())
    retire(models, register, first)
    early = judge_models(models, [one], read_register(register), NOW + timedelta(days=29), KEEP)
    assert (early.newly, early.expired) == ((), ())
    late = judge_models(models, [one], read_register(register), NOW + KEEP, KEEP)
    assert late.expired == first.newly
    retire(models, register, late)
    assert (kept.exists(), retired.exists(), retired.parent.exists()) == (True, False, False)
    assert read_register(register) == {}


def test_a_model_that_is_planned_again_is_no_longer_marked(tmp_path: Path) -> None:
    models, register = tmp_path / "models", tmp_path / "retired.json"
    both = plan_of(*pairs("S000", "S001"))
    leave_model(models, both, "S001")
    retire(models, register, judge_models(models, [plan_of(*pairs("S000"))], {}, NOW, KEEP))
    again = judge_models(models, [both], read_register(register), NOW + 2 * KEEP, KEEP)
    assert (len(again.returned), again.expired, dict(again.marked)) == (1, (), {})


def test_a_model_that_any_plan_needs_is_kept_and_nothing_is_deleted_unmarked(tmp_path: Path) -> None:
    models = tmp_path / "models"
    leave_model(models, plan_of(*pairs("S001")), "S001")
    assert not judge_models(models, [plan_of(*pairs("S000")), plan_of(*pairs("S001"))], {}, NOW, KEEP).marked
    assert not judge_models(models, [plan_of(*pairs("S000"))], {}, NOW, timedelta(0)).expired


@pytest.mark.parametrize("content", ["", "[]", '{"a": 3}', '{"a": "no time"}'])
def test_a_register_that_cannot_be_read_marks_anew(content: str, tmp_path: Path) -> None:
    (tmp_path / "register.json").write_text(content, encoding="utf-8")
    assert read_register(tmp_path / "register.json") == {}


def test_a_register_that_was_tampered_with_deletes_nothing_outside_the_models(tmp_path: Path) -> None:
    models, outside = tmp_path / "models", tmp_path / "mine"
    write_atomically(outside / "model_card.json", "{}")
    leave_model(models, plan_of(*pairs("S000")), "S000")
    marked = {"../mine": NOW - 2 * KEEP, str(outside): NOW - 2 * KEEP}
    retire(models, tmp_path / "register.json", judge_models(models, [plan_of(*pairs("S000"))], marked, NOW, KEEP))
    assert (outside / "model_card.json").exists()


def test_old_runs_are_forgotten_unless_an_asset_stands_on_them(tmp_path: Path) -> None:
    settings = write_world(str(tmp_path), leaks=False)
    definitions = make_definitions(settings, {"switchyard": dg.LoggerDefinition(lambda _: dg.get_dagster_logger("quiet"))})
    with dg.DagsterInstance.ephemeral() as instance:
        publish_plan(instance, read_master_plan(settings.plan_folder), PANEL.symbols)
        both = {RANGE_START_TAG: CLEAN, RANGE_END_TAG: LEAKING}
        first, second, third = (run_job(definitions, "train_pairs_cpu", instance, tags=tags).run_id for tags in (both, both, {"dagster/partition": CLEAN}))
        ahead = datetime.now(UTC) + timedelta(days=1)
        assert forgettable_runs(instance, ahead - timedelta(days=2)) == ()
        assert forgettable_runs(instance, ahead) == (first,)  # the second still holds the newest event of one of its two pairs
        forget_runs(instance, (first,))
        assert {run.run_id for run in instance.get_runs()} == {second, third}
        assert instance.get_materialized_partitions(dg.AssetKey("symbol_models")) == {CLEAN, LEAKING}


def test_the_command_tells_first_and_does_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = write_world(str(tmp_path), leaks=False)
    leave_model(settings.models_root, plan_of(*pairs("S003")), "S003")
    words = ["prune", "--output-dir", str(tmp_path), "--set", "resources.keep_retired_days=0", "--json"]

    def ask(*more: str) -> dict[str, list[str]]:
        assert main([*words, *more]) == 0
        return json.loads(capsys.readouterr().out)

    told = ask("--dry-run")
    assert len(told["marked"]) == 1
    assert ask("--dry-run") == told
    assert ask()["deleted"] == []
    assert ask()["deleted"] == told["marked"]
    assert trained_symbols(settings) == set()


def test_models_of_a_plan_elsewhere_are_kept_and_without_it_nothing_is_pruned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    settings = write_world(str(output), leaks=False)
    write_training_plan(plan_of(*pairs("S002")), elsewhere, ())
    from_elsewhere = settings.changed(training_plan_dir=str(elsewhere))
    definitions = make_definitions(from_elsewhere, {"switchyard": dg.LoggerDefinition(lambda _: dg.get_dagster_logger("quiet"))})
    with dg.DagsterInstance.ephemeral() as instance:
        publish_plan(instance, read_master_plan(elsewhere), PANEL.symbols)
        run_job(definitions, "train_pairs_cpu", instance, tags={"dagster/partition": key("S002")})
    words = ["prune", "--output-dir", str(output), "--set", "resources.keep_retired_days=0", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["marked"] == []
    elsewhere.rename(tmp_path / "moved")
    assert main(words) == 2
    assert f"no training plan in {elsewhere}" in capsys.readouterr().err
    (tmp_path / "moved").rename(elsewhere)
    write_training_plan(plan_of(*pairs("S003")), elsewhere, ())
    assert main(words) == 0
    assert len(json.loads(capsys.readouterr().out)["marked"]) == 1
    assert trained_symbols(settings) == {"S002"}


def test_a_plan_of_the_tree_itself_is_found_where_the_tree_is_moved_to(tmp_path: Path) -> None:
    (output := tmp_path / "out").mkdir()
    write_training_plan(plan_of(*pairs("S001")), output / "METRICS" / "training_plan", ())
    remember_plan(output, output / "METRICS" / "training_plan")
    assert len(plans_of_tree(output.rename(tmp_path / "moved"))) == 1


@pytest.mark.parametrize("there", [True, False])
def test_without_a_plan_nothing_is_pruned(there: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    if there:
        leave_model(Settings(output_dir=str(output)).models_root, plan_of(*pairs("S003")), "S003")
    assert main(["prune", "--output-dir", str(output)]) == 2
    assert "out" in capsys.readouterr().err


def test_a_plan_that_cannot_be_read_is_no_empty_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = write_world(str(tmp_path), leaks=False)
    folder = leave_model(settings.models_root, plan_of(*pairs("S000")), "S000")
    (settings.plan_folder / "master_training_plan.json").write_text("{", encoding="utf-8")
    assert main(["prune", "--output-dir", str(tmp_path), "--set", "resources.keep_retired_days=0"]) == 2
    assert "not a training plan" in capsys.readouterr().err
    assert folder.exists()
    with open_instance(tmp_path) as instance:
        assert instance.get_runs() == []


def test_a_plan_written_apart_keeps_its_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = write_world(str(tmp_path), leaks=False)
    leave_model(settings.models_root, plan_of(*pairs("S003")), "S003")
    write_training_plan(plan_of(*pairs("S003")), tmp_path / "globals" / "unrouted_plan", ())
    assert main(["prune", "--output-dir", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["marked"] == []
