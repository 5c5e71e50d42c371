"""Plans as content-addressed text: JSON that fails closed when read, YAML and Markdown beside it.

Belongs here: layout, hashing, reading. Does not: what a plan says (`routing_plan`, `training_plan`). A plan's id is the hash of all of
its content but the id itself, so a changed byte shows, and the same decisions have the same id anywhere.
"""

import gc
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from resources.files import encode_name, folder_written_atomically
from routing_assets.contracts import RoutingPlan
from routing_assets.decisions.plan_markdown import routing_plan_markdown
from training_assets.plan_reader import content_hash

SCHEMA_VERSION = "1"
PLAN_DEPTH = {"metadata": 2, "targets": 3}  # levels laid out one entry a line; below them an entry is one line
MAX_SIMPLE_KEY = 1_000  # YAML's `key:` may span 1,024 characters
# YAML 1.1 reads 1.5e-7 as a number, but 1e-7 as text. The hint is quick and may be wrong inside a string; the token never is.
_EXPONENT_HINT = re.compile(rb"(?:^|[:,\[])-?[0-9]e")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9.]+[eE][-+]?[0-9]+')
_SPECIAL = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class Line(NamedTuple):
    """One line of a plan: a key (None in a list) with its value in flow form, or what opens a group and closes it."""

    level: int
    key: bytes | None
    flow: bytes
    closing: bytes = b""


class PlanError(ValueError):
    """A plan that must not be used; the message says which file, what is wrong, and what to do."""


@contextmanager
def collector_paused() -> Iterator[None]:
    """Build a large acyclic document without the cyclic collector walking it again and again (measured: twice as fast)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def lay_out(document: Mapping[str, Any], depths: Mapping[str, int]) -> list[Line]:
    """A document as lines, keys sorted: the first `depths[key]` levels under each top-level key one entry a line, what is deeper in flow form."""
    lines: list[Line] = []
    for key in sorted(document):
        _lay_out_entry(lines, key, document[key], depths.get(key, 0), 0)
    return lines


def json_text(lines: Sequence[Line]) -> bytes:
    """Lines as JSON."""
    parts, closings = [b"{"], [b"}\n"]
    first = True
    for line in lines:
        while len(closings) > line.level + 1:
            parts.append(b"\n" + b"  " * (len(closings) - 1) + closings.pop())
            first = False
        parts.append((b"\n" if first else b",\n") + b"  " * (line.level + 1))
        if line.key is not None:
            parts.append(line.key + b": ")
        parts.append(line.flow)
        first = line.closing != b""
        if first:
            closings.append(line.closing)
    while len(closings) > 1:
        parts.append(b"\n" + b"  " * (len(closings) - 1) + closings.pop())
    return b"".join([*parts, b"\n", *closings])


def yaml_text(lines: Sequence[Line]) -> bytes:
    """The same lines as YAML: block style, and in each line flow style, which is JSON spelled so that YAML 1.1 reads it alike."""
    parts = []
    for line in lines:
        indent = b"  " * line.level
        value = b"\n" if line.closing else b" " + _yaml_safe(line.flow) + b"\n"
        if line.key is None:
            parts.append(indent + b"-" + value)
        elif len(name := _yaml_safe(line.key)) < MAX_SIMPLE_KEY:
            parts.append(indent + name + b":" + value)
        else:
            parts.append(indent + b"? " + name + b"\n" + indent + b":" + value)
    return b"".join(parts)


def write_routing_plan(plan: RoutingPlan, folder: Path, formats: tuple[str, ...], yaml_max_pairs: int, findings: tuple[str, ...] = ()) -> None:
    """Write `routing_plan.{json,yaml,md}` into `folder`, which takes the place of what was there.

    A YAML of more than `yaml_max_pairs` pairs becomes an index, with a file a target under `routing_plan_by_target/`. `findings` of the leakage
    audit, in words, go into the page for readers.
    """
    split = "yaml" in formats and plan.metadata["n_pairs"] > yaml_max_pairs
    with collector_paused():
        lines = lay_out(plan.document(), PLAN_DEPTH)
    with folder_written_atomically(folder) as place:
        if "json" in formats:
            (place / "routing_plan.json").write_bytes(json_text(lines))
        if split:
            _write_split_yaml(plan, place)
        elif "yaml" in formats:
            (place / "routing_plan.yaml").write_bytes(yaml_text(lines))
        if "md" in formats:
            (place / "routing_plan.md").write_text(routing_plan_markdown(plan, findings), encoding="utf-8")


def read_routing_plan(path: Path, data_hash: str | None = None) -> RoutingPlan:
    """Read `routing_plan.json`, or the folder that holds it.

    Raises
    ------
    PlanError
        Missing, unreadable, empty, not a routing plan, of another schema version, tampered, or made from other data than `data_hash`.
    """
    file = path / "routing_plan.json" if path.is_dir() else path
    document = read_document(file, ("metadata", "targets"), data_hash)
    if not isinstance(document["targets"], dict) or not all(isinstance(entry, dict) and "symbols" in entry for entry in document["targets"].values()):
        raise PlanError(f"{file}: `targets` is not a mapping of targets with their symbols; make the plan again with `switchyard plan`")
    return RoutingPlan(document["metadata"], document["targets"])


def read_document(file: Path, keys: tuple[str, ...], data_hash: str | None) -> dict[str, Any]:
    """Read a plan's JSON and hold it against its own id, its schema version and the data it is used on; see `read_routing_plan`."""
    mend = "make it again with `switchyard plan`"
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise PlanError(f"{file}: missing; {mend}, or name its folder") from None
    except OSError as error:
        raise PlanError(f"{file}: cannot be read: {error.strerror}; {mend}") from None
    if not content.strip():
        raise PlanError(f"{file}: empty; {mend}")
    try:
        with collector_paused():
            document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise PlanError(f"{file}: not JSON: {error}; {mend}") from None
    if not isinstance(document, dict) or set(keys) - set(document) or not isinstance(document["metadata"], dict):
        raise PlanError(f"{file}: not such a plan: expected {', '.join(keys)} at the top; {mend}")
    metadata = document["metadata"]
    if metadata.get("schema_version") != SCHEMA_VERSION:
        raise PlanError(f"{file}: schema_version {metadata.get('schema_version')!r}, expected {SCHEMA_VERSION!r}; {mend}")
    if metadata.get("plan_id") != content_hash(document):
        raise PlanError(f"{file}: tampered or cut: plan_id {metadata.get('plan_id')!r} does not match its content, {content_hash(document)}; {mend}")
    if data_hash is not None and metadata.get("data_hash") != data_hash:
        raise PlanError(f"{file}: made from other data: data_hash {metadata.get('data_hash')!r}, the data in use have {data_hash!r}; {mend} on these data")
    return document


