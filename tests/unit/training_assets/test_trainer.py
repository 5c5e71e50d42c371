"""The trainer trains what it is given, once, the same for any workers, and loses no job to another's failure."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from config.schema import Config
from resources.output_lock import JOBS_FILE
from resources.worker_pool import WorkerError
from tests.panels import BINARY_TARGET, CLASS_TARGET, REGRESSION_TARGET, Planted, make_panel, pooled_job, symbol_job
from tests.tiny_families import TINY_FAMILIES, OneWeight, fit_torn, starve_on_the_first_fit, tiny
from training_assets.contracts import Route, Stage, TrainingJob
from training_assets.families.base import Family, FitRequest
from training_assets.families.registry import FAMILIES
from training_assets.model_store import CARD_FILE, read_card
from training_assets.outcomes import JobOutcome
from training_assets.panel.panel import Panel
from training_assets.trainer import HARD_LIMIT_SHARE, PanelReplacedError, hard_limit_seconds, train_blends, train_jobs

ROOT = Path(__file__).parents[3]


def written(panel: Panel, folder: Path) -> Path:
    folder.mkdir(parents=True)
    panel.write(folder)
    return folder


def train(
    jobs: Sequence[TrainingJob],
    panel: Panel,
    output: Path,
    workers: int = 1,
    stage: Stage = Stage.CPU,
    families: Mapping[str, Family] | None = None,
    **settings: Any,
) -> list[JobOutcome]:
    config = Config.model_validate(settings)
    folder = output / "panel"
    if not folder.exists():
        written(panel, folder)
    return list(train_jobs(jobs, folder, config, output, stage, "plan", workers, "cpu", families))


def model_bytes(output: Path) -> dict[str, bytes]:
    root = output / "models"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.glob("*/**/*")) if path.is_file() and path.name != CARD_FILE}


def cards(output: Path) -> dict[str, dict[str, Any]]:
    documents = {path.relative_to(output).as_posix(): orjson.loads(path.read_bytes()) for path in (output / "models").rglob(CARD_FILE)}
    return {name: {key: value for key, value in document.items() if key != "fit_seconds"} for name, document in documents.items()}


@pytest.fixture(scope="module")
def panel() -> Panel:
    return make_panel(3, 400, planted=Planted(1.0, 0.0, 1.0))


def test_pooled_and_local_jobs_of_every_task_find_the_planted_signal(panel: Panel, tmp_path: Path) -> None:
    jobs = [job for target in panel.target_names for job in (pooled_job(panel, target, ("Ridge",)), symbol_job(panel, "S001", target, ("Ridge",)))]
    outcomes = train(jobs, panel, tmp_path)
    assert len(outcomes) == 6
    assert not [failure for outcome in outcomes for failure in outcome.failures]
    for outcome in outcomes:
        (model,) = outcome.models
        metric = model.oos_metrics[0]
        assert metric.score is not None
        assert metric.ci_low is not None
        assert metric.ci_low > (0.0 if metric.metric.startswith("rank_ic") else 0.5)


def test_the_card_says_what_the_model_is_and_stops_before_the_holdout(panel: Panel, tmp_path: Path) -> None:
    train([pooled_job(panel, REGRESSION_TARGET, ("Ridge",), ("S000", "S002"))], panel, tmp_path, seed=7)
    card = read_card(tmp_path / "models" / REGRESSION_TARGET / "cross_sectional" / "Ridge")
    assert (card.target, card.symbol, card.symbols, card.family, card.plan_id) == (REGRESSION_TARGET, None, ("S000", "S002"), "Ridge", "plan")
    assert card.features == panel.feature_names
    assert card.purge_bars == 3
    assert card.data_hash == panel.data_hash
    assert "numpy" in card.library_versions
    assert np.datetime64(card.train_end[:19], "ns").astype("int64") < panel.times_ns[panel.holdout_start_code - card.horizon_bars]
    assert card.n_rows <= 2 * (panel.holdout_start_code - card.horizon_bars)


def test_what_the_holdout_holds_changes_nothing_that_is_trained(panel: Panel, tmp_path: Path) -> None:
    jobs = [pooled_job(panel, target, ("Ridge", "LightGBM"), for_blends=True) for target in (REGRESSION_TARGET, BINARY_TARGET)]
    features, labels = panel.features.copy(), panel.labels.copy()
    late = panel.time_codes >= panel.holdout_start_code
    features[:, late] = 1e6
    labels[:, (panel.label_end_codes >= panel.holdout_start_code).any(axis=0)] = 1.0
    train(jobs, panel, tmp_path / "clean")
    train(jobs, replace(panel, features=features, labels=labels), tmp_path / "garbage")
    assert model_bytes(tmp_path / "clean") == model_bytes(tmp_path / "garbage")


def test_what_lies_before_the_holdout_does_change_the_model(panel: Panel, tmp_path: Path) -> None:
    job = symbol_job(panel, "S000", REGRESSION_TARGET, ("Ridge",))
    labels = panel.labels.copy()
    labels[0, panel.holdout_start_code - 10] += 5.0
    train([job], panel, tmp_path / "clean")
    train([job], replace(panel, labels=labels), tmp_path / "other")
    assert model_bytes(tmp_path / "clean") != model_bytes(tmp_path / "other")


def test_out_of_sample_predictions_come_from_fits_that_end_before_them(panel: Panel, tmp_path: Path) -> None:
    """Garbage labels in the out-of-sample part change the final model but none of the predictions on that part."""
    job = symbol_job(panel, "S000", REGRESSION_TARGET, ("Ridge",))
    labels = panel.labels.copy()
    rows = panel.rows_of("S000")
    late = np.arange(rows.start + 270, rows.start + 330)
    labels[0, late] = np.where(np.isfinite(labels[0, late]), 50.0 * (-1.0) ** late, np.nan)
    train([job], panel, tmp_path / "clean")
    train([job], replace(panel, labels=labels), tmp_path / "garbage")
    name = Path("models") / REGRESSION_TARGET / "symbol=S000" / "Ridge" / "oos_predictions.parquet"
    clean, garbage = (pq.read_table(tmp_path / folder / name) for folder in ("clean", "garbage"))
    assert clean["prediction"].equals(garbage["prediction"])
    assert not clean["label"].equals(garbage["label"])


def test_a_second_run_trains_nothing_and_a_refresh_trains_again(panel: Panel, tmp_path: Path) -> None:
    jobs = [symbol_job(panel, symbol, BINARY_TARGET, ("Ridge", "LightGBM")) for symbol in panel.symbols]
    assert not any(outcome.cached for outcome in train(jobs, panel, tmp_path))
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*") if path.is_file()}
    assert all(outcome.cached for outcome in train(jobs, panel, tmp_path))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*") if path.is_file()} == times
    before = model_bytes(tmp_path)
    assert not any(outcome.cached for outcome in train(jobs, panel, tmp_path, resources={"force_refresh": True}))
    assert model_bytes(tmp_path) == before


@pytest.mark.parametrize(
    "settings",
    [{"seed": 1}, {"splits": {"inner_fraction": 0.3}}, {"training": {"oos_fraction": 0.3}}, {"training": {"hyperparameters": {"ridge": {"penalties": [0.5]}}}}],
)
def test_a_setting_that_can_change_a_model_trains_it_again(panel: Panel, tmp_path: Path, settings: dict[str, Any]) -> None:
    jobs = [symbol_job(panel, "S000", REGRESSION_TARGET, ("Ridge",))]
    train(jobs, panel, tmp_path)
    assert [outcome.cached for outcome in train(jobs, panel, tmp_path, **settings)] == [False]
    assert [outcome.cached for outcome in train(jobs, panel, tmp_path, **settings)] == [True]


def test_a_folder_that_was_tampered_with_is_trained_again(panel: Panel, tmp_path: Path) -> None:
    jobs = [symbol_job(panel, "S000", REGRESSION_TARGET, ("Ridge",))]
    train(jobs, panel, tmp_path)
    before = model_bytes(tmp_path)
    (tmp_path / "models" / REGRESSION_TARGET / "symbol=S000" / "Ridge" / "model.json").write_text("{}")
    assert [outcome.cached for outcome in train(jobs, panel, tmp_path)] == [False]
    assert model_bytes(tmp_path) == before


def test_one_and_two_workers_make_the_same_bytes_in_any_order(panel: Panel, tmp_path: Path) -> None:
    jobs = [pooled_job(panel, CLASS_TARGET, ("LightGBM", "Ridge"))]
    jobs += [symbol_job(panel, symbol, BINARY_TARGET, ("LightGBM", "Ridge")) for symbol in panel.symbols]
    alone = train(jobs, panel, tmp_path / "one")
    together = train(jobs[::-1], panel, tmp_path / "two", workers=2)
    assert {outcome.job_id for outcome in alone} == {outcome.job_id for outcome in together}
    assert model_bytes(tmp_path / "one") == model_bytes(tmp_path / "two")
    assert cards(tmp_path / "one") == cards(tmp_path / "two")


def test_every_cpu_family_makes_the_same_bytes_for_one_and_two_workers(tmp_path: Path) -> None:
    panel = make_panel(2, 620, planted=Planted(1.0, 0.3, 1.0))
    named = zip(panel.feature_infos, ("return_1", "volatility_5", "f2", "f3"), strict=True)
    panel = replace(panel, feature_infos=tuple(replace(info, name=name) for info, name in named))
    of_cpu = tuple(name for name, family in FAMILIES.items() if family.stage is Stage.CPU)
    jobs = [pooled_job(panel, REGRESSION_TARGET, of_cpu)]
    jobs += [symbol_job(panel, symbol, REGRESSION_TARGET, tuple(name for name in of_cpu if FAMILIES[name].single_symbol)) for symbol in panel.symbols]
    quick = {"LightGBM": {"max_rounds": 20}, "XGBoost": {"max_rounds": 20}, "QuantileLightGBM": {"max_rounds": 20}, "NGBoost": {"max_rounds": 20}}
    settings = {"training": {"hyperparameters": {**quick, "MetaLearning": {"meta_rounds": 10}}}}
    outcomes = train(jobs, panel, tmp_path / "one", **settings)
    assert not [failure for outcome in outcomes for failure in outcome.failures]
    train(jobs[::-1], panel, tmp_path / "two", workers=2, **settings)
    assert model_bytes(tmp_path / "one") == model_bytes(tmp_path / "two")
    assert cards(tmp_path / "one") == cards(tmp_path / "two")


def test_families_that_fail_are_recorded_and_stop_no_other(panel: Panel, tmp_path: Path) -> None:
    job = symbol_job(panel, "S000", REGRESSION_TARGET, ("Refusing", "OneWeight", "Bursting", "Nobody"))
    (outcome,) = train([job], panel, tmp_path, families=TINY_FAMILIES)
    assert [model.family for model in outcome.models] == ["OneWeight"]
    errors = {failure.family: failure.error for failure in outcome.failures}
    assert errors["Bursting"] == "ZeroDivisionError: burst in a library"
    assert errors["Refusing"].startswith("Refusing: ")
    assert "no family is called Nobody" in errors["Nobody"]
    assert not list((tmp_path / "models").rglob("Bursting"))


def test_a_family_that_kills_its_worker_is_recorded_and_the_rest_of_its_job_is_trained(panel: Panel, tmp_path: Path) -> None:
    jobs = [symbol_job(panel, "S000", REGRESSION_TARGET, ("Deadly", "OneWeight"))]
    jobs += [symbol_job(panel, symbol, REGRESSION_TARGET, ("OneWeight",)) for symbol in ("S001", "S002")]
    outcomes = {outcome.job_id: outcome for outcome in train(jobs, panel, tmp_path, workers=2, families=TINY_FAMILIES)}
    assert len(outcomes) == 3
    assert all([model.family for model in outcome.models] == ["OneWeight"] for outcome in outcomes.values())
    (failure,) = outcomes[jobs[0].job_id].failures
    assert (failure.family, failure.symbol) == ("Deadly", "S000")
    assert "exit code 9" in failure.error


@pytest.mark.parametrize(("kills", "n_models"), [(1, 3), (100, 2)])
def test_of_a_worker_that_dies_while_it_writes_a_model_nothing_half_written_stays(panel: Panel, tmp_path: Path, kills: int, n_models: int) -> None:
    (tmp_path / "mark").mkdir()
    families = {**TINY_FAMILIES, "Torn": tiny("Torn", partial(fit_torn, tmp_path / "mark", kills))}
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, names) for symbol, names in (("S000", ("Torn", "OneWeight")), ("S001", ("OneWeight",)))]
    outcomes = train(jobs, panel, tmp_path / "out", workers=2, families=families)
    assert len(list((tmp_path / "mark").iterdir())) == min(kills, 2)
    assert sum(len(outcome.models) for outcome in outcomes) == n_models
    assert [path.name for path in (tmp_path / "out").rglob(".*") if path.name != JOBS_FILE] == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fit_that_finds_no_memory_costs_only_itself_and_a_rerun_makes_up_for_it(panel: Panel, tmp_path: Path, workers: int) -> None:
    (tmp_path / "mark").mkdir()
    families = {**TINY_FAMILIES, "Starving": tiny("Starving", partial(starve_on_the_first_fit, tmp_path / "mark"))}
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("Starving", "OneWeight")) for symbol in panel.symbols]
    first = train(jobs, panel, tmp_path / "out", workers=workers, families=families)
    (failure,) = [failure for outcome in first for failure in outcome.failures]
    assert failure.error.startswith("MemoryError: ")
    assert sum(len(outcome.models) for outcome in first) == 5
    again = train(jobs, panel, tmp_path / "out", workers=workers, families=families)
    assert [failure for outcome in again for failure in outcome.failures] == []
    train(jobs, panel, tmp_path / "undisturbed", families=families)
    assert model_bytes(tmp_path / "out") == model_bytes(tmp_path / "undisturbed")


def test_a_family_that_would_end_the_process_is_recorded(panel: Panel, tmp_path: Path) -> None:
    (outcome,) = train([symbol_job(panel, "S000", REGRESSION_TARGET, ("Leaving", "OneWeight"))], panel, tmp_path, families=TINY_FAMILIES)
    assert [failure.error for failure in outcome.failures] == ["SystemExit: 7"]
    assert [model.family for model in outcome.models] == ["OneWeight"]


def test_a_fit_past_its_time_limit_is_recorded(panel: Panel, tmp_path: Path) -> None:
    job = symbol_job(panel, "S000", REGRESSION_TARGET, ("Sleeping", "OneWeight"))
    (outcome,) = train([job], panel, tmp_path, families=TINY_FAMILIES, training={"fit_timeout_seconds": 1})
    assert [failure.error for failure in outcome.failures] == ["stopped after 1 seconds"]
    assert [model.family for model in outcome.models] == ["OneWeight"]


IN_ONE_PROCESS = """
import sys
from pathlib import Path
from config.schema import Config
from tests.panels import REGRESSION_TARGET, symbol_job
from tests.tiny_families import TINY_FAMILIES
from training_assets.contracts import Stage
from training_assets.panel.panel import Panel
from training_assets.trainer import train_jobs

