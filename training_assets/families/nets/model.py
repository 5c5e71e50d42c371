"""A fitted net: prediction from stored weights, and its form on disk.

Belongs here: predicting, saving and loading one net. Does not: training. Weights are safetensors, the rest JSON; predictions are made on
the CPU on one thread whatever the net was trained on, so that they are the same numbers everywhere a card is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.families.base import Sample
from training_assets.families.losses import predictions_of
from training_assets.families.nets.fitting import held_torch
from training_assets.families.nets.preparation import LabelScaling, scaled
from training_assets.families.nets.rows import window_inputs
from training_assets.families.nets.spec import Inputs, Net, NetShape
from training_assets.families.preprocessing import Standardiser, check_offset, load_state, save_state

# Inputs held at a time while predicting, in numbers: windows are made and dropped a chunk at a time.
CHUNK_NUMBERS = 2_000_000


@dataclass
class NetModel:
    """One net with its scaling."""

    net: Net
    inputs: Standardiser
    labels: LabelScaling
    weights: Mapping[str, NDArray[np.float32]]
    with_offset: bool
    fit_details: dict[str, Any]

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """As the protocol says; adds to `sample.offset` where the fit did."""
        shape = self.net.shape
        check_offset(self.net.family, sample, self.with_offset)
        raw = self._raw(sample).astype(np.float64)
        if shape.task_type is TaskType.REGRESSION:
            raw = raw * self.labels.spread
        if shape.task_type is not TaskType.MULTICLASS_CLASSIFICATION:
            raw += self.labels.centre
            if sample.offset is not None:
                raw[:, 0] += sample.offset
        return predictions_of(raw, shape.task_type)

    def _raw(self, sample: Sample) -> NDArray[np.float32]:
        window = self.net.shape.whole("window") if self.net.windowed else 1
        chunk = max(1, CHUNK_NUMBERS // (self.net.shape.n_inputs * window))
        raw = np.empty((sample.n_rows, self.net.shape.n_outputs), np.float32)
        with held_torch(torch.device("cpu")), torch.inference_mode():
            p = {name: torch.tensor(values).unsqueeze(0) for name, values in self.weights.items()}
            for start in range(0, sample.n_rows, chunk):
                rows = np.arange(start, min(start + chunk, sample.n_rows))
                raw[rows] = self.net.outputs(p, self._inputs(sample, rows))[0].numpy()
        return raw

    def _inputs(self, sample: Sample, rows: NDArray[np.int64]) -> Inputs:
        if not self.net.windowed:
            return Inputs(torch.from_numpy(scaled(self.inputs, sample.x[rows])).unsqueeze(0))
        values, mask = sample.windows(self.net.shape.whole("window"), rows)
        return window_inputs(torch.from_numpy(scaled(self.inputs, values)).unsqueeze(0), torch.from_numpy(mask).unsqueeze(0))

    def save(self, folder: Path) -> None:
        """Write `model.json` and `state.safetensors`."""
        shape = self.net.shape
        document = {
            "family": self.net.family,
            "task_type": shape.task_type,
            "n_inputs": shape.n_inputs,
            "n_outputs": shape.n_outputs,
            "auxiliary_kinds": shape.auxiliary_kinds,
            "settings": dict(shape.settings),
            "label_centre": self.labels.centre,
            "label_spread": self.labels.spread,
            "with_offset": self.with_offset,
            "fit_details": self.fit_details,
        }
        save_state(folder, document, {**{f"net.{name}": values for name, values in self.weights.items()}, **self.inputs.arrays()})


def load_net(net: type[Net], folder: Path) -> NetModel:
    """Read what `NetModel.save` wrote."""
    document, arrays = load_state(folder)
    if document["family"] != net.family:
        raise ValueError(f"{folder}: holds a model of family {document['family']}, expected {net.family}; load it by the family its card names")
    kinds = tuple(document["auxiliary_kinds"])
    shape = NetShape(document["n_inputs"], document["n_outputs"], TaskType(document["task_type"]), document["settings"], kinds)
    weights = {name.removeprefix("net."): values for name, values in arrays.items() if name.startswith("net.")}
    labels = LabelScaling(document["label_centre"], document["label_spread"])
    return NetModel(net(shape), Standardiser.from_arrays(arrays), labels, weights, document["with_offset"], document["fit_details"])
