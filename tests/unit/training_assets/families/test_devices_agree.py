"""The nets on every device of this machine: a model is the one that the CPU fits, up to the rounding of another device.

A machine without an accelerator holds the CPU against itself; one with CUDA or MPS adds its devices. Rounding grows through training until early
stopping picks another epoch, and then it is another net: fits that are compared number by number therefore train few epochs.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from config.schema import Config
from config.sections.base import TaskType
from resources.devices import Device, discover, memory_budget, peak_memory
from tests.panels import REGRESSION_TARGET, make_panel, symbol_job
from training_assets.contracts import Stage
from training_assets.families.base import FitError, FitRequest, FittedModel, sample_from_arrays
from training_assets.families.nets.stacked import MAX_STACK
from training_assets.families.registry import FAMILIES
from training_assets.model_store import read_card
from training_assets.trainer import train_jobs

DEVICES = (Device("cpu", "CPU", None, "always"), *discover())
NAMES = tuple(name for name, family in FAMILIES.items() if family.stage is Stage.GPU)
CASES = [pytest.param(name, device, id=f"{name}-{device.name}") for name in NAMES for device in DEVICES]
FEW_EPOCHS = {"epochs": 3, "hidden": 16}
PREDICTION_TOLERANCE = 1e-3
"""Of predictions, in standard deviations of the label."""
SCORE_TOLERANCE = 0.05
"""Of the mean correlation of many nets with their labels, each stopped at an epoch of its own."""


def request_of(symbol: int, device: str, n_rows: int = 400, **settings: float) -> FitRequest:
    generator = np.random.default_rng(symbol)
    x = generator.normal(size=(n_rows, 6)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + np.roll(x[:, 2], 1) + 0.5 * generator.normal(size=n_rows)).astype(np.float32)
    cut = n_rows * 3 // 4
    train, inner = sample_from_arrays(x[:cut], y[:cut]), sample_from_arrays(x[cut:], y[cut:])
    return FitRequest(train, inner, TaskType.REGRESSION, 0, settings, symbol, device)


def together(name: str, requests: list[FitRequest]) -> list[FittedModel]:
    fit_many = FAMILIES[name].fit_many
    assert fit_many is not None
    return [answer for answer in fit_many(requests) if not isinstance(answer, FitError)]


@pytest.mark.parametrize(("name", "device"), CASES)
def test_a_model_of_a_device_is_that_of_the_cpu(name: str, device: Device, tmp_path: Path) -> None:
    request = request_of(1, device.name, **FEW_EPOCHS)
    model, reference = FAMILIES[name].fit(request), FAMILIES[name].fit(replace(request, device="cpu"))
    assert model.fit_details["epochs"] == reference.fit_details["epochs"]
    predicted = model.predict(request.inner)
    np.testing.assert_allclose(predicted, reference.predict(request.inner), rtol=0.0, atol=PREDICTION_TOLERANCE * request.train.y.std())
    model.save(tmp_path)
    np.testing.assert_array_equal(FAMILIES[name].load(tmp_path).predict(request.inner), predicted)


@pytest.mark.parametrize(("name", "device"), CASES)
def test_a_stack_on_a_device_is_its_nets_one_by_one(name: str, device: Device) -> None:
    requests = [request_of(symbol, device.name, 300 + 40 * symbol, **FEW_EPOCHS) for symbol in range(4)]
    models = together(name, requests)
    assert len(models) == len(requests)
    for request, model in zip(requests, models, strict=True):
        alone = FAMILIES[name].fit(request).predict(request.inner)
        np.testing.assert_allclose(model.predict(request.inner), alone, rtol=0.0, atol=PREDICTION_TOLERANCE * request.train.y.std())


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_nets_that_stop_at_epochs_of_their_own_are_as_good_on_every_device(device: Device) -> None:
    def mean_score(name: str) -> float:
        requests = [request_of(symbol, name, 600) for symbol in range(16)]
        models = together("MLP", requests)
        return float(np.mean([np.corrcoef(model.predict(request.inner), request.inner.y)[0, 1] for request, model in zip(requests, models, strict=True)]))

    assert mean_score(device.name) == pytest.approx(mean_score("cpu"), abs=SCORE_TOLERANCE)


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_a_stack_over_the_budget_of_its_device_trains_in_smaller_ones(device: Device) -> None:
    requests = [request_of(symbol, device.name, 12_000, epochs=1, batch_rows=1_024) for symbol in range(MAX_STACK)]
    with peak_memory(device.name) as peak:
        free = together("MLP", requests)
    # Of a peak of 300 MB; what the products themselves work in, up to 64 MiB, is needed by one net as by many.
    share = 1.0 if peak.n_bytes is None or device.memory_bytes is None else 0.7 * peak.n_bytes / device.memory_bytes
    with memory_budget(device, share), peak_memory(device.name) as held_back:
        held = together("MLP", requests)
    assert peak.n_bytes is None or (held_back.n_bytes is not None and held_back.n_bytes <= 0.7 * peak.n_bytes)
    for request, model, reference in zip(requests, held, free, strict=True):
        assert model.fit_details["batch_rows"] == reference.fit_details["batch_rows"]
        np.testing.assert_allclose(model.predict(request.inner), reference.predict(request.inner), rtol=0.0, atol=PREDICTION_TOLERANCE * request.train.y.std())


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_the_gpu_stage_trains_on_the_device_and_its_cards_say_so(device: Device, tmp_path: Path) -> None:
    panel = make_panel(3, 400)
    (tmp_path / "panel").mkdir()
    panel.write(tmp_path / "panel")
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("MLP", "LSTM"), stage=Stage.GPU) for symbol in panel.symbols]
    outcomes = list(train_jobs(jobs, tmp_path / "panel", Config(), tmp_path, Stage.GPU, device=device.name))
    cards = [read_card(Path(model.path)) for outcome in outcomes for model in outcome.models]
    assert [card.device for card in cards] == [device.name] * 6
    for card in cards:
        assert ("device_peak_bytes" in card.details) == device.name.startswith("cuda")
