"""What a cluster is told: a GPU for the jobs and assets of the GPU stage and for nothing else, and files that name the code location that there is."""

import json
from pathlib import Path

import dagster as dg
import pytest
import yaml

from docs.deploy_sizes import FIT_SECONDS, size_of, table
from resources.settings import Settings
from routing_assets.definitions import make_definitions
from tests.dagster.served import ROOT

GPU_ASSETS = {"cross_sectional_sequence_models", "symbol_sequence_models"}
GPU_JOBS = {"train_targets_gpu", "train_pairs_gpu"}
GPU_LIMIT = "nvidia.com/gpu"


@pytest.fixture
def definitions(tmp_path: Path) -> dg.Definitions:
    return make_definitions(Settings(output_dir=str(tmp_path)))


def asks_for_gpu(tags: object) -> bool:
    return GPU_LIMIT in json.dumps(tags, default=str)


def test_only_jobs_and_assets_of_the_gpu_stage_ask_for_a_gpu(definitions: dg.Definitions) -> None:
    assert {job.name for job in definitions.jobs or () if asks_for_gpu(definitions.resolve_job_def(job.name).tags)} == GPU_JOBS
    graph = definitions.resolve_asset_graph()
    models = [asset for asset in graph.assets_defs if asset.is_executable]
    assert {asset.key.to_user_string() for asset in models if len(asset.keys) == 1 and asks_for_gpu(asset.node_def.tags)} == GPU_ASSETS


def test_the_request_is_one_that_the_launcher_reads(definitions: dg.Definitions) -> None:
    tag = definitions.resolve_job_def("train_pairs_gpu").tags["dagster-k8s/config"]
    assert json.loads(tag)["container_config"]["resources"]["limits"] == {GPU_LIMIT: "1"}


def test_the_cloud_file_names_the_code_location_of_the_workspace_and_no_gpu_for_every_run() -> None:
    cloud = yaml.safe_load((ROOT / "dagster_cloud.yaml").read_text(encoding="utf-8"))
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))
    (location,) = cloud["locations"]
    module = workspace["load_from"][0]["python_module"]
    assert location["code_source"]["module_name"] == module["module_name"]
    assert location["location_name"] == module["location_name"]
    assert (ROOT / location["build"]["directory"] / "Dockerfile").exists()
    run = location["container_context"]["k8s"]["run_k8s_config"]["container_config"]["resources"]
    assert {"cpu", "memory"} <= run["requests"].keys()
    assert not asks_for_gpu(cloud)


def test_no_secret_stands_in_a_deployment_file() -> None:
    for name in ("dagster_cloud.yaml", "workspace.yaml", "Dockerfile", "docs/deploy.md"):
        text = (ROOT / name).read_text(encoding="utf-8").lower()
        assert "password=" not in text
        assert "secret_key" not in text


def test_the_documented_sizes_are_those_that_the_formula_gives() -> None:
    assert table() in (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def test_sizes_grow_with_the_jobs_and_hours_shrink_with_the_cores() -> None:
    small, large = size_of(1_000), size_of(1_000_000)
    assert (large.n_runs, large.n_rows) == (10_000, 1_000 * small.n_rows)
    assert large.hours(2) > large.hours(16) > large.hours(512) > small.hours(512)
    assert small.hours(2) * 3600 > 1_000 * FIT_SECONDS / 2
