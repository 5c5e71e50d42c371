"""Fuzzers of everything that reads what others wrote: settings, plans, candidates. Each either gives a value or its own error, and nothing else.

`make fuzz` runs them for longer (the hypothesis profile `fuzz`).
"""

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.load import ConfigError, known_keys, load_config, parse_yaml, validate_config
from config.schema import Config
from resources.market_data.readers import read_bars_file
from resources.market_data.records import UnusableFileError
from routing_assets.contracts import CANDIDATE_COLUMNS, CANDIDATE_SCHEMA, MODES, VOCABULARIES
from routing_assets.decisions.plan_documents import PlanError, read_routing_plan
from routing_assets.evidence.candidates_table import CandidatesError, candidates_from_table, read_candidates
from routing_assets.plans.training_plan_files import MASTER, load_training_plan
from training_assets.plan_reader import TrainingPlanError, content_hash, read_master_plan


def refused(error: type[Exception], read: Callable[..., object], *arguments: object, **named: object) -> str | None:
    """The words with which a reader refuses, None where it reads; an error of any other kind goes through and fails the test."""
    try:
        read(*arguments, **named)
    except error as told:
        return str(told)
    return None


in_a_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4), max_leaves=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.text(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"#,? \n\t%@`", max_size=120))
def test_any_text_is_yaml_or_a_named_error(text: str) -> None:
    told = refused(ConfigError, parse_yaml, text, "somewhere")
    assert told is None or told.startswith("somewhere: ")


@given(st.dictionaries(st.sampled_from([*Config.model_fields, "other"]), values, max_size=3))
def test_any_sections_are_settings_or_named_errors(sections: dict[str, Any]) -> None:
    assert refused(ConfigError, validate_config, sections) != ""


@given(st.sampled_from(known_keys()) | st.text(max_size=20), st.text(max_size=30))
def test_any_override_is_taken_or_a_named_error(key: str, value: str) -> None:
    assert refused(ConfigError, load_config, overrides=[f"{key}={value}"]) != ""


JOB = {
    "job_id": "a",
    "target": "t_5d",
    "symbol": "A",
    "symbols": None,
    "route": "ROUTE_SYMBOL_SPECIFIC",
    "training_type": "symbol_specific",
    "stage_families": {"cpu": ["Ridge"]},
    "model_families": ["Ridge"],
    "priority": 2,
    "feature_set_id": "f",
    "features": ["x"],
    "estimated_samples": 10,
    "reason": "r",
    "metadata": {},
}


def sealed(document: dict[str, Any]) -> bytes:
    document["metadata"]["plan_id"] = content_hash(document)
    return json.dumps(document).encode()


MASTER_BYTES = sealed({"metadata": {"schema_version": "1", "data_hash": "d"}, "jobs": [JOB], "summary": {}})


def assert_plan_or_error(folder: Path) -> None:
    told = [refused(PlanError, load_training_plan, folder), refused(TrainingPlanError, read_master_plan, folder)]
    told.append(refused(PlanError, read_routing_plan, folder / MASTER))
    assert all(words is None or MASTER in words for words in told)


@in_a_folder
@given(st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 20)), min_size=1, max_size=5))
def test_damaged_plan_bytes_are_refused(tmp_path: Path, edits: list[tuple[float, bytes, int]]) -> None:
    content = MASTER_BYTES
    for place, inserted, removed in edits:
        start = int(place * len(content))
        content = content[:start] + inserted + content[start + removed :]
    (tmp_path / MASTER).write_bytes(content)
    assert_plan_or_error(tmp_path)
    try:
        changed = json.loads(content) != json.loads(MASTER_BYTES)
    except ValueError:
        changed = True
    if changed:
        with pytest.raises(PlanError):
            load_training_plan(tmp_path)


@in_a_folder
@given(st.sampled_from([*JOB, "other"]), json_values)
def test_any_value_in_a_sealed_job_is_read_or_refused_by_name(tmp_path: Path, field: str, value: Any) -> None:
    document = {"metadata": {"schema_version": "1", "data_hash": "d"}, "jobs": [{**JOB, field: value}], "summary": {}}
    (tmp_path / MASTER).write_bytes(sealed(document))
    assert_plan_or_error(tmp_path)


@in_a_folder
@given(
    st.fixed_dictionaries(
        {"metadata": st.dictionaries(st.text(max_size=8), json_values, max_size=3)},
        optional={"jobs": json_values, "summary": json_values, "targets": json_values},
    )
)
def test_any_sealed_document_is_read_or_refused_by_name(tmp_path: Path, document: dict[str, Any]) -> None:
    document["metadata"]["schema_version"] = "1"
    (tmp_path / MASTER).write_bytes(sealed(document))
    assert_plan_or_error(tmp_path)


