"""What a job gives some of its families beyond its features: related labels, state features, the names of symbols."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from config.schema import Config
from tests.panels import BINARY_TARGET, REGRESSION_TARGET, Planted, make_panel, pooled_job, symbol_job
from training_assets.contracts import RELATED_TARGETS, STATE_FEATURES, Route, Stage, TrainingJob
from training_assets.families.registry import FAMILIES
from training_assets.fitting import TrainingContext, fit_request, inputs_of, job_key, prepare_job
from training_assets.model_store import OOS_FILE, load_model, read_card
from training_assets.outcomes import JobOutcome
from training_assets.panel.panel import Panel, TargetInfo
from training_assets.prediction import missing_models, predict_plan
from training_assets.related_labels import gather_related
from training_assets.samples import gather_rows
from training_assets.trainer import train_blends, train_jobs
from training_assets.windows import FitWindow, cross_fit_folds, fit_window, job_cuts, oos_fold, scored_part

LONG_TARGET = "value_20b"
QUICK_NETS = {"hyperparameters": {"MultiTask": {"epochs": 3, "hidden": 8}}}


def with_long_target(panel: Panel) -> Panel:
    """The panel with one more target, that reaches 20 bars ahead and is the time code of its own end: who knows it knows how far he sees."""
    n_bars = panel.times_ns.size
    ends = np.where(panel.time_codes + 20 < n_bars, panel.time_codes + 20, -1).astype(np.int32)
    info = TargetInfo(LONG_TARGET, panel.target_infos[0].task_type, 20, 20 * 1440, "supplied", "none")
    values = np.where(ends >= 0, ends, np.nan).astype(np.float32)
    return replace(
        panel,
        target_infos=(*panel.target_infos, info),
        labels=np.vstack([panel.labels, values[None]]),
        label_end_codes=np.vstack([panel.label_end_codes, ends[None]]),
    )


@pytest.fixture(scope="module")
def panel() -> Panel:
    return with_long_target(make_panel(2, 500))


def context_of(panel: Panel, folder: Path) -> TrainingContext:
    return TrainingContext(panel, Config(), folder, "plan", "cpu", FAMILIES)


def related_to(job: TrainingJob, *targets: str) -> TrainingJob:
    return replace(job, metadata={**job.metadata, RELATED_TARGETS: list(targets)})


def train(panel: Panel, jobs: list[TrainingJob], output: Path, stage: Stage = Stage.CPU, **training: object) -> list[JobOutcome]:
    folder = output / "panel"
    if not folder.exists():
        folder.mkdir(parents=True)
        panel.write(folder)
    return list(train_jobs(jobs, folder, Config.model_validate({"training": training}), output, stage, "plan"))


def auxiliary_of(panel: Panel, window: FitWindow, job: TrainingJob, folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    context, family = context_of(panel, folder), FAMILIES["MultiTask"]
    request = fit_request(context, inputs_of(context, prepare_job(context, job), family), family, window)
    assert request.train.auxiliary is not None
    assert request.inner.auxiliary is not None
    return request.train.auxiliary[:, 0], request.inner.auxiliary[:, 0]


def test_a_related_label_is_known_to_no_fit_before_its_own_end(panel: Panel, tmp_path: Path) -> None:
    """The long target's value is the time code at which it is known."""
    job = related_to(symbol_job(panel, "S000", REGRESSION_TARGET, ("MultiTask",)), LONG_TARGET)
    rows, splits = gather_rows(panel, ("S000",), job.features, job.target, panel.holdout_start_code), Config().splits
    fold = oos_fold(rows, panel.holdout_start_code, 0.25, 3, splits, "test")
    window, _ = scored_part(rows, fold, splits, "test")
    final = fit_window(rows, rows.usable, 3, splits, "test")
    for cut, stop in ((window, fold.test_start), (final, panel.holdout_start_code - 1)):
        train, inner = auxiliary_of(panel, cut, job, tmp_path)
        first_inner = int(rows.time_codes[cut.inner].min())
        assert np.nanmax(train) <= first_inner
        assert np.nanmax(inner) <= stop
        assert np.isfinite(train).mean() > 0.8
        assert np.isfinite(inner).any()
        # The rows just before either end have a label of their own and no long one yet.
        assert np.isnan(train[-5:]).all()
        assert np.isnan(inner[-5:]).all()


