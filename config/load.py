"""YAML files and overrides become one validated `Config`, or an error that names the file and the key.

Belongs here: reading, merging, hashing. Does not: any meaning of a value (see `config.schema`).
"""

import difflib
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from config.addresses import without_user_info
from config.schema import Config

MAX_YAML_BYTES = 1_000_000
MAX_YAML_DEPTH = 20
YAML_SUFFIXES = (".yaml", ".yml")
PACKAGED_CONFIG_DIR = Path(__file__).parent
# Means and places that never change a result, so two runs that differ only here share their plans.
UNHASHED = {"resources": None, "data": {"path"}}

# What pydantic calls by Python's names.
_PLAIN_WORDS = {"tuple_type": "expected a list, for instance [A, B]", "model_type": "expected a group of keys", "dict_type": "expected a group of keys"}


class ConfigError(ValueError):
    """Configuration that cannot be used; the message says where, what, and what to do."""


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases and without repeated keys, so that a file means what it says."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise ConfigError(f"line {line}: aliases (*name) are not accepted; write the value out")
        depth = getattr(self, "_depth", 0) + 1
        if depth > MAX_YAML_DEPTH:
            raise ConfigError(f"nested deeper than {MAX_YAML_DEPTH} levels")
        self._depth = depth
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth = depth - 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"line {key_node.start_mark.line + 1}: a key is a list or a group; keys are names")
            if key_node.value in seen:
                raise ConfigError(f"line {key_node.start_mark.line + 1}: key '{key_node.value}' stands twice; keep one")
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, where: str) -> Any:
    """Parse one YAML document strictly.

    Raises
    ------
    ConfigError
        Too large, too deep, an alias, a repeated key, or no YAML at all; `where` leads the message.
    """
    if len(text) > MAX_YAML_BYTES:
        raise ConfigError(f"{where}: more than {MAX_YAML_BYTES:,} characters, too large for a configuration file")
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - the loader is a SafeLoader
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def load_config(config_dir: Path | None = None, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None) -> Config:
    """Read every YAML file of a folder, apply overrides, validate.

    Parameters
    ----------
    config_dir : folder of `*.yaml`; each top-level key is a section and stands in one file only. None reads the packaged folder.
    overrides : `section.key=value` texts; values are YAML. Later ones win.
    values : dotted key to value, applied before `overrides` (what command-line options mean).

    Raises
    ------
    ConfigError
        No folder of YAML files; else with the file, or `--set`, the dotted key, the value against its bound, and the nearest known key.
    """
    merged, origin = _read_sections(PACKAGED_CONFIG_DIR if config_dir is None else Path(config_dir))
    for key, value in (values or {}).items():
        _assign(merged, key, value, f"option for {key}", origin)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not all(part.strip() for part in key.split(".")):
            raise ConfigError(f"--set {override!r}: expected section.key=value, for instance routing.significance.max_q=0.05")
        _assign(merged, key.strip(), parse_yaml(text, f"--set {key.strip()}"), "--set", origin)
    return validate_config(merged, origin)


def validate_config(merged: Mapping[str, Any], origin: Mapping[str, str] | None = None) -> Config:
    """Validate merged sections into a `Config`, turning schema errors into messages with file, key and mend."""
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        lines = [_explain(item, origin or {}) for item in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None


def config_hash(config: Config) -> str:
    """Content hash of the settings that can change a result, 16 hexadecimal digits."""
    content = config.model_dump(mode="json")
    for section, keys in UNHASHED.items():
        if keys is None:
            content.pop(section)
        else:
            for key in keys:
                content[section].pop(key)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def settings_hash(config: Config, keys: Collection[str]) -> str:
    """Content hash of some settings, 8 hexadecimal digits; `keys` are dotted, a section's name stands for all of it."""
    content = config.model_dump(mode="json")
    chosen = {key: reduce(lambda part, name: part[name], key.split("."), content) for key in keys}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8]


def known_keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted key of the schema, leaves and groups, in order."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += known_keys(field.annotation, f"{prefix}{name}.")
    return keys


def has_yaml(folder: Path) -> bool:
    """Whether a folder is there and holds configuration files."""
    return folder.is_dir() and any(path.suffix in YAML_SUFFIXES for path in folder.iterdir())


def yaml_files(config_dir: Path) -> list[Path]:
    """The configuration files of a folder, in name order.

    Raises
    ------
    ConfigError
        It is not there, is no folder, or holds no such file: defaults in place of settings that somebody meant would go unseen.
    """
    if not config_dir.is_dir():
        state = "is a file, not a folder" if config_dir.exists() else "does not exist"
        raise ConfigError(f"config folder {config_dir} {state}; name one with --config-dir")
    files = sorted(path for path in config_dir.iterdir() if path.suffix in YAML_SUFFIXES)
    if not files:
        raise ConfigError(f"config folder {config_dir} holds no *.yaml; name another, or leave --config-dir out")
    return files


def _read_sections(config_dir: Path) -> tuple[dict[str, Any], dict[str, str]]:
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for path in yaml_files(config_dir):
        try:
            content = parse_yaml(_read_text(path), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from None
        if content is None:
            continue
        if not isinstance(content, dict):
            raise ConfigError(f"{path}: expected sections at the top, found {type(content).__name__}")
        for section, body in content.items():
            if not isinstance(section, str):
                raise ConfigError(f"{path}: section {section!r} is no name; sections are {', '.join(Config.model_fields)}")
            if section in origin:
                raise ConfigError(f"{path}: section '{section}' stands in {origin[section]} too; keep one")
            merged[section], origin[section] = body, str(path)
    return merged, origin


def _read_text(path: Path) -> str:
    """The text of a file, no more of it than shows that it is too large."""
    with open(path, encoding="utf-8") as file:
        return file.read(MAX_YAML_BYTES + 1)


def _assign(merged: dict[str, Any], dotted: str, value: Any, where: str, origin: Mapping[str, str]) -> None:
    *groups, leaf = dotted.split(".")
    place = merged
    for depth, group in enumerate(groups):
        child = place.get(group)
        if child is None:
            child = place[group] = {}
        elif not isinstance(child, dict):
            raise ConfigError(f"{where}: {'.'.join(groups[: depth + 1])} is a value, not a group{_suggest(dotted)}")
        else:
            child = place[group] = dict(child)
        place = child
    place[leaf] = value
    if isinstance(origin, dict):
        origin[dotted] = where


def _explain(item: Any, origin: Mapping[str, str]) -> str:
    path = [str(part) for part in item["loc"]]
    key = ".".join(path)
    above = [".".join(path[:count]) for count in range(len(path), 0, -1)]
    below = [given for given in origin if given.startswith(f"{key}.")]
    # What was given for the key or inside it; only then the file that its section stands in.
    where = next((origin[place] for place in [*above[:1], *below, *above[1:]] if place in origin), "configuration")
    if item["type"] == "extra_forbidden":
        return f"{where}: unknown key '{key}'{_suggest(key)}"
    message = _PLAIN_WORDS.get(item["type"], item["msg"].removeprefix("Value error, "))
    given = item["input"]
    shown = "" if isinstance(given, dict | BaseModel) else f", got {without_user_info(repr(given))}"
    return f"{where}: {key or 'settings'}: {message}{shown}"


def _suggest(key: str) -> str:
    keys = known_keys()
    close = difflib.get_close_matches(key, keys, n=1, cutoff=0.6)
    if not close:
        leaf = key.rsplit(".", 1)[-1]
        close = [known for known in keys if known.rsplit(".", 1)[-1] == leaf][:1]
    return f"; did you mean '{close[0]}'?" if close else ""
