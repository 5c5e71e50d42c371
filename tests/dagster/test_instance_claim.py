"""An instance serves one output tree: a second is refused before it retires the partitions of the first."""

import shutil
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import HOME_VARIABLE, open_instance
from resources.instance_claim import claim_instance
from resources.output_lock import OutputError
from resources.settings import Settings
from routing_assets.cli import main
from tests.dagster.leaking_world import write_world
from training_assets.sensors import training_plan_sensor


def keys_of(home: Path) -> set[str]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return set(instance.get_dynamic_partitions("target_symbol"))


def test_a_second_tree_is_refused_and_the_partitions_of_the_first_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    first, second = (write_world(str(tmp_path / name), leaks=False) for name in ("first", "second"))
    with open_instance(first.output) as instance:
        instance.add_dynamic_partitions("target_symbol", ["mine"])
    assert main(["prune", "--output-dir", str(second.output)]) == 2
    err = capsys.readouterr().err
    assert f"serves {first.output.resolve()}" in err
    assert "DAGSTER_HOME" in err
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        told = training_plan_sensor(dg.build_sensor_context(instance=instance, resources={"settings": Settings(output_dir=str(second.output))}))
    assert str(first.output.resolve()) in str(told.skip_reason)
    assert keys_of(tmp_path / "home") == {"mine"}
    shutil.rmtree(first.output)
    assert main(["prune", "--output-dir", str(second.output)]) == 0


def test_a_tree_that_is_copied_or_moved_with_its_instance_goes_on(tmp_path: Path) -> None:
    settings = write_world(str(tmp_path / "out"), leaks=False)
    with open_instance(settings.output):
        pass
    shutil.copytree(settings.output, tmp_path / "copied")
    with open_instance(tmp_path / "copied") as instance:
        claim_instance(instance, tmp_path / "copied")
        with pytest.raises(OutputError, match="copied"):
            claim_instance(instance, settings.output)
    settings.output.rename(tmp_path / "moved")
    with open_instance(tmp_path / "moved"):
        pass
