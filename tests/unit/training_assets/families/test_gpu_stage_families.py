"""The nets as families: one contract for all of them, and a planted task that each beats its naive twin on."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families.base import Family, FitError, FitRequest, FittedModel, Sample, sample_from_arrays
from training_assets.families.mlp import MLPNet
from training_assets.families.nets.spec import Inputs, Truth
from training_assets.families.registry import FAMILIES
from training_assets.families.torch_family import torch_family

if TYPE_CHECKING:
    from torch import Tensor

NAMES = ("MLP", "VAE", "GAN", "MultiTask", "CNN1D", "LSTM", "Transformer", "TabCNN", "TabLSTM", "TabTransformer")
WINDOWED = ("CNN1D", "LSTM", "Transformer")
QUICK = {"epochs": 2, "hidden": 8}
CASES = [pytest.param(name, task, id=f"{name}-{task}") for name in NAMES for task in sorted(FAMILIES[name].task_types)]

Labels = NDArray[np.float32]


def _features(n_rows: int, n_features: int, seed: int = 0) -> Labels:
    return np.random.default_rng(seed).normal(size=(n_rows, n_features)).astype(np.float32)


def _request(x: Labels, y: Labels, task: TaskType = TaskType.REGRESSION, seed: int = 3, **settings: float) -> FitRequest:
    """Train on the first 75% of the rows, stop on the rest."""
    cut = len(y) * 3 // 4
    n_classes = {TaskType.REGRESSION: 0, TaskType.BINARY_CLASSIFICATION: 2, TaskType.MULTICLASS_CLASSIFICATION: 3}[task]
    return FitRequest(sample_from_arrays(x[:cut], y[:cut]), sample_from_arrays(x[cut:], y[cut:]), task, n_classes, settings, seed)


def _labels(x: Labels, task: TaskType) -> Labels:
    value = x[:, 0] + 0.5 * x[:, 1] + 0.3 * _features(len(x), 1, seed=9)[:, 0]
    cuts = {TaskType.REGRESSION: None, TaskType.BINARY_CLASSIFICATION: [0.0], TaskType.MULTICLASS_CLASSIFICATION: [-0.5, 0.5]}[task]
    return (value if cuts is None else np.digitize(value, cuts)).astype(np.float32)


def _quick(task: TaskType, n_rows: int = 200, seed: int = 3, n_features: int = 5) -> FitRequest:
    x = _features(n_rows, n_features, seed)
    return _request(x, _labels(x, task), task, seed, **QUICK)


def _saved(family: Family, request: FitRequest, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    family.fit(request).save(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_fit_repeated_gives_the_same_bytes_and_loads_to_the_same_numbers(name: str, task: TaskType, tmp_path: Path) -> None:
    family, request = FAMILIES[name], _quick(task)
    first = _saved(family, request, tmp_path / "first")
    assert first == _saved(family, request, tmp_path / "second")
    assert set(first) == {"model.json", "state.safetensors"}
    model, loaded = family.fit(request), family.load(tmp_path / "first")
    predicted = model.predict(request.inner)
    np.testing.assert_array_equal(predicted, loaded.predict(request.inner))
    assert model.fit_details == loaded.fit_details
    assert predicted.dtype == np.float32
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_predictions_have_the_shape_and_range_of_their_task(name: str, task: TaskType) -> None:
    request = _quick(task)
    predicted = FAMILIES[name].fit(request).predict(request.inner)
    if task is TaskType.MULTICLASS_CLASSIFICATION:
        assert predicted.shape == (request.inner.n_rows, 3)
        np.testing.assert_allclose(predicted.sum(axis=1), 1.0, atol=1e-5)
    else:
        assert predicted.shape == (request.inner.n_rows,)
    if task is not TaskType.REGRESSION:
        assert predicted.min() >= 0.0
        assert predicted.max() <= 1.0


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_another_net(name: str) -> None:
    request = _quick(TaskType.REGRESSION)
    family = FAMILIES[name]
    assert not np.array_equal(family.fit(request).predict(request.inner), family.fit(replace(request, seed=4)).predict(request.inner))


@pytest.mark.parametrize("name", NAMES)
def test_rows_with_unknown_features_are_fitted_and_predicted(name: str) -> None:
    x = _features(200, 5)
    y = _labels(x, TaskType.REGRESSION)
    x[::7, 1] = np.nan
    x[:, 4] = np.nan
    x[3, 0] = np.inf
    request = _request(x, y, **QUICK)
    assert np.isfinite(FAMILIES[name].fit(request).predict(request.inner)).all()


@pytest.mark.parametrize("name", NAMES)
def test_stacked_nets_are_the_bytes_of_nets_fitted_alone_at_default_settings(name: str, tmp_path: Path) -> None:
    """Ragged symbols trained until they stop by themselves: a rounding that differs grows until it picks another epoch."""
    generator, requests = np.random.default_rng(0), []
    for seed, n_rows in enumerate((400, 450, 520)):
        x = generator.normal(size=(n_rows, 12)).astype(np.float32)
        y = (x[:, 0] * x[:, 1] + np.roll(x[:, 2], 2) + generator.normal(size=n_rows)).astype(np.float32)
        requests.append(_request(x, y, seed=seed))
    for place, (request, stacked) in enumerate(zip(requests, _fitted_together(FAMILIES[name], requests), strict=True)):
        alone = FAMILIES[name].fit(request)
        assert alone.fit_details["epochs"] > QUICK["epochs"]
        assert _bytes_of(stacked, tmp_path / f"stacked{place}") == _bytes_of(alone, tmp_path / f"alone{place}")


def _fitted_together(family: Family, requests: Sequence[FitRequest]) -> list[FittedModel]:
    assert family.fit_many is not None
    answers = family.fit_many(requests)
    models = [answer for answer in answers if not isinstance(answer, FitError)]
    assert len(models) == len(requests), answers
    return models


@pytest.mark.parametrize("spoilt", ["constant", "few rows", "no finite loss"])
def test_a_request_that_cannot_be_fitted_is_an_error_of_its_own_and_changes_no_neighbour(spoilt: str, tmp_path: Path) -> None:
    good = [_quick(TaskType.REGRESSION, 200, seed) for seed in (1, 2)]
    bad = _quick(TaskType.REGRESSION, 60 if spoilt == "few rows" else 200, 5)
    if spoilt == "constant":
        bad = replace(bad, train=replace(bad.train, y=np.ones_like(bad.train.y)))
    if spoilt == "no finite loss":
        bad = replace(bad, inner=replace(bad.inner, weight=np.zeros_like(bad.inner.y)))
    family = FAMILIES["MLP"]
    assert family.fit_many is not None
    first, refused, last = family.fit_many([good[0], bad, good[1]])
    assert isinstance(refused, FitError)
    with pytest.raises(FitError) as raised:
        family.fit(bad)
    assert str(raised.value) == str(refused)
    for place, (answer, request) in enumerate(zip((first, last), good, strict=True)):
        assert not isinstance(answer, FitError)
        assert _bytes_of(answer, tmp_path / f"beside{place}") == _bytes_of(family.fit(request), tmp_path / f"alone{place}")


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_of_a_stacked_net_do_not_depend_on_its_neighbours(name: str, tmp_path: Path) -> None:
    """Ragged rows, several batch sizes, neighbours that stop earlier and later, and none."""
    requests = [
        replace(_quick(TaskType.REGRESSION, n_rows, seed), hyperparameters={**QUICK, "epochs": 4, "patience": 1})
        for seed, n_rows in enumerate((400, 250, 900, 613, 401))
    ]
    whole = [_bytes_of(model, tmp_path / f"whole{place}") for place, model in enumerate(_fitted_together(FAMILIES[name], requests))]
    for group in ((0,), (2, 1), (4, 3, 0)):
        models = _fitted_together(FAMILIES[name], [requests[place] for place in group])
        assert [_bytes_of(model, tmp_path / f"{group}{place}") for place, model in zip(group, models, strict=True)] == [whole[place] for place in group]


def _bytes_of(model: FittedModel, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    model.save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class NetShortOfMemory(MLPNet):
    """Runs out of memory on a stack of more than one net, and on batches of more than 20 rows while it trains."""

    def loss(self, player: str, p: "Mapping[str, Tensor]", inputs: Inputs, truth: Truth, noise: "Tensor | None") -> "Tensor":
        import torch

        if inputs.values.shape[0] > 1 or inputs.values.shape[1] > 20:
            raise torch.OutOfMemoryError("planted")
        return super().loss(player, p, inputs, truth, noise)


def test_a_net_out_of_memory_trains_in_smaller_stacks_and_then_in_smaller_batches() -> None:
    requests = [_quick(TaskType.REGRESSION, seed=seed) for seed in (1, 2, 3)]
    for request, model in zip(requests, _fitted_together(torch_family(NetShortOfMemory, ""), requests), strict=True):
        assert model.fit_details["batch_rows"] == 16
        plain = FAMILIES["MLP"].fit(replace(request, hyperparameters={**QUICK, "batch_rows": 16}))
        np.testing.assert_array_equal(model.predict(request.inner), plain.predict(request.inner))


def test_models_of_a_stack_stop_at_their_own_epochs() -> None:
    """Were there one clock for all, the test above would compare equal clocks only."""
    noise = _features(300, 5, seed=21)
    learnable = _request(_features(300, 5), _labels(_features(300, 5), TaskType.REGRESSION), hidden=8, epochs=30)
    hopeless = _request(noise, _features(300, 1, seed=22)[:, 0], hidden=8, epochs=30)
    epochs = [model.fit_details["epochs"] for model in _fitted_together(FAMILIES["MLP"], [learnable, hopeless])]
    assert epochs[0] > epochs[1]


def test_a_stack_keeps_the_order_of_requests_of_several_shapes() -> None:
    requests = [_quick(TaskType.REGRESSION, n_features=5), _quick(TaskType.BINARY_CLASSIFICATION, n_features=4), _quick(TaskType.REGRESSION, seed=8)]
    family = FAMILIES["MLP"]
    for request, stacked in zip(requests, _fitted_together(family, requests), strict=True):
        np.testing.assert_array_equal(stacked.predict(request.inner), family.fit(request).predict(request.inner))


def _loss_on(predicted: Labels, y: Labels) -> float:
    """Mean squared error in units of the label's variance; 1 is the constant."""
    return float(np.mean((predicted - y) ** 2) / np.var(y))


