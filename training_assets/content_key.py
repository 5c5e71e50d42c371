"""What makes a model the model it is: its seed, its libraries, and one digest over all that can change it.

Belongs here: pure digests. Does not: the fit, or the folder it is kept in.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import orjson

from config.schema import Config
from training_assets.families.base import Family
from training_assets.samples import JobRows

TRAINING_CODE_VERSION = "4"
"""Raised whenever the code of a fit, a split or a family changes what a model becomes; every model is then trained anew."""


def seed_of(config_seed: int, job_id: str, family: str) -> int:
    """The seed of one fit, in [0, 2**31): the same for any order, number of workers or resumed run."""
    digest = hashlib.sha256(orjson.dumps([config_seed, job_id, family])).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def library_versions(libraries: Iterable[str]) -> dict[str, str]:
    """Installed versions of the distributions a model depends on, numpy always among them."""
    return {name: _installed_version(name) for name in sorted({"numpy", *libraries})}


def hyperparameters_of(config: Config, family: Family) -> dict[str, Any]:
    """The family's defaults under the settings of `training.hyperparameters`; names match without regard to case."""
    configured = {name.casefold(): values for name, values in config.training.hyperparameters.items()}
    return {**family.defaults, **configured.get(family.name.casefold(), {})}


def settings_identity(config: Config) -> dict[str, Any]:
    """The settings that can change any model."""
    splits = config.splits.model_dump(mode="json")
    training = config.training.model_dump(mode="json", include={"oos_fraction", "blend_folds"})
    scoring = config.scoring.model_dump(mode="json", include={"hac_horizons", "confidence", "shrinkage_grid"})
    return {"seed": config.seed, "splits": splits, "training": training, "scoring": scoring}


def training_settings(config: Config, families: Iterable[Family]) -> dict[str, Any]:
    """Digests of the settings that content keys hold, for a plan's metadata: of what all models share, of blends, and by family of its own.

    A family's covers its hyperparameters and the versions of its libraries.
    """
    own = {family.name: content_key({"family": [hyperparameters_of(config, family), library_versions(family.libraries)]})[:16] for family in families}
    blends = content_key({"blend_families": list(config.training.blend_families)})[:16]
    return {"shared": content_key(settings_identity(config))[:16], "blends": blends, "families": dict(sorted(own.items()))}


def rows_digest(rows: JobRows) -> str:
    """Digest of everything a job's fits can see: features, labels, weights, and which bar each row is."""
    digest = hashlib.sha256()
    for array in (rows.x, rows.y, rows.label_end_codes, rows.weight, rows.time_codes, rows.starts):
        digest.update(str((array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def content_key(parts: Mapping[str, Any]) -> str:
    """SHA-256 of plain values under sorted keys, 64 hexadecimal digits."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY
    return hashlib.sha256(orjson.dumps({"code": TRAINING_CODE_VERSION, **parts}, option=options)).hexdigest()


@cache
def _installed_version(name: str) -> str:
    # Reading a distribution's metadata takes milliseconds, and what is installed does not change under a running process.
    return version(name)