words = st.sampled_from(["A", "t", "", "CROSS_SECTIONAL", "SYMBOL_SPECIFIC", *(word for known in VOCABULARIES.values() for word in known)]) | st.text(
    max_size=8
)
cells = st.none() | st.integers(-3, 3) | st.floats() | words
columns_of_cells = st.lists(st.tuples(st.sampled_from([*CANDIDATE_COLUMNS, "scores", "note"]), st.lists(cells, min_size=3, max_size=3)), max_size=8)


@given(columns_of_cells, st.lists(st.sampled_from(MODES), min_size=3, max_size=3))
def test_any_table_is_candidates_or_a_named_error(columns: list[tuple[str, list[Any]]], modes: list[str]) -> None:
    arrays, names = [pa.array(["t1", "t2", "t3"]), pa.array(modes)], ["target", "mode"]
    for name, content in columns:
        kinds = {type(item) for item in content if item is not None}
        plain = content if len(kinds) <= 1 else [None if item is None else str(item) for item in content]
        arrays.append(pa.array(plain))
        names.append(name)
    told = refused(CandidatesError, candidates_from_table, pa.Table.from_arrays(arrays, names=names), "here")
    assert told is None or told.startswith("here: ")


def candidate_bytes() -> bytes:
    sink = io.BytesIO()
    rows = [{"target": "t", "mode": "CROSS_SECTIONAL"}, {"target": "t", "mode": "SYMBOL_SPECIFIC", "symbol": "A", "score": 0.5}]
    pq.write_table(pa.Table.from_pylist(rows, schema=CANDIDATE_SCHEMA), sink)
    return sink.getvalue()


CANDIDATE_BYTES = candidate_bytes()


@in_a_folder
@given(st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 20)), min_size=1, max_size=5))
def test_a_damaged_candidates_file_is_read_or_refused_by_name(tmp_path: Path, edits: list[tuple[float, bytes, int]]) -> None:
    content = CANDIDATE_BYTES
    for place, inserted, removed in edits:
        start = int(place * len(content))
        content = content[:start] + inserted + content[start + removed :]
    (tmp_path / "given.parquet").write_bytes(content)
    told = refused(CandidatesError, read_candidates, tmp_path / "given.parquet")
    assert told is None or "given.parquet" in told


@pytest.mark.parametrize("name", [b"score", b"CROSS_SECTIONAL", b"target"])
def test_a_candidates_file_of_names_that_are_no_text_is_refused_by_name(tmp_path: Path, name: bytes) -> None:
    # Found by the coverage-guided fuzzer: the library decodes names of columns and words of dictionaries only when it is asked for them.
    (tmp_path / "given.parquet").write_bytes(CANDIDATE_BYTES.replace(name, name[:-1] + b"\xe9"))
    told = refused(CandidatesError, read_candidates, tmp_path / "given.parquet")
    assert told is not None
    assert "given.parquet" in told


def test_a_code_outside_its_dictionary_is_refused_by_name(tmp_path: Path) -> None:
    # Found by the coverage-guided fuzzer: the library hands on the codes of a damaged page as they are, to index whatever lies there.
    told = set()
    path, start = tmp_path / "given.parquet", pq.ParquetFile(io.BytesIO(CANDIDATE_BYTES)).metadata.row_group(0).column(0).data_page_offset
    for place, bit in itertools.product(range(start, start + 60), range(8)):
        content = bytearray(CANDIDATE_BYTES)
        content[place] ^= 1 << bit
        path.write_bytes(content)
        told.add(refused(CandidatesError, read_candidates, path))
    assert any("out of bounds" in each for each in told if each)


def test_row_groups_that_state_other_rows_than_the_file_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    # Found by the coverage-guided fuzzer: the library takes the memory for as many rows as a row group states. In the footer's compact
    # encoding a row group's bytes and its rows stand side by side, each as a field mark (0x16) and a variable-length number.
    group = pq.ParquetFile(io.BytesIO(CANDIDATE_BYTES)).metadata.row_group(0)
    stated = b"\x16" + variable_length(group.total_byte_size) + b"\x16" + variable_length(group.num_rows)
    assert CANDIDATE_BYTES.count(stated) == 1
    forged = stated[:-1] + variable_length(group.num_rows + 1)
    (tmp_path / "given.parquet").write_bytes(CANDIDATE_BYTES.replace(stated, forged))
    assert f"states {group.num_rows} rows and its row groups {group.num_rows + 1}" in (
        refused(CandidatesError, read_candidates, tmp_path / "given.parquet") or ""
    )
    (tmp_path / "AAA.parquet").write_bytes(CANDIDATE_BYTES.replace(stated, forged))
    assert refused(UnusableFileError, read_bars_file, tmp_path / "AAA.parquet", 200) is not None


def variable_length(number: int) -> bytes:
    """A signed number in Thrift's compact encoding: its sign folded in, seven bits a byte, least first."""
    folded, out = number << 1, bytearray()
    while folded > 127:
        out.append(folded & 127 | 128)
        folded >>= 7
    return bytes([*out, folded])