def _ridge_loss(x: Labels, y: Labels, cut: int) -> float:
    design = np.column_stack([x, np.ones(len(x))])
    weights = np.linalg.solve(design[:cut].T @ design[:cut] + np.eye(design.shape[1]), design[:cut].T @ y[:cut])
    return _loss_on(design[cut:] @ weights, y[cut:])


def _out_of_sample(name: str, x: Labels, y: Labels, cut: int, **settings: float) -> float:
    model = FAMILIES[name].fit(_request(x[:cut], y[:cut], **settings))
    return _loss_on(model.predict(sample_from_arrays(x[cut:], y[cut:])), y[cut:])


@pytest.mark.parametrize("name", WINDOWED)
def test_a_net_on_windows_finds_a_signal_in_the_order_of_past_bars_that_ridge_on_the_row_cannot(name: str) -> None:
    x = _features(2000, 2, seed=5)
    # The label is the difference of two past bars: their order matters, and neither is on the row.
    y = (np.roll(x[:, 0], 3) - np.roll(x[:, 0], 1) + 0.3 * _features(2000, 1, seed=6)[:, 0]).astype(np.float32)
    assert _ridge_loss(x, y, 1500) > 0.95
    assert _out_of_sample(name, x, y, 1500, window=6, learning_rate=0.01) < 0.5


