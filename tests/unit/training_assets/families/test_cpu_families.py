"""What every CPU family promises, over each task type that it declares; the families come from the registry."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families.base import Family, FitError, FitRequest, FittedModel, Sample, sample_from_arrays
from training_assets.families.preprocessing import CLIP_DEVIATIONS, Standardiser, part_of
from training_assets.families.registry import FAMILIES, find_family

CPU_FAMILIES = {name: family for name, family in FAMILIES.items() if family.stage is Stage.CPU}
NAMED_IN_THE_CONTRACT = (
    "LightGBM XGBoost QuantileLightGBM RewardBased NGBoost GMMRegime ChangePoint FTRLProximal Ensemble MetaLearning Ridge".split()  # noqa: SIM905
)
CASES = [pytest.param(family, task, id=f"{name}-{task}") for name, family in CPU_FAMILIES.items() for task in sorted(family.task_types)]
OPEN_SUFFIXES = {".json", ".txt", ".ubj", ".safetensors"}
FEATURE_NAMES = ("ret_1", "volatility_20", "mom_10", "rsi_14", "f4", "f5")
BINARY = TaskType.BINARY_CLASSIFICATION
FAST: dict[str, dict[str, Any]] = {
    "NGBoost": {"max_rounds": 8},
    "MetaLearning": {"meta_rounds": 5},
    "LightGBM": {"max_rounds": 30},
    "XGBoost": {"max_rounds": 30},
    "QuantileLightGBM": {"max_rounds": 15},
}


def labelled(task: TaskType, n_times: int = 560, seed: int = 1) -> Sample:
    """Two symbols, a linear signal, one value in twenty unknown and some rows wholly so."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(2 * n_times, len(FEATURE_NAMES))).astype(np.float32)
    raw = x @ np.array([0.5, -0.3, 0.4, 0.2, 0.0, 0.0]) + generator.normal(size=2 * n_times)
    x[generator.random(x.shape) < 0.05] = np.nan
    x[::50] = np.nan
    y = {TaskType.REGRESSION: raw, BINARY: raw > 0.0, TaskType.MULTICLASS_CLASSIFICATION: np.digitize(raw, [-0.5, 0.5])}[task]
    symbols = np.repeat(np.arange(2, dtype=np.int32), n_times)
    sample = sample_from_arrays(x, y.astype(np.float32), symbol_codes=symbols, feature_names=FEATURE_NAMES)
    return replace(sample, weight=generator.uniform(0.2, 1.0, sample.n_rows).astype(np.float32))


def request_for(family: Family, task: TaskType) -> tuple[FitRequest, Sample]:
    """A request over the first times, purged by ten, and the rows after it."""
    whole = labelled(task)
    train, inner = part_of(whole, whole.time_codes < 320), part_of(whole, (whole.time_codes >= 330) & (whole.time_codes < 430))
    request = FitRequest(train, inner, task, 3 if task is TaskType.MULTICLASS_CLASSIFICATION else 2, FAST.get(family.name, {}), seed=7)
    return request, part_of(whole, whole.time_codes >= 440)