output, stage, hanging = Path(sys.argv[1]), Stage(sys.argv[2]), sys.argv[3]
panel = Panel.read(output / "panel")
config = Config.model_validate({"training": {"fit_timeout_seconds": 1}})
families = ("Stacked" if stage is Stage.GPU else "OneWeight", hanging)
jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, (family,), stage=stage) for symbol, family in zip(panel.symbols, families)]
print(len(list(train_jobs(jobs, output / "panel", config, output, stage, families=TINY_FAMILIES))))
"""


@pytest.mark.parametrize(("stage", "hanging"), [(Stage.CPU, "Hanging"), (Stage.GPU, "StuckStack")])
def test_a_run_in_one_process_that_a_library_never_comes_back_to_ends_with_the_reason(panel: Panel, tmp_path: Path, stage: Stage, hanging: str) -> None:
    written(panel, tmp_path / "panel")
    command = [sys.executable, "-c", IN_ONE_PROCESS, tmp_path, stage, hanging]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"switchyard: {hanging} did not come back after 3 seconds")
    assert len(list(tmp_path.rglob(CARD_FILE))) == 1


def test_a_worker_that_a_library_never_comes_back_to_costs_its_family_alone(panel: Panel, tmp_path: Path) -> None:
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("Hanging", "OneWeight")) for symbol in ("S000", "S001")]
    outcomes = train(jobs, panel, tmp_path, workers=2, families=TINY_FAMILIES, training={"fit_timeout_seconds": 1})
    assert [[model.family for model in outcome.models] for outcome in outcomes] == [["OneWeight"]] * 2
    assert [[failure.family for failure in outcome.failures] for outcome in outcomes] == [["Hanging"]] * 2


def test_a_worker_is_given_the_time_of_all_the_fits_of_its_task() -> None:
    """A blend's strength is chosen on five folds, for the score and for keeps, with one more fit each: twelve."""
    config = Config.model_validate({"training": {"fit_timeout_seconds": 10, "blend_folds": 3}})
    assert hard_limit_seconds(config, 2, blend=True) == 2 * 12 * 10 * HARD_LIMIT_SHARE
    assert hard_limit_seconds(config, 1, blend=False) == 5 * 10 * HARD_LIMIT_SHARE