def test_the_mlp_finds_an_interaction_that_ridge_cannot() -> None:
    x = _features(2000, 4, seed=5)
    y = (x[:, 0] * x[:, 1] + 0.3 * _features(2000, 1, seed=6)[:, 0]).astype(np.float32)
    assert _ridge_loss(x, y, 1500) > 0.95
    assert _out_of_sample("MLP", x, y, 1500) < 0.6


@pytest.mark.parametrize("name", ["VAE", "GAN", "MultiTask", "TabCNN", "TabLSTM", "TabTransformer"])
def test_a_net_on_the_row_beats_the_constant(name: str) -> None:
    x = _features(1500, 5, seed=5)
    y = (np.tanh(2 * x[:, 0]) + np.abs(x[:, 1]) + 0.3 * _features(1500, 1, seed=6)[:, 0]).astype(np.float32)
    assert _out_of_sample(name, x, y, 1100, learning_rate=0.01) < 0.6


def test_both_players_of_the_gan_train_and_against_each_other() -> None:
    x = _features(1200, 3)
    y = (x[:, 0] + _features(1200, 1, seed=9)[:, 0]).astype(np.float32)
    curves = {}
    for weight in (0.0, 0.3):
        settings = {"learning_rate": 0.01, "adversarial_weight": weight, "epochs": 20, "patience": 20}
        curves[weight] = FAMILIES["GAN"].fit(_request(x, y, **settings)).fit_details["train_loss"]
    assert set(curves[0.3]) == {"adversary", "net"}
    # The adversary starts undecided, at log 2, and learns to tell labels without noise from real ones while nobody fools it.
    assert abs(curves[0.0]["adversary"][0] - np.log(2.0)) < 0.02
    assert curves[0.0]["adversary"][-1] < 0.5
    # A generator that is paid for fooling it does so.
    assert curves[0.3]["adversary"][-1] > curves[0.0]["adversary"][-1] + 0.1
    assert curves[0.0]["net"][-1] < 0.8 * curves[0.0]["net"][0]


