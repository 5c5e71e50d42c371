"""The code location loads, and its graph is the one that was reviewed."""

import os
from pathlib import Path

import dagster as dg
import pytest

import routing_assets.definitions
import training_assets.definitions
from resources.settings import Settings
from routing_assets.definitions import make_definitions
from tests.dagster.graph import describe_graph

SNAPSHOT = Path(__file__).parent / "asset_graph.txt"


@pytest.fixture
def definitions(tmp_path: Path) -> dg.Definitions:
    return make_definitions(Settings(output_dir=str(tmp_path)))


def test_the_asset_graph_is_the_reviewed_one(definitions: dg.Definitions) -> None:
    text = describe_graph(definitions)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8"), "UPDATE_SNAPSHOTS=1 writes it anew; review the difference"


@pytest.mark.parametrize("module", [routing_assets.definitions, training_assets.definitions])
def test_each_side_loads_by_itself_and_every_job_resolves(module: object) -> None:
    loaded: dg.Definitions = module.defs()  # type: ignore[attr-defined]
    dg.Definitions.validate_loadable(loaded)
    assert {job.name for job in loaded.jobs or ()} >= {"train_targets_cpu", "train_pairs_cpu", "train_blends_cpu", "train_targets_gpu", "train_pairs_gpu"}


def test_every_asset_tells_a_person_what_it_is(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert len(node.description or "") > 30, key
        assert node.owners, key
        assert node.group_name != "default", key


def test_every_model_asset_has_a_leakage_check_on_its_slices_and_depends_on_the_audit(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    blocking = {key.asset_key.to_user_string() for key in graph.asset_check_keys if key.name == "leakage" and graph.get(key).blocking}
    assert blocking == {"target_plan", "pair_plan"}
    for name in ("cross_sectional_models", "cross_sectional_sequence_models", "symbol_models", "symbol_sequence_models", "blended_models"):
        parents = {parent.to_user_string() for parent in graph.get(dg.AssetKey(name)).parent_keys}
        assert "leakage_audit" in parents
        assert parents & blocking