def fit_telling_threads(request: FitRequest) -> OneWeight:
    return OneWeight(1.0, {"threads": max(library["num_threads"] for library in threadpool_info())})


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_computes_on_one_thread_whatever_the_process_has(panel: Panel, tmp_path: Path, stage: Stage) -> None:
    telling = {"Telling": tiny("Telling", fit_telling_threads, stage=stage)}
    with threadpool_limits(limits=2):
        (outcome,) = train([symbol_job(panel, "S000", REGRESSION_TARGET, ("Telling",), stage=stage)], panel, tmp_path, stage=stage, families=telling)
    assert read_card(Path(outcome.models[0].path)).details["fit"] == {"threads": 1}


@pytest.mark.parametrize(("first_bar", "said"), [(360, "0 labelled rows < 1 before the holdout"), (290, "training rows < 50")])
def test_a_symbol_that_starts_too_late_fails_with_numbers(first_bar: int, said: str, tmp_path: Path) -> None:
    panel = make_panel(2, 400, late_starts={1: first_bar})
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("Ridge",)) for symbol in panel.symbols]
    early, late = sorted(train(jobs, panel, tmp_path), key=lambda outcome: outcome.job_id)
    assert len(early.models) == 1
    assert not late.models
    assert said in late.failures[0].error
    assert f"{REGRESSION_TARGET}/S001" in late.failures[0].error


