"""How a net becomes a model family; torch itself is loaded at the first fit or load, not with the registry.

Belongs here: the step from a `Net` to its registry entry. Does not: any net.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families.base import Family, FitError, FitRequest, FittedModel
from training_assets.families.nets.spec import Net

MIN_ROWS = 100


@dataclass(frozen=True)
class _Workshop:
    """The three things a family does, for one net."""

    net: type[Net]

    def fit(self, request: FitRequest) -> FittedModel:
        (answer,) = self.fit_many([request])
        if isinstance(answer, FitError):
            raise answer
        return answer

    def fit_many(self, requests: Sequence[FitRequest]) -> list[FittedModel | FitError]:
        from training_assets.families.nets.stacked import fit_stacked

        return list(fit_stacked(self.net, MIN_ROWS, requests))

    def load(self, folder: Path) -> FittedModel:
        from training_assets.families.nets.model import load_net

        return load_net(self.net, folder)


def torch_family(net: type[Net], description: str) -> Family:
    """The registry entry of a net: GPU stage, every task type, stackable."""
    workshop = _Workshop(net)
    return Family(
        name=net.family,
        stage=Stage.GPU,
        task_types=frozenset(TaskType),
        cheap=False,
        defaults=net.defaults(),
        libraries=("torch", "safetensors"),
        fit=workshop.fit,
        load=workshop.load,
        description=description,
        min_rows=MIN_ROWS,
        takes_offset=True,
        takes_auxiliary=net.reads_auxiliary,
        fit_many=workshop.fit_many,
    )
