"""The device: chosen by the mode, leased against other processes, given back however the holder ends."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
import torch

from resources.devices import Device, DeviceError, choose, leased, peak_memory
from resources.gpu import GpuResource

GPU = Device("cuda:0", "a card", 8 << 30, "found")
CPU = Device("cpu", "CPU", None, "none")
HOLDER = """
import sys, time
from pathlib import Path
from resources.devices import Device, leased
with leased(Device("cuda:0", "a card", None, ""), Path(sys.argv[1]), 0.0):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("mode", "found", "name"), [("auto", (GPU,), "cuda:0"), ("auto", (), "cpu"), ("required", (GPU,), "cuda:0"), ("off", (GPU,), "cpu"), ("off", (), "cpu")]
)
def test_the_mode_chooses_the_device(mode: str, found: tuple[Device, ...], name: str) -> None:
    assert choose(mode, found).name == name


def test_a_fall_back_to_the_cpu_says_so() -> None:
    assert "falls back to the CPU" in choose("auto", ()).note
    assert "'off'" in choose("off", (GPU,)).note


def test_a_required_device_that_is_not_there_is_refused_with_the_key_to_change() -> None:
    with pytest.raises(DeviceError, match=r"training\.require_device"):
        choose("required", ())


def test_a_device_is_held_by_one_process_and_free_once_that_one_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(DeviceError, match=f"process {holder.pid} still holds it"), leased(GPU, tmp_path, 0.0):
            pass
        with leased(Device("cuda:1", "another card", None, ""), tmp_path, 0.0):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with leased(GPU, tmp_path, 5.0):
        assert (tmp_path / "cuda%3A0.lock").read_text() == str(os.getpid())


def test_a_lease_waits_for_its_time_and_no_longer(tmp_path: Path) -> None:
    with leased(GPU, tmp_path, 0.0):
        begin = time.monotonic()
        with pytest.raises(DeviceError, match=r"after 0\.2 seconds"), leased(GPU, tmp_path, 0.2):
            pass
        assert 0.2 <= time.monotonic() - begin < 5.0


def test_a_lease_ends_with_an_error_inside_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), leased(GPU, tmp_path, 0.0):
        raise ZeroDivisionError
    with leased(GPU, tmp_path, 0.0):
        pass


def test_the_cpu_needs_no_lease_and_reports_no_peak(tmp_path: Path) -> None:
    with leased(CPU, tmp_path / "locks", 0.0), leased(CPU, tmp_path / "locks", 0.0), peak_memory(CPU.name) as peak:
        assert not (tmp_path / "locks").exists()
    assert peak.n_bytes is None


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """torch as it is on a machine with one CUDA device, whose allocator is this dict."""
    allocator: dict[str, float] = {"peak": 9 << 30, "share": 1.0}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(name="a card", total_memory=16 << 30))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda name: allocator.update(peak=0))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda name: allocator["peak"])
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, name: allocator.update(share=share))
    return allocator


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_a_card_is_found_leased_and_told(card: dict[str, float], mode: str, tmp_path: Path) -> None:
    resource = GpuResource(mode=mode, lock_dir=str(tmp_path), wait_seconds=0.0, memory_fraction=0.5)
    with resource.lease() as device:
        told = {"device": "cuda:0 (a card): found by torch.cuda", "device_memory_bytes": 16 << 30, "device_memory_budget_bytes": 8 << 30}
        assert resource.metadata(device) == told
        assert card["share"] == 0.5
        with pytest.raises(dg.Failure, match="still holds it"), resource.lease():
            pass


def test_a_budget_ends_with_its_lease(card: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), GpuResource(lock_dir=str(tmp_path), memory_fraction=0.25).lease():
        raise ZeroDivisionError
    assert card["share"] == 1.0


def test_the_peak_is_that_of_the_block_alone(card: dict[str, float]) -> None:
    with peak_memory("cuda:0") as peak:
        card["peak"] = 5 << 20
    card["peak"] = 7 << 30
    assert peak.n_bytes == 5 << 20


def test_the_resource_in_mode_off_gives_the_cpu_and_its_reason(tmp_path: Path) -> None:
    resource = GpuResource(mode="off", lock_dir=str(tmp_path))
    with resource.lease() as device:
        assert device.name == "cpu"
        assert resource.metadata(device) == {"device": "cpu (CPU): training.require_device is 'off'"}


def test_the_resource_in_mode_required_fails_without_retry_where_there_is_no_device() -> None:
    # The refusal is for a machine without a device, so the process is given none to see.
    code = (
        "import dagster as dg; from resources.gpu import GpuResource\n"
        "try:\n    GpuResource(mode='required').device()\n"
        "except dg.Failure as failure:\n    print(failure.allow_retries, failure.description)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}).stdout
    assert told.startswith("False no GPU: training.require_device is 'required'")


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(dg.Failure, match="expected auto, required or off"):
        GpuResource(mode="always").device()


def test_importing_the_resource_loads_no_torch() -> None:
    code = "import sys, resources.gpu; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