def test_a_job_made_for_other_data_fails_by_name(panel: Panel, tmp_path: Path) -> None:
    job = symbol_job(panel, "S000", REGRESSION_TARGET, ("Ridge",))
    strange = [replace(job, job_id="a", features=("f0", "g9")), replace(job, job_id="b", symbol="NOPE"), replace(job, job_id="c", target="none_1b")]
    errors = {outcome.job_id: outcome.failures[0].error for outcome in train(strange, panel, tmp_path)}
    assert "g9" in errors["a"]
    assert "NOPE" in errors["b"]
    assert "none_1b" in errors["c"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_panel_that_is_not_the_one_of_the_plan_is_refused_by_this_process_and_by_a_worker(panel: Panel, tmp_path: Path, workers: int) -> None:
    folder = written(panel, tmp_path / "panel")
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("Ridge",)) for symbol in panel.symbols[:2]]
    said = f"holds data {panel.data_hash}, and these jobs are planned on data 0123456789abcdef"
    with pytest.raises(PanelReplacedError if workers == 1 else WorkerError, match=said):
        list(train_jobs(jobs, folder, Config(), tmp_path, Stage.CPU, workers=workers, data_hash="0123456789abcdef"))
    both = [replace(job, route=Route.BOTH) for job in jobs]
    with pytest.raises(PanelReplacedError if workers == 1 else WorkerError, match=said):
        list(train_blends(both, folder, Config(), tmp_path, workers=workers, data_hash="0123456789abcdef"))
    assert not list(tmp_path.rglob(CARD_FILE))
    outcomes = list(train_jobs(jobs, folder, Config(), tmp_path, Stage.CPU, workers=workers, data_hash=panel.data_hash))
    assert all(outcome.models for outcome in outcomes)


