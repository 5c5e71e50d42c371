"""Every setting told from the schema: its key, the file it stands in, unit or values, bounds, default and effect.

Belongs here: reading the schema for people (`docs/configuration.md`, template folders). Does not: reading or checking values (`config.load`).
"""

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, Union

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.schema import Config

# Section to the file it stands in, in the order that people read them.
SECTION_FILES: Mapping[str, str] = types.MappingProxyType(
    {
        "seed": "training.yaml",
        "data": "universe.yaml",
        "features": "features.yaml",
        "targets": "targets.yaml",
        "splits": "training.yaml",
        "scoring": "routing.yaml",
        "leakage": "leakage.yaml",
        "routing": "routing.yaml",
        "training": "training.yaml",
        "resources": "resources.yaml",
    }
)
# The end of a key's name says its unit, longest ending first.
_UNITS = (
    ("_minutes", "minutes"),
    ("_seconds", "seconds"),
    ("_bars", "bars"),
    ("_rows", "rows"),
    ("_horizons", "horizons"),
    ("_symbols_per_timestamp", "symbols"),
    ("_columns", "columns"),
    ("_pairs", "pairs"),
    ("_features", "features"),
    ("_fraction", "share"),
    ("_correlation", "correlation"),
    ("_auc", "AUC"),
    ("classification", "AUC"),
    ("min_score.regression", "rank IC"),
)
_TIERS = ("default", "short", "medium", "long", "very_long")
_CONSTRAINTS = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
WIDTH = 150


@dataclass(frozen=True)
class Setting:
    """One leaf of the schema.

    Attributes
    ----------
    key : dotted, as `--set` takes it.
    file : name of the YAML file that its section is shipped in.
    kind : type, unit and bounds in words, for instance `whole number, bars, >= 0`.
    default : the default as YAML on one line.
    effect : what it means, from the schema.
    """

    key: str
    file: str
    kind: str
    default: str
    effect: str


def settings_reference() -> tuple[Setting, ...]:
    """Every leaf of the schema, sections in the order of `SECTION_FILES`, keys in the order of the schema."""
    return tuple(setting for section in SECTION_FILES for setting in _settings(section, Config.model_fields[section], getattr(Config(), section)))


def render_section(name: str, config: Config, notes: Mapping[str, str] = types.MappingProxyType({})) -> str:
    """One section as YAML text, the effect of each key in a comment above it.

    Parameters
    ----------
    notes : dotted key to a line that is put above the key, beside its effect.
    """
    value = getattr(config, name)
    if not isinstance(value, BaseModel):
        return _comment(str(Config.model_fields[name].description), 0) + f"{name}: {yaml_line(value)}\n"
    return f"{name}:\n" + "".join(_render(value, name, 1, notes))


def yaml_line(value: Any) -> str:
    """A value as YAML on one line."""
    return yaml.safe_dump(_plain(value), default_flow_style=True, width=10**6, sort_keys=False).removesuffix("\n").removesuffix("\n...").strip()


def _settings(key: str, field: FieldInfo, default: Any) -> Iterator[Setting]:
    if isinstance(default, BaseModel):
        for name, inner in type(default).model_fields.items():
            yield from _settings(f"{key}.{name}", inner, getattr(default, name))
        return
    kind = ", ".join(part for part in (_type_words(field.annotation), _unit(key, field.annotation), *_bounds(field)) if part)
    yield Setting(key, SECTION_FILES[key.split(".")[0]], kind, yaml_line(default), str(field.description or ""))


def _render(model: BaseModel, prefix: str, depth: int, notes: Mapping[str, str]) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(model).model_fields.items():
        value, key = getattr(model, name), f"{prefix}.{name}"
        yield _comment(str(field.description or ""), depth)
        if key in notes:
            yield _comment(notes[key], depth)
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:\n"
            yield from _render(value, key, depth + 1, notes)
        elif isinstance(value, tuple) and value and all(isinstance(item, BaseModel) for item in value):
            yield f"{indent}{name}:\n" + "".join(f"{indent}- {yaml_line(_stated(item))}\n" for item in value)
        else:
            yield f"{indent}{name}: {yaml_line(value)}\n"


def _stated(item: BaseModel) -> dict[str, Any]:
    """The fields of an entry that differ from their defaults."""
    fields = type(item).model_fields
    return {name: value for name, value in item.model_dump(mode="json").items() if value != fields[name].get_default(call_default_factory=True)}


def _comment(text: str, depth: int) -> str:
    return "  " * depth + f"# {text}\n" if text else ""


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple):
        return [_stated(item) if isinstance(item, BaseModel) else _plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value.value if isinstance(value, Enum) else value


def _type_words(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_words(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_type_words(argument) for argument in arguments)
    if origin is Literal:
        return "one of " + " ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        return f"list of {_type_words(arguments[0])}"
    if origin is dict:
        return f"mapping of name to {_type_words(arguments[1])}"
    return _class_words(annotation)


def _class_words(annotation: Any) -> str:
    words = {bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "null"}
    if annotation in words:
        return words[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " ".join(f"`{item.value}`" for item in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "{" + ", ".join(annotation.model_fields) + "}"
    return "value"


def _unit(key: str, annotation: Any) -> str:
    if "number" not in _type_words(annotation):
        return ""
    group, _, leaf = key.rpartition(".")
    if leaf in _TIERS and group.endswith("regression"):
        return "rank IC"
    return next((unit for ending, unit in _UNITS if key.endswith(ending)), "")


def _bounds(field: FieldInfo) -> list[str]:
    found: dict[str, str] = {}
    for item in [*field.metadata, *_inner_metadata(field.annotation)]:
        for name, sign in _CONSTRAINTS:
            bound = getattr(item, name, None)
            if bound is not None:
                found.setdefault(name, f"{sign} {bound}" if isinstance(bound, int) else f"{sign} {bound:g}")
    return [found[name] for name, _ in _CONSTRAINTS if name in found]


def _inner_metadata(annotation: Any) -> Iterator[Any]:
    """Constraints inside `X | None`, whose arguments keep theirs to themselves."""
    for argument in typing.get_args(annotation):
        if typing.get_origin(argument) is typing.Annotated:
            for item in typing.get_args(argument)[1:]:
                yield from item.metadata if isinstance(item, FieldInfo) else (item,)