def test_a_related_label_does_not_reach_into_a_block_that_is_trained_around(panel: Panel) -> None:
    rows, splits = gather_rows(panel, ("S000",), panel.feature_names, REGRESSION_TARGET, panel.holdout_start_code), Config().splits
    scored = oos_fold(rows, panel.holdout_start_code, 0.25, 3, splits, "test")
    first = cross_fit_folds(scored, 3, 5, splits)[0]
    around = replace(first, test_start=100, test_stop=150, train_after_from=170)
    window, tested = scored_part(rows, around, splits, "test")
    train, inner = gather_related(panel, rows, (LONG_TARGET,), panel.holdout_start_code).known_in(rows, window)
    block_end = int(rows.label_end_codes[tested].max())
    for values, mask in ((train, window.train), (inner, window.inner)):
        intervals = [(int(rows.time_codes[row]), int(values[row, 0])) for row in np.flatnonzero(mask) if np.isfinite(values[row, 0])]
        assert intervals
        assert all(end <= 100 or start >= block_end for start, end in intervals)


def test_related_labels_change_the_key_of_the_family_that_reads_them_and_of_no_other(panel: Panel, tmp_path: Path) -> None:
    context = context_of(panel, tmp_path)
    plain = symbol_job(panel, "S000", REGRESSION_TARGET, ("MultiTask", "MLP"))
    other = related_to(plain, LONG_TARGET)
    labels = panel.labels.copy()
    labels[3, :50] += 1.0
    changed = context_of(replace(panel, labels=labels), tmp_path)

    def key(of: TrainingContext, job: TrainingJob, name: str) -> str:
        return job_key(of, inputs_of(of, prepare_job(of, job), FAMILIES[name]), FAMILIES[name])

    assert key(context, plain, "MLP") == key(context, other, "MLP") == key(changed, other, "MLP")
    assert len({key(context, plain, "MultiTask"), key(context, other, "MultiTask"), key(changed, other, "MultiTask")}) == 3


def test_every_fit_keeps_the_purge_setting_before_its_inner_rows(panel: Panel, tmp_path: Path) -> None:
    rows = gather_rows(panel, ("S000",), panel.feature_names, REGRESSION_TARGET, panel.holdout_start_code)
    splits = Config.model_validate({"splits": {"purge_bars": 20}}).splits
    cuts = job_cuts(rows, panel.holdout_start_code, 0.25, 3, splits, "test")
    for window in (cuts.scored[0], cuts.final):
        assert rows.time_codes[window.train].max() + 20 == rows.time_codes[window.inner].min()


def test_the_look_back_of_a_feature_counts_for_the_jobs_that_read_it_and_for_no_other(tmp_path: Path) -> None:
    """What is trained on from after a cross-fitted block stays clear of the block by the look-back of the job's own features."""
    panel = make_panel(3, 500, n_features=4, planted=Planted(1.0, 1.0, 1.0))
    jobs = [pooled_job(panel, REGRESSION_TARGET, ("Ridge",), for_blends=True), symbol_job(panel, "S000", REGRESSION_TARGET, ("Ridge",), Route.BOTH)]
    jobs = [replace(job, features=("f0", "f1")) for job in jobs]

    def trained(name: str, feature: str | None) -> list[tuple[str, bytes]]:
        infos = tuple(replace(info, lookback_bars=60) if info.name == feature else info for info in panel.feature_infos)
        folder = tmp_path / name
        outcomes = train(replace(panel, feature_infos=infos), jobs, folder)
        outcomes += train_blends(jobs, folder / "panel", Config(), folder)
        assert not [failure for outcome in outcomes for failure in outcome.failures]
        models = [model for outcome in outcomes for model in outcome.models if model.path.endswith(("cross_sectional/Ridge", "Blend-Ridge"))]
        return [(model.content_key, (Path(model.path) / OOS_FILE).read_bytes()) for model in models]

    plain, unread, read = trained("plain", None), trained("unread", "f3"), trained("read", "f1")
    assert len(plain) == 2
    assert unread == plain
    for (key, oos), (other_key, other_oos) in zip(read, plain, strict=True):
        assert key != other_key
        assert oos != other_oos