def test_the_experimental_lane_trains_cheap_families_and_marks_them(panel: Panel, tmp_path: Path) -> None:
    job = symbol_job(panel, "S000", REGRESSION_TARGET, ("Expensive", "OneWeight"), route=Route.EXPERIMENTAL_ONLY)
    (outcome,) = train([job], panel, tmp_path, families=TINY_FAMILIES)
    assert ([model.family for model in outcome.models], outcome.failures) == (["OneWeight"], ())
    card = read_card(Path(outcome.models[0].path))
    assert card.experimental
    assert card.model_id.startswith("experimental:")
    assert card.route is Route.EXPERIMENTAL_ONLY


def test_a_task_a_family_does_not_declare_is_refused_by_name(panel: Panel, tmp_path: Path) -> None:
    (outcome,) = train([symbol_job(panel, "S000", BINARY_TARGET, ("OneWeight",))], panel, tmp_path, families=TINY_FAMILIES)
    assert outcome.failures[0].error == "OneWeight cannot take BINARY_CLASSIFICATION; it declares REGRESSION"


@pytest.mark.parametrize(("family", "details"), [("Stacked", {"stacked": 3}), ("StackBurst", {})])
def test_symbol_jobs_of_the_gpu_stage_are_stacked_and_fall_back_to_single_fits(panel: Panel, tmp_path: Path, family: str, details: dict[str, int]) -> None:
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, (family,), stage=Stage.GPU) for symbol in panel.symbols]
    outcomes = train(jobs, panel, tmp_path, stage=Stage.GPU, families=TINY_FAMILIES)
    assert [read_card(Path(outcome.models[0].path)).details["fit"] for outcome in outcomes] == [details] * 3
    assert train(jobs, panel, tmp_path, stage=Stage.CPU, families=TINY_FAMILIES) == []


