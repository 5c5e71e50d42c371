"""Reading somebody else's table, refusing a wrong one, and writing the same bytes."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.contracts import CANDIDATE_SCHEMA
from routing_assets.evidence.candidates_table import CandidatesError, candidates_bytes, candidates_from_table, read_candidates, write_candidates
from tests.candidate_rows import candidates, local, pooled


def table_of(*rows):
    return pa.Table.from_pylist(list(rows), schema=CANDIDATE_SCHEMA)


def test_a_written_table_reads_back_equal_with_its_data_hash(tmp_path):
    table = candidates(pooled(), local("B"), local("A"))
    write_candidates(table, tmp_path / "c.parquet")
    again = read_candidates(tmp_path / "c.parquet")
    assert again.table.cast(CANDIDATE_SCHEMA).equals(table.table.cast(CANDIDATE_SCHEMA))
    assert again.data_hash == table.data_hash
    assert again.symbols == ("A", "B")


def test_the_same_rows_in_any_order_write_the_same_bytes():
    rows = [pooled(), pooled(target="b"), local("Z"), local("A"), local("A", target="b")]
    assert candidates_bytes(candidates(*rows)) == candidates_bytes(candidates(*reversed(rows)))


def test_absent_columns_and_nan_read_as_not_computed():
    foreign = pa.table({"target": ["t"], "mode": ["SYMBOL_SPECIFIC"], "symbol": ["A"], "score": [math.nan], "sample_size": [3.0]})
    table = candidates_from_table(foreign)
    row = table.table.to_pylist()[0]
    assert row["sample_size"] == 3
    assert {name for name, value in row.items() if value is not None} == {"target", "mode", "symbol", "sample_size"}


def test_a_table_of_pooled_rows_needs_no_symbol_column():
    assert candidates_from_table(pa.table({"target": ["t"], "mode": ["CROSS_SECTIONAL"]})).symbols == ()


def test_other_peoples_text_types_and_chunks_are_read():
    foreign = pa.table({"target": pa.array(["t", "t"], pa.large_string()), "mode": ["SYMBOL_SPECIFIC"] * 2, "symbol": ["B", "A"]})
    table = candidates_from_table(pa.concat_tables([foreign.slice(0, 1), foreign.slice(1, 1)]))
    assert table.symbol_codes.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([local(), local()], ["row 1", "repeats row 0", "AAPL"]),
        ([pooled(), pooled()], ["repeats", "CROSS_SECTIONAL"]),
        ([local(mode="LOCAL")], ["'mode'", "row 0", "LOCAL", "use one of"]),
        ([pooled(), local(stability="STABEL")], ["'stability'", "row 1", "STABEL", "did you mean STABLE"]),
        ([local(leakage_status="safe")], ["'leakage_status'", "did you mean SAFE"]),
        ([local(model_status="failed")], ["'model_status'", "FAILED"]),
        ([local(p_value=1.5)], ["'p_value'", "1.5 > 1.0"]),
        ([local(sample_size=-1)], ["'sample_size'", "-1 < 0"]),
        ([local(score=math.inf)], ["'score'", "not finite"]),
        ([local(symbol=None)], ["'symbol'", "names its symbol"]),
        ([local(symbol="")], ["'symbol'", "names its symbol"]),
        ([local(target=None)], ["'target'", "row 0"]),
        ([local(mode=None)], ["'mode'", "null"]),
        ([pooled(symbol="A")], ["'symbol'", "write null"]),
        ([], ["no rows"]),
    ],
)
def test_a_wrong_table_is_refused_with_column_row_and_value(rows, words):
    with pytest.raises(CandidatesError) as error:
        candidates_from_table(table_of(*rows), "file.parquet")
    assert all(word in str(error.value) for word in ["file.parquet", *words]), error.value


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"target": ["t"]}, "'mode' is missing"),
        ({"mode": ["CROSS_SECTIONAL"]}, "'target' is missing"),
        ({"target": ["t"], "mode": ["SYMBOL_SPECIFIC"]}, "names its symbol"),
        ({"target": ["t"], "mode": ["CROSS_SECTIONAL"], "pvalue": [0.1]}, "did you mean 'p_value'"),
        ({"target": ["t"], "mode": ["CROSS_SECTIONAL"], "score": ["high"]}, "'score' is string, expected double"),
        ({"target": ["t"], "mode": ["CROSS_SECTIONAL"], "sample_size": [1.5]}, "'sample_size'"),
    ],
)
def test_missing_misspelt_and_mistyped_columns_are_refused(columns, words):
    with pytest.raises(CandidatesError, match=words):
        candidates_from_table(pa.table(columns))


def test_a_missing_or_broken_file_is_refused(tmp_path):
    with pytest.raises(CandidatesError, match="no such file"):
        read_candidates(tmp_path / "none.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(CandidatesError, match="not a readable parquet"):
        read_candidates(tmp_path / "broken.parquet")


def test_a_file_with_foreign_columns_reads_without_them(tmp_path):
    pq.write_table(pa.table({"target": ["t"], "mode": ["CROSS_SECTIONAL"], "comment": ["x"]}), tmp_path / "c.parquet")
    assert read_candidates(tmp_path / "c.parquet").table.column_names == CANDIDATE_SCHEMA.names


def test_hostile_names_survive_the_round_trip(tmp_path):
    names = ["../../etc", "a/b", "a:b", "ünï", "\u2028", "名", " ", "0", "null"]
    write_candidates(candidates(*(local(name, target=name) for name in names)), tmp_path / "c.parquet")
    again = read_candidates(tmp_path / "c.parquet")
    assert again.targets == tuple(sorted(names))
    assert np.array_equal(again.target_codes, again.symbol_codes)


def test_a_written_table_still_says_its_data_and_how_its_q_was_corrected(tmp_path):
    table = replace(candidates(pooled(), local()), corrected_by="fdr_bh:both")
    write_candidates(table, tmp_path / "candidates.parquet")
    again = read_candidates(tmp_path / "candidates.parquet")
    assert (again.data_hash, again.corrected_by) == ("0123456789abcdef", "fdr_bh:both")


def test_a_table_of_other_data_is_refused_and_one_that_states_none_is_not(tmp_path):
    stated, silent = (candidates(local(), data_hash=known) for known in ("0" * 16, None))
    write_candidates(stated, tmp_path / "stated.parquet")
    write_candidates(silent, tmp_path / "silent.parquet")
    assert read_candidates(tmp_path / "stated.parquet", "0" * 16).data_hash == "0" * 16
    assert read_candidates(tmp_path / "silent.parquet", "1" * 16).data_hash is None
    with pytest.raises(CandidatesError, match=r"stated\.parquet: made from other data: its data_hash is 0{16}, the panel's is 1{16}"):
        read_candidates(tmp_path / "stated.parquet", "1" * 16)