def _write_split_yaml(plan: RoutingPlan, place: Path) -> None:
    folder = place / "routing_plan_by_target"
    folder.mkdir()
    files = {target: f"{folder.name}/{encode_name(target)}.yaml" for target in plan.targets}
    (place / "routing_plan.yaml").write_bytes(yaml_text(lay_out({"metadata": plan.metadata, "target_files": files}, {"metadata": 2, "target_files": 1})))
    for target, file in files.items():
        (place / file).write_bytes(yaml_text(lay_out({"targets": {target: plan.targets[target]}}, PLAN_DEPTH)))


def _lay_out_entry(lines: list[Line], key: str | None, value: Any, depth: int, level: int) -> None:
    name = None if key is None else orjson.dumps(key)
    if depth < 1 or not isinstance(value, dict | list) or not value:
        lines.append(Line(level, name, _flow(value)))
    elif isinstance(value, list):
        lines.append(Line(level, name, b"[", b"]"))
        lines += [Line(level + 1, None, _flow(item)) for item in value]
    elif depth == 1:
        lines.append(Line(level, name, b"{", b"}"))
        lines += [Line(level + 1, orjson.dumps(inner), _flow(value[inner])) for inner in sorted(value)]
    else:
        lines.append(Line(level, name, b"{", b"}"))
        for inner in sorted(value):
            _lay_out_entry(lines, inner, value[inner], depth - 1, level + 1)


def _flow(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _yaml_safe(flow: bytes) -> bytes:
    """Spell exponents with point and sign, and escape what YAML may not hold raw; all of it still JSON."""
    plain = flow.isascii() and b"\x7f" not in flow
    if plain and ((b"e-" not in flow and b"e+" not in flow) or _EXPONENT_HINT.search(flow) is None):
        return flow
    return _TOKEN.sub(_respelled, _SPECIAL.sub(_escaped, flow.decode())).encode()


def _respelled(token: re.Match[str]) -> str:
    text = token.group()
    if text.startswith('"'):
        return text
    mantissa, _, exponent = text.lower().partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent if exponent[0] in '+-' else '+' + exponent}"


def _escaped(character: re.Match[str]) -> str:
    return json.dumps(character.group())[1:-1] if character.group() != "\x7f" else "\\u007f"
