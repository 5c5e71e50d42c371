"""The GPU as a Dagster resource: the mode from the configuration, and one lease a device.

Belongs here: what Dagster needs to hand a device to an asset. Does not: discovery and locking (`resources.devices`).
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from resources.devices import Device, DeviceError, DeviceMode, choose, discover, leased, memory_budget


class GpuResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The device of the GPU stage.

    `mode` is `training.require_device`; `memory_fraction`, in (0, 1], is `training.device_memory_fraction`; `lock_dir` is where leases lie
    (default: a folder of this user in the system's temporary one, so that every run on the machine meets there); `wait_seconds` is how long
    a lease is waited for.
    """

    mode: str = "auto"
    memory_fraction: float = 1.0
    lock_dir: str | None = None
    wait_seconds: float = 3600.0

    def device(self) -> Device:
        """The device to train on, with the reason in its `note`.

        Raises
        ------
        dagster.Failure
            `required` and none found; never retried.
        """
        try:
            return choose(self._mode(), () if self.mode == "off" else discover())
        except DeviceError as error:
            raise dg.Failure(str(error), allow_retries=False) from None

    @contextmanager
    def lease(self) -> Iterator[Device]:
        """The device, held against other processes until the block ends, of whose memory this one takes its share at most.

        Raises
        ------
        dagster.Failure
            As `device`, and when another process holds it for longer than `wait_seconds`; the latter may be retried.
        """
        device = self.device()
        if not device.accelerated:
            dg.get_dagster_logger("switchyard").info(f"GPU stage on the CPU: {device.note}")
        try:
            with leased(device, self._lock_folder(), self.wait_seconds), memory_budget(device, self.memory_fraction):
                yield device
        except DeviceError as error:
            raise dg.Failure(str(error)) from None

    def metadata(self, device: Device) -> dict[str, str | int]:
        """Device, why it was chosen and its memory, as metadata of a materialization; each model's peak is in its card."""
        told: dict[str, str | int] = {"device": f"{device.name} ({device.description}): {device.note}"}
        if device.memory_bytes is not None:
            told["device_memory_bytes"] = device.memory_bytes
            told["device_memory_budget_bytes"] = int(device.memory_bytes * self.memory_fraction)
        return told

    def _mode(self) -> DeviceMode:
        for mode in ("auto", "required", "off"):
            if self.mode == mode:
                return mode
        raise dg.Failure(f"GpuResource.mode is '{self.mode}', expected auto, required or off (training.require_device)", allow_retries=False)

    def _lock_folder(self) -> Path:
        return Path(self.lock_dir) if self.lock_dir else Path(tempfile.gettempdir()) / f"switchyard-devices-{os.getuid()}"