def test_the_gan_predicts_the_mean_over_its_stored_draws(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    FAMILIES["GAN"].fit(_quick(TaskType.REGRESSION)).save(tmp_path)
    draws = load_file(tmp_path / "state.safetensors")["net.draws"]
    assert draws.shape == (16, 4)
    assert abs(float(draws.mean())) < 0.5


def _related(sample: Sample, columns: Labels) -> Sample:
    return replace(sample, auxiliary=columns.astype(np.float32))


def test_related_labels_shape_the_trunk_of_multi_task_and_of_no_other_family() -> None:
    request = _quick(TaskType.REGRESSION)
    columns = np.column_stack([request.train.x[:, 0] * 5, np.full(request.train.n_rows, np.nan)])
    given = replace(request, train=_related(request.train, columns), inner=_related(request.inner, columns[: request.inner.n_rows]))
    for name, changed in (("MultiTask", True), ("MLP", False)):
        family = FAMILIES[name]
        plain, related = (family.fit(made).predict(request.inner) for made in (request, given))
        assert np.isfinite(related).all()
        assert changed is not np.array_equal(plain, related)
    with pytest.raises(FitError, match="2 columns on the training rows, None on the inner rows"):
        FAMILIES["MultiTask"].fit(replace(given, inner=request.inner))


@pytest.mark.parametrize("name", WINDOWED)
def test_a_prediction_on_windows_reads_no_later_bar_and_no_other_symbol(name: str) -> None:
    request = _quick(TaskType.REGRESSION)
    model = FAMILIES[name].fit(replace(request, hyperparameters={**QUICK, "window": 4}))
    x, y = _features(40, 5, seed=30), np.zeros(40, np.float32)
    symbols = np.repeat(np.arange(2, dtype=np.int32), 20)
    before = model.predict(sample_from_arrays(x, y, symbol_codes=symbols))
    changed = x.copy()
    changed[19] += 10.0
    after = model.predict(sample_from_arrays(changed, y, symbol_codes=symbols))
    np.testing.assert_array_equal(np.delete(before, 19), np.delete(after, 19))
    assert before[19] != after[19]


@pytest.mark.parametrize("name", WINDOWED)
def test_a_prediction_on_windows_reads_the_bars_before_the_row(name: str) -> None:
    x = _features(400, 2, seed=5)
    y = np.roll(x[:, 0], 1)
    model = FAMILIES[name].fit(_request(x, y, hidden=8, window=4, epochs=4, learning_rate=0.01))
    changed = x.copy()
    changed[10] += 3.0
    moved = np.flatnonzero(model.predict(sample_from_arrays(x, y)) != model.predict(sample_from_arrays(changed, y)))
    assert set(moved) == {10, 11, 12, 13}


@pytest.mark.parametrize("task", [TaskType.REGRESSION, TaskType.BINARY_CLASSIFICATION])
def test_a_net_learns_what_an_offset_leaves_and_needs_it_again_to_predict(task: TaskType) -> None:
    x = _features(900, 4)
    raw = 3.0 * x[:, 0] + 0.2 * x[:, 1]
    y = (raw if task is TaskType.REGRESSION else raw + np.random.default_rng(1).logistic(size=900) > 0).astype(np.float32)
    request = _request(x, y, task)
    request = replace(
        request, train=replace(request.train, offset=3.0 * request.train.x[:, 0]), inner=replace(request.inner, offset=3.0 * request.inner.x[:, 0])
    )
    model = FAMILIES["MLP"].fit(request)
    predicted = model.predict(request.inner).astype(np.float64)
    seen = predicted if task is TaskType.REGRESSION else np.log(predicted / (1 - predicted))
    assert float(np.mean((seen - 3.0 * request.inner.x[:, 0]) ** 2)) < 0.5
    with pytest.raises(ValueError, match="carries no offset"):
        model.predict(replace(request.inner, offset=None))


def test_rows_of_no_weight_teach_nothing() -> None:
    x = _features(400, 3)
    y = x[:, 0].copy()
    poisoned = y.copy()
    poisoned[:150] += 1000.0
    weight = np.r_[np.zeros(150, np.float32), np.ones(150, np.float32)]
    clean, dirty = (_request(x, label, **QUICK) for label in (y, poisoned))
    fits = [FAMILIES["MLP"].fit(replace(request, train=replace(request.train, weight=weight))) for request in (clean, dirty)]
    np.testing.assert_array_equal(*[model.predict(clean.inner) for model in fits])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hiden": 4}, "did you mean 'hidden'"),
        ({"hidden": 0}, r"outside \[1, 4096\]"),
        ({"epochs": 2.5}, "of type int"),
        ({"hidden": 10}, "multiple of heads 4"),
    ],
)
def test_a_wrong_hyperparameter_is_refused_with_its_mend(settings: dict[str, float], said: str) -> None:
    with pytest.raises(FitError, match=said):
        FAMILIES["Transformer"].fit(replace(_quick(TaskType.REGRESSION), hyperparameters=settings))


