"""Frames as the UI shows them: the first rows, nothing where nothing was computed, and columns with their meanings."""

import pandas as pd

from resources.metadata import column_schema, shown_table

FRAME = pd.DataFrame({"target": ["a", "b"], "score": [0.123456, float("nan")], "n": [1, 2], "selected": [True, False]})


def test_a_table_shows_its_first_rows_with_numbers_of_four_digits_and_gaps_where_nothing_was_computed() -> None:
    rows = [record.data for record in shown_table(FRAME).records]
    assert rows == [{"target": "a", "score": 0.1235, "n": 1, "selected": True}, {"target": "b", "score": None, "n": 2, "selected": False}]
    assert len(shown_table(FRAME, limit=1).records) == 1
    assert shown_table(FRAME.iloc[:0]) == "none"


def test_a_schema_tells_what_each_column_holds() -> None:
    (schema,) = column_schema(FRAME, {"score": "out of sample"}).values()
    assert {column.name: (column.type, column.description) for column in schema.schema.columns} == {
        "target": ("text", None),
        "score": ("number", "out of sample"),
        "n": ("count", None),
        "selected": ("yes or no", None),
    }
