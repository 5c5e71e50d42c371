"""Values go to disk whole and come back as they were asked for."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.artifact_store import ArtifactError, content_version, read_value, table_bytes, write_value

FRAME = pd.DataFrame({"target": ["a", "b"], "score": [0.5, None]})


@dataclass
class Note:
    text: str

    def write(self, folder: Path) -> None:
        (folder / "note.txt").write_text(self.text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Note":
        return cls((folder / "note.txt").read_text(encoding="utf-8"))


class Breaks:
    def write(self, folder: Path) -> None:
        (folder / "half.txt").write_text("half", encoding="utf-8")
        raise RuntimeError("in the middle")


def test_a_frame_and_a_table_come_back_equal(tmp_path: Path) -> None:
    write_value(tmp_path / "a.parquet", FRAME)
    pd.testing.assert_frame_equal(read_value(tmp_path / "a.parquet", pd.DataFrame), FRAME)
    assert read_value(tmp_path / "a.parquet", pa.Table).column_names == ["target", "score"]


def test_a_column_of_text_keeps_its_type_where_it_is_empty_or_holds_nothing(tmp_path: Path) -> None:
    """A reader that joins the tables of two runs meets one schema."""
    some = pd.DataFrame({"target": ["a", None], "statistic": [1.0, None]})
    for number, frame in enumerate((some, some.iloc[1:], some.head(0))):
        write_value(tmp_path / f"{number}.parquet", frame)
    schemas = [pq.read_schema(tmp_path / f"{number}.parquet") for number in range(3)]
    assert schemas == [pa.schema({"target": pa.string(), "statistic": pa.float64()})] * 3


def test_an_object_with_write_and_read_is_a_folder(tmp_path: Path) -> None:
    write_value(tmp_path / "note", Note("first"))
    write_value(tmp_path / "note", Note("second"))
    assert read_value(tmp_path / "note", Note) == Note("second")
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_equal_tables_are_equal_bytes_and_versions() -> None:
    assert table_bytes(FRAME) == table_bytes(FRAME.copy())
    assert content_version(FRAME) == content_version(FRAME.copy())
    assert content_version(FRAME) != content_version(FRAME.assign(score=0.1))


def test_a_write_that_breaks_leaves_what_was_there(tmp_path: Path) -> None:
    write_value(tmp_path / "note", Note("good"))
    with pytest.raises(RuntimeError, match="in the middle"):
        write_value(tmp_path / "note", Breaks())
    assert read_value(tmp_path / "note", Note) == Note("good")
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_a_missing_value_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist; materialize"):
        read_value(tmp_path / "nothing.parquet", pd.DataFrame)


def test_a_cut_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.parquet").write_bytes(table_bytes(FRAME)[:-20])
    with pytest.raises(ArtifactError, match=r"cut\.parquet: not a readable Parquet file"):
        read_value(tmp_path / "cut.parquet", pd.DataFrame)


def test_a_value_without_a_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no stored form"):
        write_value(tmp_path / "x", object())
