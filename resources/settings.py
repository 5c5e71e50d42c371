"""The validated configuration and the places of a run, as one Dagster resource.

Belongs here: which configuration folder, overrides and output folder a run uses, and where those come from. Does not: what a
setting means (`config.schema`), or what is written under the output folder (`resources.artifact_store`).

A run started in the UI finds the settings in the environment, where `switchyard ui` put them; the command passes them itself.
"""

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from config.load import PACKAGED_CONFIG_DIR, has_yaml, load_config
from config.schema import Config

CONFIG_DIR_VARIABLE = "SWITCHYARD_CONFIG_DIR"
OUTPUT_DIR_VARIABLE = "SWITCHYARD_OUTPUT_DIR"
OVERRIDES_VARIABLE = "SWITCHYARD_OVERRIDES"
VALUES_VARIABLE = "SWITCHYARD_VALUES"
PLAN_DIR_VARIABLE = "SWITCHYARD_TRAINING_PLAN_DIR"
CANDIDATES_VARIABLE = "SWITCHYARD_CANDIDATES"
DEFAULT_CONFIG_DIR = "config"
DEFAULT_OUTPUT_DIR = "results"


class Settings(dg.ConfigurableResource[None]):
    """What a run was asked to do, where it writes, and the configuration that follows.

    Attributes
    ----------
    config_dir : folder of YAML files, or None for `config` in the working folder, else the packaged one.
    output_dir : folder under which everything is written.
    overrides : `section.key=value` texts, later ones win.
    values_json : JSON object of dotted keys to values, applied before `overrides` (what command-line options mean).
    training_plan_dir : folder of the training plan to train from; None means the output tree's own.
    candidates_file : a candidates table that someone else made, routed in place of our own; None means ours.
    """

    config_dir: str | None = None
    output_dir: str = DEFAULT_OUTPUT_DIR
    overrides: list[str] = Field(default_factory=list)
    values_json: str = "{}"
    training_plan_dir: str | None = None
    candidates_file: str | None = None

    @property
    def values(self) -> dict[str, Any]:
        return dict(json.loads(self.values_json))

    @property
    def output(self) -> Path:
        return Path(self.output_dir)

    @property
    def plan_folder(self) -> Path:
        return Path(self.training_plan_dir) if self.training_plan_dir else self.output / "globals" / "training_plan"

    @property
    def candidates_path(self) -> Path:
        return Path(self.candidates_file or "")

    @property
    def models_root(self) -> Path:
        return self.output / "models"

    def load(self) -> Config:
        """Read and validate the configuration; raises `config.load.ConfigError`."""
        return load_config(resolve_config_dir(self.config_dir), self.overrides, self.values)

    def changed(self, **changes: str | list[str] | None) -> "Settings":
        """The same settings but for these; a plain copy would keep the values that Dagster has already taken from the first ones."""
        return Settings(**{name: changes.get(name, getattr(self, name)) for name in type(self).model_fields})

    def anywhere(self) -> "Settings":
        """The same settings with absolute places, so that they mean the same in another working folder."""
        places = {
            name: os.path.abspath(place) for name in ("config_dir", "output_dir", "training_plan_dir", "candidates_file") if (place := getattr(self, name))
        }
        values = {key: os.path.abspath(value) if key == "data.path" else value for key, value in self.values.items()}
        return self.changed(**places, values_json=json.dumps(values, sort_keys=True))

    def environment(self) -> dict[str, str]:
        """The variables from which `settings_from_environment` makes the same settings again."""
        variables = {
            OUTPUT_DIR_VARIABLE: self.output_dir,
            OVERRIDES_VARIABLE: json.dumps(self.overrides),
            VALUES_VARIABLE: self.values_json,
            CONFIG_DIR_VARIABLE: self.config_dir,
            PLAN_DIR_VARIABLE: self.training_plan_dir,
            CANDIDATES_VARIABLE: self.candidates_file,
        }
        return {name: value for name, value in variables.items() if value}


def resolve_config_dir(config_dir: str | None) -> Path:
    """The folder that is read: the one named, else `config` in the working folder if it holds YAML, else the packaged one."""
    if config_dir is not None:
        return Path(config_dir)
    local = Path(DEFAULT_CONFIG_DIR)
    return local if has_yaml(local) else PACKAGED_CONFIG_DIR


def settings_from_environment() -> Settings:
    """Settings from the process's environment, each with its default where the variable is not set."""
    return Settings(
        config_dir=os.environ.get(CONFIG_DIR_VARIABLE) or None,
        output_dir=os.environ.get(OUTPUT_DIR_VARIABLE) or DEFAULT_OUTPUT_DIR,
        overrides=json.loads(os.environ.get(OVERRIDES_VARIABLE) or "[]"),
        values_json=os.environ.get(VALUES_VARIABLE) or "{}",
        training_plan_dir=os.environ.get(PLAN_DIR_VARIABLE) or None,
        candidates_file=os.environ.get(CANDIDATES_VARIABLE) or None,
    )