def test_too_few_rows_are_refused_with_the_bound() -> None:
    with pytest.raises(FitError, match="75 training rows < 100"):
        FAMILIES["LSTM"].fit(_quick(TaskType.REGRESSION, n_rows=100))


def test_a_model_is_not_loaded_as_another_family(tmp_path: Path) -> None:
    FAMILIES["MLP"].fit(_quick(TaskType.REGRESSION)).save(tmp_path)
    with pytest.raises(ValueError, match="family MLP, expected VAE"):
        FAMILIES["VAE"].load(tmp_path)


def test_a_fit_leaves_the_settings_of_torch_as_they_were() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    state = torch.get_rng_state()
    FAMILIES["MLP"].fit(_quick(TaskType.REGRESSION))
    assert torch.get_num_threads() == 2
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(state, torch.get_rng_state())
    torch.set_num_threads(before)


def test_the_registry_loads_without_torch() -> None:
    code = "import sys; from training_assets.families.registry import FAMILIES; print(len(FAMILIES), 'torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert told[1] == "False"


@pytest.mark.parametrize("name", NAMES)
def test_a_net_belongs_to_the_gpu_stage_under_its_own_name(name: str) -> None:
    assert FAMILIES[name].name == name
    assert FAMILIES[name].stage is Stage.GPU
    assert not FAMILIES[name].cheap
