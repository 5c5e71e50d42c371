"""What the last command on an output folder was asked to do, as it lies there: `settings.json`.

Belongs here: the form of that file, and refusing one that is not so. Does not: writing it (the command), or what its settings mean (`config.load`).
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from config.load import ConfigError

SETTINGS_FILE = "settings.json"


class StoredSettings(BaseModel):
    """The words of a command: a folder of YAML files, values by dotted key, overrides, and places; see `resources.settings.Settings`."""

    model_config = ConfigDict(frozen=True)

    config_dir: str | None = None
    output_dir: str = ""
    overrides: list[str] = []
    values_json: str = "{}"
    training_plan_dir: str | None = None
    candidates_file: str | None = None

    @field_validator("values_json")
    @classmethod
    def values_are_an_object(cls, text: str) -> str:
        if not isinstance(json.loads(text), dict):
            raise ValueError("expected a JSON object of dotted keys to values")
        return text

    @property
    def values(self) -> dict[str, Any]:
        """Dotted key to value."""
        return dict(json.loads(self.values_json))


def read_stored(output_dir: Path) -> StoredSettings | None:
    """The settings that lie in an output folder, None where there are none.

    Raises
    ------
    ConfigError
        A file that cannot be read, or is not what a command leaves; it names the file and how to go on without it.
    """
    path = output_dir / SETTINGS_FILE
    try:
        return StoredSettings.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {f'{where}: ' if where else ''}{first['msg']}; remove it, or name a folder with --config-dir") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; remove it, or name a folder with --config-dir") from None
