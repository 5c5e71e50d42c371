"""Real model families too small to be worth their names, and some that misbehave on purpose."""

import ctypes
import os
import resource
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families.base import Family, FitError, FitRequest, Sample


@dataclass
class OneWeight:
    """Predicts its weight times the first feature."""

    weight: float
    fit_details: dict[str, Any] = field(default_factory=dict)

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        return (np.nan_to_num(sample.x[:, 0]) * self.weight).astype(np.float32)

    def save(self, folder: Path) -> None:
        (folder / "weight.json").write_bytes(orjson.dumps({"weight": self.weight}))


def load_one_weight(folder: Path) -> OneWeight:
    return OneWeight(orjson.loads((folder / "weight.json").read_bytes())["weight"])


def fit_one_weight(request: FitRequest) -> OneWeight:
    x, y = np.nan_to_num(request.train.x[:, 0]).astype(float), request.train.y.astype(float)
    return OneWeight(float(x @ y / (x @ x)))


def fit_many_weights(requests: Sequence[FitRequest]) -> list[OneWeight | FitError]:
    return [OneWeight(fit_one_weight(request).weight, {"stacked": len(requests)}) for request in requests]


def refuse(request: FitRequest) -> OneWeight:
    raise FitError(f"Refusing: {request.train.n_rows} rows, refuses them all")


def burst(request: FitRequest) -> OneWeight:
    raise ZeroDivisionError("burst in a library")


def leave(request: FitRequest) -> OneWeight:
    raise SystemExit(7)


def die(request: FitRequest) -> OneWeight:
    os._exit(9)


def die_on_the_first_fit(folder: Path, request: FitRequest) -> OneWeight:
    """Kills its own process the first time that any fit is asked for; the folder remembers."""
    mark = folder / "died"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return fit_one_weight(request)


@dataclass
class TornWeight(OneWeight):
    """Kills its own process in the middle of being written, while fewer than so many files lie in a folder that remembers."""

    kills: int = 1
    remembered: Path = Path()

    def save(self, folder: Path) -> None:
        (folder / "half.json").write_text("{", encoding="utf-8")
        if len(list(self.remembered.iterdir())) < self.kills:
            (self.remembered / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / "half.json").unlink()
        super().save(folder)


def fit_torn(folder: Path, kills: int, request: FitRequest) -> TornWeight:
    return TornWeight(fit_one_weight(request).weight, kills=kills, remembered=folder)


def starve_on_the_first_fit(folder: Path, request: FitRequest) -> OneWeight:
    """Asks for more memory than its process may have the first time that any fit is asked for; the folder remembers."""
    try:
        (folder / "starved").touch(exist_ok=False)
    except FileExistsError:
        return fit_one_weight(request)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    held_bytes = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held_bytes + 256_000_000, hard))
    try:
        return OneWeight(float(np.ones(500_000_000).sum()))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def sleep(request: FitRequest) -> OneWeight:
    time.sleep(30)
    return OneWeight(0.0)


def hang(request: FitRequest | Sequence[FitRequest]) -> Any:
    """Waits in native code for itself: no signal ends that call."""
    library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


def fit_slowly(request: FitRequest) -> OneWeight:
    time.sleep(0.3)
    return fit_one_weight(request)


def fit_many_slowly(requests: Sequence[FitRequest]) -> list[OneWeight | FitError]:
    time.sleep(0.5)
    return fit_many_weights(requests)


def tiny(name: str, fit: Any, cheap: bool = True, stage: Stage = Stage.CPU, fit_many: Any = None) -> Family:
    return Family(
        name=name,
        stage=stage,
        task_types=frozenset({TaskType.REGRESSION}),
        cheap=cheap,
        defaults={},
        libraries=(),
        fit=fit,
        load=load_one_weight,
        description="A family for tests.",
        fit_many=fit_many,
    )


TINY_FAMILIES = {
    family.name: family
    for family in (
        tiny("OneWeight", fit_one_weight),
        tiny("Expensive", fit_one_weight, cheap=False),
        tiny("Refusing", refuse),
        tiny("Bursting", burst),
        tiny("Deadly", die),
        tiny("Leaving", leave),
        tiny("Sleeping", sleep),
        tiny("Hanging", hang),
        tiny("StuckStack", hang, stage=Stage.GPU, fit_many=hang),
        tiny("Slow", fit_slowly),
        tiny("SlowStacked", fit_slowly, stage=Stage.GPU, fit_many=fit_many_slowly),
        tiny("Stacked", fit_one_weight, stage=Stage.GPU, fit_many=fit_many_weights),
        tiny("StackBurst", fit_one_weight, stage=Stage.GPU, fit_many=burst),
    )
}
