"""A changed setting marks out of date what follows from it first, and not what came before; a changed file of bars marks what depends on it."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from resources.instance import open_instance
from resources.settings import Settings
from routing_assets.command.commands import SETTINGS_FILE
from routing_assets.definitions import make_definitions
from tests.pipeline.command import switchyard, write_config, write_market

PLANNED = (
    "market_bars",
    "panel",
    "target_ranking",
    "feature_selection",
    "leakage_audit",
    "stability",
    "routing_candidates",
    "routing_plan",
    "training_plan",
)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of a plan that was just made."""
    root = tmp_path_factory.mktemp("stale")
    write_market(root / "bars")
    write_config(root / "config")
    assert switchyard("plan", "--data-dir", root / "bars", "--config-dir", root / "config", "--output-dir", root / "out").status == 0
    return Settings.model_validate_json((root / "out" / SETTINGS_FILE).read_bytes())


@pytest.fixture
def instance(planned: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(planned.output) as opened:
        yield opened


def stale(settings: Settings, instance: dg.DagsterInstance, *overrides: str) -> dict[str, str]:
    """The planned assets that are out of date under these settings, each with its first reason."""
    definitions = make_definitions(settings.changed(overrides=[*settings.overrides, *overrides]))
    resolver = CachingStaleStatusResolver(instance, definitions.resolve_asset_graph(), LoadingContextForTest(instance))
    causes = {name: resolver.get_stale_causes(dg.AssetKey(name)) for name in PLANNED}
    return {name: found[0].reason for name, found in causes.items() if found}


def test_nothing_is_out_of_date_after_a_plan(planned: Settings, instance: dg.DagsterInstance) -> None:
    assert stale(planned, instance) == {}


@pytest.mark.parametrize(
    ("override", "first"),
    [
        ("routing.symbol.strong_score.classification=0.9", "routing_plan"),
        ("routing.significance.max_q=0.5", "routing_candidates"),
        ("leakage.n_permutations=7", "leakage_audit"),
        ("features.n_canaries=3", "panel"),
        ("training.families=[Ridge]", "training_plan"),
        ("data.min_rows=31", "market_bars"),
    ],
)
def test_a_changed_setting_marks_what_follows_from_it_and_nothing_before(planned: Settings, instance: dg.DagsterInstance, override: str, first: str) -> None:
    found = stale(planned, instance, override)
    assert first in found
    assert "code version" in found[first]
    before = PLANNED[: PLANNED.index(first)]
    assert not found.keys() & set(before)


def test_settings_that_change_no_result_mark_nothing(planned: Settings, instance: dg.DagsterInstance) -> None:
    assert stale(planned, instance, "resources.workers=2", "training.fit_timeout_seconds=10", "training.require_device=off") == {}


def test_a_changed_file_of_bars_marks_what_is_made_of_it_once_it_is_observed(planned: Settings, instance: dg.DagsterInstance) -> None:
    path = Path(planned.load().data.path or "") / "AAA.parquet"
    whole = path.read_bytes()
    frame = pd.read_parquet(path)
    frame.iloc[10, frame.columns.get_loc("volume")] += 1.0
    frame.to_parquet(path)
    definitions = make_definitions(planned)
    job = definitions.resolve_implicit_global_asset_job_def()
    try:
        assert job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("market_files")]).success
        assert stale(planned, instance)["market_bars"] == "has a new dependency data version"
        path.write_bytes(whole)
        assert job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("market_files")]).success
        assert stale(planned, instance) == {}
    finally:
        path.write_bytes(whole)
