"""Which accelerator there is, who holds it, and how much of its memory was used.

Belongs here: discovery, the lease, the budget and the peak of memory, without Dagster. Does not: what runs on the device. torch is loaded at the first look.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resources.files import encode_name

DeviceMode = Literal["auto", "required", "off"]


class DeviceError(RuntimeError):
    """A device that was required and is not there, or is held by another process."""


@dataclass(frozen=True)
class Device:
    """One place to train: `name` as torch spells it ('cpu', 'cuda:0', 'mps'), what it is, its memory, and why it was chosen."""

    name: str
    description: str
    memory_bytes: int | None
    note: str

    @property
    def accelerated(self) -> bool:
        return self.name != "cpu"


def discover() -> tuple[Device, ...]:
    """Every accelerator of this machine, CUDA devices first; empty without one."""
    import torch

    if torch.cuda.is_available():
        found = [(f"cuda:{index}", torch.cuda.get_device_properties(index)) for index in range(torch.cuda.device_count())]
        return tuple(Device(name, properties.name, int(properties.total_memory), "found by torch.cuda") for name, properties in found)
    if torch.backends.mps.is_available():
        return (Device("mps", "Apple GPU", None, "found by torch.backends.mps"),)
    return ()


def choose(mode: DeviceMode, found: tuple[Device, ...]) -> Device:
    """The device that the GPU stage runs on.

    Raises
    ------
    DeviceError
        `required` and nothing found.
    """
    if mode != "off" and found:
        return found[0]
    if mode == "required":
        raise DeviceError(
            "no GPU: training.require_device is 'required' and neither CUDA nor MPS was found; "
            "run where there is one, or set training.require_device to 'auto' (config/training.yaml)"
        )
    note = "training.require_device is 'off'" if mode == "off" else "no CUDA or MPS device was found, the GPU stage falls back to the CPU"
    return Device("cpu", "CPU", None, note)


def check_device(mode: DeviceMode) -> None:
    """Refuse `required` on a machine without an accelerator; other modes look for none. Raises DeviceError as `choose` does."""
    if mode == "required":
        choose(mode, discover())


@contextmanager
def leased(device: Device, folder: Path, wait_seconds: float) -> Iterator[None]:
    """Hold a device against every other process that leases through the same folder; the CPU needs no lease.

    The lock is the operating system's: it ends with the process that holds it, however that ends.

    Raises
    ------
    DeviceError
        Another process still holds the device after `wait_seconds`.
    """
    if not device.accelerated:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{encode_name(device.name)}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(handle, device, path, wait_seconds)
        yield
    finally:
        # The file stays: removing it would let two processes lock two files of one name.
        os.close(handle)


def _lock(handle: int, device: Device, path: Path, wait_seconds: float) -> None:
    import fcntl
    import time

    end = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                holder = os.pread(handle, 64, 0).decode(errors="replace").strip() or "unknown"
                raise DeviceError(
                    f"{device.name}: process {holder} still holds it (lock {path}) after {wait_seconds:g} seconds; "
                    "wait for it to end, or set training.require_device to 'off'"
                ) from None
            time.sleep(min(0.05, max(0.0, end - time.monotonic())))
        else:
            os.truncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            return


@contextmanager
def memory_budget(device: Device, fraction: float) -> Iterator[None]:
    """Let this process take at most a share, in (0, 1], of the memory of a CUDA device until the block ends; elsewhere nothing is held back.

    Beyond it torch raises OutOfMemoryError, as it does where the card itself is full.
    """
    if not device.name.startswith("cuda"):
        yield
        return
    import torch

    torch.cuda.empty_cache()  # what the allocator holds from before the block is not asked for anew, and so not refused
    torch.cuda.set_per_process_memory_fraction(fraction, device.name)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device.name)


@dataclass
class PeakMemory:
    """Most memory that was allocated on a device inside a `peak_memory` block; None where the device does not tell."""

    n_bytes: int | None = None


@contextmanager
def peak_memory(device_name: str) -> Iterator[PeakMemory]:
    """Measure the most memory that a block of code allocates on a device; the measurement stands once the block has ended."""
    peak = PeakMemory()
    if not device_name.startswith("cuda"):
        yield peak
        return
    import torch

    torch.cuda.reset_peak_memory_stats(device_name)
    yield peak
    peak.n_bytes = int(torch.cuda.max_memory_allocated(device_name))