def saved(model: FittedModel, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    model.save(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def fitted() -> dict[tuple[str, TaskType], tuple[FittedModel, Sample]]:
    """Every family on every task it declares, fitted once for the tests that only look at the result."""
    models = {}
    for family in CPU_FAMILIES.values():
        for task in family.task_types:
            request, later = request_for(family, task)
            models[family.name, task] = (family.fit(request), later)
    return models


def test_every_cpu_family_of_the_contract_is_registered_under_its_own_name() -> None:
    assert set(CPU_FAMILIES) == set(NAMED_IN_THE_CONTRACT)
    assert all(family.name == name for name, family in FAMILIES.items())


@pytest.mark.parametrize(("family", "task"), CASES)
def test_a_repeated_fit_gives_the_same_bytes_and_predictions(family: Family, task: TaskType, fitted: Any, tmp_path: Path) -> None:
    model, later = fitted[family.name, task]
    again = family.fit(request_for(family, task)[0])
    np.testing.assert_array_equal(again.predict(later), model.predict(later))
    assert saved(again, tmp_path / "again") == saved(model, tmp_path / "first")


@pytest.mark.parametrize(("family", "task"), CASES)
def test_a_loaded_model_predicts_the_same_numbers_and_tells_the_same_of_its_fit(family: Family, task: TaskType, fitted: Any, tmp_path: Path) -> None:
    model, later = fitted[family.name, task]
    files = saved(model, tmp_path / "model")
    loaded = family.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(later), model.predict(later))
    assert saved(loaded, tmp_path / "copy") == files
    assert loaded.fit_details


@pytest.mark.parametrize(("family", "task"), CASES)
def test_no_file_of_a_model_needs_unpickling(family: Family, task: TaskType, fitted: Any, tmp_path: Path) -> None:
    for name, content in saved(fitted[family.name, task][0], tmp_path / "model").items():
        assert Path(name).suffix in OPEN_SUFFIXES, name
        assert not content.startswith((b"\x80", b"PK", b"\x1f\x8b")), name


@pytest.mark.parametrize(("family", "task"), CASES)
def test_predictions_have_the_promised_shape_and_range_where_features_are_unknown_too(family: Family, task: TaskType, fitted: Any) -> None:
    model, later = fitted[family.name, task]
    broken = later.x.copy()
    broken[0], broken[1, 0], broken[2, 1] = np.nan, np.inf, -np.inf
    predictions = model.predict(replace(later, x=broken))
    assert predictions.dtype == np.float32
    assert np.isfinite(predictions).all()
    if task is TaskType.MULTICLASS_CLASSIFICATION:
        assert predictions.shape == (later.n_rows, 3)
        np.testing.assert_allclose(predictions.sum(axis=1), 1.0, atol=1e-5)
    else:
        assert predictions.shape == (later.n_rows,)
    if task is not TaskType.REGRESSION:
        assert ((predictions >= 0.0) & (predictions <= 1.0)).all()


@pytest.mark.parametrize(("family", "task"), CASES)
def test_a_row_is_predicted_alike_alone_and_among_others(family: Family, task: TaskType, fitted: Any) -> None:
    model, later = fitted[family.name, task]
    newest = later.time_codes == later.time_codes.max()
    np.testing.assert_array_equal(model.predict(part_of(later, newest)), model.predict(later)[newest])


@pytest.mark.parametrize(("family", "task"), CASES)
def test_a_planted_linear_signal_is_found_out_of_sample(family: Family, task: TaskType, fitted: Any) -> None:
    model, later = fitted[family.name, task]
    predictions = model.predict(later)
    value = predictions if predictions.ndim == 1 else predictions @ np.arange(3)
    assert np.corrcoef(value, later.y)[0, 1] > 0.2


@pytest.mark.parametrize("family", CPU_FAMILIES.values(), ids=CPU_FAMILIES)
def test_sample_weights_count(family: Family) -> None:
    task = TaskType.REGRESSION
    request, later = request_for(family, task)
    flipped = np.arange(request.train.n_rows) % 2 == 0
    y = np.where(flipped, -request.train.y, request.train.y)
    train = replace(request.train, y=y, weight=np.where(flipped, 0.001, 1.0).astype(np.float32))
    model = family.fit(replace(request, train=train))
    assert np.corrcoef(model.predict(later), later.y)[0, 1] > 0.1, "rows of almost no weight must not undo the signal of the others"


def spoiled(request: FitRequest, how: str) -> FitRequest:
    train = request.train
    if how == "too few rows":
        return replace(request, train=part_of(train, np.arange(train.n_rows) < 20))
    if how == "one value":
        return replace(request, train=replace(train, y=np.ones_like(train.y)))
    if how == "unknown label":
        return replace(request, train=replace(train, y=np.where(np.arange(train.n_rows) == 5, np.nan, train.y).astype(np.float32)))
    if how == "empty inner fold":
        return replace(request, inner=part_of(request.inner, np.zeros(request.inner.n_rows, bool)))
    if how == "unknown hyperparameter":
        return replace(request, hyperparameters={"learning_rte": 0.1})
    assert how == "negative weight"
    return replace(request, train=replace(train, weight=-train.weight))


@pytest.mark.parametrize("how", ["too few rows", "one value", "unknown label", "empty inner fold", "unknown hyperparameter", "negative weight"])
@pytest.mark.parametrize("family", CPU_FAMILIES.values(), ids=CPU_FAMILIES)
def test_a_request_that_cannot_be_fitted_is_refused_by_name(family: Family, how: str) -> None:
    task = BINARY if BINARY in family.task_types else TaskType.REGRESSION
    with pytest.raises(FitError, match=f"^{family.name}: "):
        family.fit(spoiled(request_for(family, task)[0], how))


@pytest.mark.parametrize("family", CPU_FAMILIES.values(), ids=CPU_FAMILIES)
def test_an_undeclared_task_type_is_refused(family: Family) -> None:
    for task in set(TaskType) - family.task_types:
        with pytest.raises(FitError, match="not among those it declares"):
            family.fit(request_for(family, task)[0])


@pytest.mark.parametrize("value", ["fast", True, float("nan"), -0.5, 7.0])
def test_a_hyperparameter_of_the_wrong_kind_or_out_of_bounds_is_refused_with_its_name(value: object) -> None:
    request = replace(request_for(FAMILIES["LightGBM"], BINARY)[0], hyperparameters={"learning_rate": value})
    with pytest.raises(FitError, match="'learning_rate'"):
        FAMILIES["LightGBM"].fit(request)


def test_an_unknown_hyperparameter_is_answered_with_the_nearest_known_one() -> None:
    request = replace(request_for(FAMILIES["XGBoost"], BINARY)[0], hyperparameters={"max_dept": 3})
    with pytest.raises(FitError, match="did you mean 'max_depth'"):
        FAMILIES["XGBoost"].fit(request)


def with_offset(sample: Sample, offset: NDArray[np.floating[Any]]) -> Sample:
    return replace(sample, offset=offset.astype(np.float32))


@pytest.mark.parametrize("task", [TaskType.REGRESSION, BINARY])
@pytest.mark.parametrize("name", [name for name, family in CPU_FAMILIES.items() if family.takes_offset])
def test_a_model_learns_what_its_offset_leaves(name: str, task: TaskType) -> None:
    """With the whole signal in the offset there is little left: what the model adds is small against what it learns without."""
    family = CPU_FAMILIES[name]
    request, later = request_for(family, task)
    plain = family.fit(request)

    def signal(sample: Sample) -> NDArray[Any]:
        return np.nan_to_num(sample.x) @ np.array([0.5, -0.3, 0.4, 0.2, 0.0, 0.0]) * (1.0 if task is TaskType.REGRESSION else 1.7)

    offset_fit = replace(request, train=with_offset(request.train, signal(request.train)), inner=with_offset(request.inner, signal(request.inner)))
    model = family.fit(offset_fit)
    nothing = np.zeros(later.n_rows)
    added = model.predict(with_offset(later, nothing))
    assert added.std() < 0.5 * plain.predict(later).std()
    told = model.predict(with_offset(later, signal(later)))
    assert np.corrcoef(told, later.y)[0, 1] >= np.corrcoef(plain.predict(later), later.y)[0, 1] - 0.02
    with pytest.raises(ValueError, match="offset"):
        model.predict(later)
    with pytest.raises(ValueError, match="offset"):
        plain.predict(with_offset(later, nothing))


@pytest.mark.parametrize("name", [name for name, family in CPU_FAMILIES.items() if not family.takes_offset])
def test_a_family_that_cannot_add_to_an_offset_says_so(name: str) -> None:
    family = CPU_FAMILIES[name]
    request, _ = request_for(family, TaskType.REGRESSION)
    train, inner = (with_offset(part, np.zeros(part.n_rows)) for part in (request.train, request.inner))
    with pytest.raises(FitError, match="offset"):
        family.fit(replace(request, train=train, inner=inner))


def test_another_number_of_features_is_refused_at_prediction(fitted: Any) -> None:
    model, later = fitted["Ridge", TaskType.REGRESSION]
    with pytest.raises(ValueError, match="5 features, the model was fitted on 6"):
        model.predict(replace(later, x=later.x[:, :5]))


def test_the_standardiser_cuts_off_wild_values_and_zeroes_what_its_window_never_knew_or_saw_move() -> None:
    x = np.array([[1.0, np.nan, 5.0], [3.0, np.nan, 5.0], [np.nan, np.inf, 5.0], [2.0, np.nan, 5.0]], np.float32)
    standardiser = Standardiser.fit(sample_from_arrays(x, np.zeros(4, np.float32)))
    assert standardiser.fit_window == (0, 3)
    z = standardiser.apply(np.array([[np.nan, 7.0, 9.0], [1e9, np.nan, 5.0]], np.float32))
    np.testing.assert_array_equal(z, [[0.0, 0.0, 0.0], [CLIP_DEVIATIONS, 0.0, 0.0]])


def test_families_are_found_without_regard_to_case_and_a_typo_is_answered() -> None:
    assert find_family("lightgbm") is FAMILIES["LightGBM"]
    with pytest.raises(KeyError, match="did you mean 'Ridge'"):
        find_family("Rigde")
    with pytest.raises(KeyError, match="known: Ridge"):
        find_family("???")


def test_reading_the_registry_loads_no_modelling_library() -> None:
    heavy = ["torch", "lightgbm", "xgboost", "sklearn", "scipy", "ngboost", "ruptures", "dagster"]
    script = f"import sys, training_assets.families.registry; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"


FIT_EVERYTHING = """
import tempfile
from pathlib import Path
from tests.unit.training_assets.families.test_cpu_families import CPU_FAMILIES, digest, request_for
for name, family in CPU_FAMILIES.items():
    for task in sorted(family.task_types):
        with tempfile.TemporaryDirectory() as folder:
            print(name, task, digest(family.fit(request_for(family, task)[0]), Path(folder) / "model"))
"""


def digest(model: FittedModel, folder: Path) -> str:
    return hashlib.sha256(repr(sorted(saved(model, folder).items())).encode()).hexdigest()


def test_other_thread_settings_in_another_process_change_no_byte(fitted: Any, tmp_path: Path) -> None:
    settings = {f"{library}_NUM_THREADS": "3" for library in ("OMP", "OPENBLAS", "MKL")}
    run = subprocess.run([sys.executable, "-c", FIT_EVERYTHING], capture_output=True, text=True, env={**os.environ, **settings}, check=True)
    here = [
        f"{name} {task} {digest(fitted[name, task][0], tmp_path / f'{name}-{task}')}"
        for name, family in CPU_FAMILIES.items()
        for task in sorted(family.task_types)
    ]
    assert run.stdout.splitlines() == here