def test_multi_task_learns_the_related_targets_and_its_card_names_them(panel: Panel, tmp_path: Path) -> None:
    job = related_to(symbol_job(panel, "S000", REGRESSION_TARGET, ("MultiTask",), stage=Stage.GPU), BINARY_TARGET, LONG_TARGET)
    (outcome,) = train(panel, [job], tmp_path, Stage.GPU, **QUICK_NETS)
    assert outcome.failures == ()
    assert read_card(Path(outcome.models[0].path)).details[RELATED_TARGETS] == [BINARY_TARGET, LONG_TARGET]
    assert load_model(outcome.models[0].path).predict(panel)["prediction"].notna().all()


def test_a_related_target_that_the_panel_lacks_fails_the_family_that_reads_it_alone(panel: Panel, tmp_path: Path) -> None:
    job = related_to(symbol_job(panel, "S000", REGRESSION_TARGET, ("MLP", "MultiTask"), stage=Stage.GPU), "none_1b")
    (outcome,) = train(panel, [job], tmp_path, Stage.GPU, hyperparameters={"MLP": {"epochs": 1}})
    assert [model.family for model in outcome.models] == ["MLP"]
    assert [failure.family for failure in outcome.failures] == ["MultiTask"]
    assert "none_1b" in outcome.failures[0].error


def with_state_feature(panel: Panel) -> Panel:
    infos = (*panel.feature_infos[:-1], replace(panel.feature_infos[-1], name="volatility_21"))
    return replace(panel, feature_infos=infos)


@pytest.mark.parametrize("name", ["GMMRegime", "ChangePoint"])
def test_a_family_that_reads_the_market_state_is_given_the_plans_state_features(name: str, tmp_path: Path) -> None:
    panel = with_state_feature(make_panel(1, 700, planted=Planted(1.0, 0.0, 1.0)))
    blind = replace(symbol_job(panel, "S000", REGRESSION_TARGET, (name, "Ridge")), features=("f0", "f1", "f2"))
    (outcome,) = train(panel, [blind], tmp_path / "blind")
    assert [failure.family for failure in outcome.failures] == [name]
    job = replace(blind, metadata={**blind.metadata, STATE_FEATURES: ["volatility_21"]})
    (outcome,) = train(panel, [job], tmp_path / "seeing")
    assert outcome.failures == ()
    features = {model.family: read_card(Path(model.path)).features for model in outcome.models}
    assert features == {name: ("f0", "f1", "f2", "volatility_21"), "Ridge": ("f0", "f1", "f2")}
    assert missing_models([job], tmp_path / "seeing" / "models") == []
    assert len(predict_plan(panel, tmp_path / "seeing" / "models", [job])[0]) == 2


def test_a_pooled_model_that_knows_symbols_knows_them_by_name_on_another_panel(tmp_path: Path) -> None:
    """On a panel without the first symbol the codes of the others are one lower."""
    panel = make_panel(3, 400, planted=Planted(0.5, 1.5, 0.5), seed=4)
    (outcome,) = train(panel, [pooled_job(panel, REGRESSION_TARGET, ("MetaLearning",))], tmp_path)
    assert outcome.failures == ()
    model = load_model(outcome.models[0].path)
    start = int(panel.symbol_offsets[1])
    fewer = replace(
        panel,
        symbols=panel.symbols[1:],
        symbol_offsets=panel.symbol_offsets[1:] - start,
        time_codes=panel.time_codes[start:],
        features=panel.features[:, start:],
        labels=panel.labels[:, start:],
        label_end_codes=panel.label_end_codes[:, start:],
        bar_values=panel.bar_values[:, start:],
    )
    whole = model.predict(panel).query("symbol != 'S000'")["prediction"].to_numpy()
    np.testing.assert_array_equal(model.predict(fewer)["prediction"].to_numpy(), whole)