def test_the_card_of_a_model_names_the_device_and_the_most_memory_that_its_fits_took(panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch as it is with a CUDA device, to which these families send nothing: each fit takes another peak."""
    peaks = iter([3 << 20, 2 << 20])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda name: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda name: next(peaks))
    job = symbol_job(panel, "S000", REGRESSION_TARGET, ("Stacked",), stage=Stage.GPU)
    folder = written(panel, tmp_path / "panel")
    (outcome,) = train_jobs([job], folder, Config(), tmp_path, Stage.GPU, device="cuda:0", families=TINY_FAMILIES)
    card = read_card(Path(outcome.models[0].path))
    assert (card.device, card.details["device_peak_bytes"]) == ("cuda:0", 3 << 20)


def test_stacked_nets_are_the_same_bytes_for_a_run_a_backfill_in_parts_and_a_resumed_run(tmp_path: Path) -> None:
    panel = make_panel(4, 400, late_starts={2: 120})
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("MLP",), stage=Stage.GPU) for symbol in panel.symbols]
    quick = {"training": {"hyperparameters": {"MLP": {"epochs": 4, "hidden": 8}}}}
    train(jobs, panel, tmp_path / "run", stage=Stage.GPU, **quick)
    whole = model_bytes(tmp_path / "run")
    assert len({name.split("/")[1] for name in whole}) == 4
    for part in ([jobs[3]], [jobs[1], jobs[0]], [jobs[2]]):
        train(part, panel, tmp_path / "backfill", stage=Stage.GPU, **quick)
    assert model_bytes(tmp_path / "backfill") == whole
    train(jobs[1:3], panel, tmp_path / "resumed", stage=Stage.GPU, **quick)
    assert [outcome.cached for outcome in train(jobs, panel, tmp_path / "resumed", stage=Stage.GPU, **quick)] == [False, True, True, False]
    assert model_bytes(tmp_path / "resumed") == whole


def test_a_net_that_cannot_be_fitted_fails_alone_and_leaves_the_rest_of_its_stack(tmp_path: Path) -> None:
    panel = make_panel(3, 400)
    labels = panel.labels.copy()
    labels[0, panel.rows_of("S001")] = np.where(np.isfinite(labels[0, panel.rows_of("S001")]), 1.0, np.nan)
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("MLP",), stage=Stage.GPU) for symbol in panel.symbols]
    quick = {"training": {"hyperparameters": {"MLP": {"epochs": 2, "hidden": 8}}}}
    outcomes = train(jobs, replace(panel, labels=labels), tmp_path, stage=Stage.GPU, **quick)
    assert [len(outcome.models) for outcome in outcomes] == [1, 0, 1]
    assert "1 distinct value" in outcomes[1].failures[0].error


def test_no_model_folder_holds_a_format_that_runs_code(panel: Panel, tmp_path: Path) -> None:
    train([pooled_job(panel, REGRESSION_TARGET, ("Ridge", "LightGBM", "XGBoost"))], panel, tmp_path)
    paths = [path for path in (tmp_path / "models").glob("*/**/*") if path.is_file()]
    assert len(paths) >= 9
    assert {path.suffix for path in paths} <= {".json", ".txt", ".ubj", ".safetensors", ".skops", ".parquet", ".npy"}
    # A pickle of protocol 2 or later begins with 0x80 and its protocol number.
    assert not [path for path in paths if path.read_bytes()[:1] == b"\x80"]


_KILLED_RUN = """
import sys
from pathlib import Path
from config.schema import Config
from resources.worker_pool import WorkerError
from tests.panels import REGRESSION_TARGET, pooled_job, symbol_job
from training_assets.contracts import Stage
from training_assets.panel.panel import Panel
from training_assets.trainer import train_jobs

output = Path(sys.argv[1])
panel = Panel.read(output / "panel")
jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("LightGBM", "Ridge")) for symbol in panel.symbols]
for outcome in train_jobs(jobs, output / "panel", Config(), output, Stage.CPU, "plan"):
    print(outcome.job_id, flush=True)
"""


def test_a_run_killed_half_way_leaves_whole_folders_and_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    panel = make_panel(12, 600)
    killed = tmp_path / "killed"
    written(panel, killed / "panel")
    process = subprocess.Popen([sys.executable, "-c", _KILLED_RUN, str(killed)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    announced = [process.stdout.readline().strip() for _ in range(3)]
    time.sleep(0.03)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    complete = [folder for folder in (killed / "models").rglob("*") if folder.is_dir() and not folder.name.startswith(".") and not any(folder.glob("*/"))]
    assert complete
    assert all((folder / CARD_FILE).is_file() for folder in complete if ".writing-" not in str(folder))
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("LightGBM", "Ridge")) for symbol in panel.symbols]
    resumed = train(jobs, panel, killed)
    assert {outcome.job_id for outcome in resumed if outcome.cached} >= set(announced)
    assert not all(outcome.cached for outcome in resumed)
    train(jobs, panel, tmp_path / "whole")
    finished = {name: content for name, content in model_bytes(killed).items() if ".writing-" not in name}
    assert finished == model_bytes(tmp_path / "whole")


TWO_PROCESSES = """
import sys
from pathlib import Path
from config.schema import Config
from resources.worker_pool import WorkerError
from tests.panels import REGRESSION_TARGET, symbol_job
from tests.tiny_families import TINY_FAMILIES
from training_assets.contracts import Stage
from training_assets.panel.panel import Panel
from training_assets.trainer import train_jobs

output, stage = Path(sys.argv[1]), Stage(sys.argv[2])
panel = Panel.read(output / "panel")
family = "Slow" if stage is Stage.CPU else "SlowStacked"
jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, (family,), stage=stage) for symbol in panel.symbols]
sys.stdin.readline()
for outcome in train_jobs(jobs, output / "panel", Config(), output, stage, "plan", families=TINY_FAMILIES):
    assert not outcome.failures, outcome.failures
    print(outcome.job_id, "cached" if outcome.cached else "trained", flush=True)
"""


@pytest.mark.parametrize("stage", list(Stage))
def test_two_processes_with_the_same_jobs_train_each_job_once(tmp_path: Path, stage: Stage) -> None:
    panel = make_panel(n_symbols=3, n_bars=300)
    written(panel, tmp_path / "panel")
    script = tmp_path / "train.py"
    script.write_text(TWO_PROCESSES, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(tmp_path), str(stage)]
    both = [subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:  # set going together, once both have loaded what they need
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120)[0].split("\n") for process in both]
    assert [process.returncode for process in both] == [0, 0]
    told = [line.split() for answer in answers for line in answer if line]
    assert len(told) == 6
    for symbol_job_id in {job_id for job_id, _ in told}:
        assert sorted(state for job_id, state in told if job_id == symbol_job_id) == ["cached", "trained"]
