"""Every column of the tables that the UI shows has a meaning in words."""

import pytest

from routing_assets.contracts import CANDIDATE_COLUMNS
from routing_assets.evidence.ranking import RANKING_COLUMNS
from routing_assets.evidence.selection import SELECTION_COLUMNS
from routing_assets.evidence.stability import STABILITY_COLUMNS
from routing_assets.report.column_meanings import COLUMN_MEANINGS
from training_assets.leakage.status import AUDIT_COLUMNS, SCORE_COLUMNS

TABLES = {
    "ranking": RANKING_COLUMNS,
    "selection": SELECTION_COLUMNS,
    "audit": (*AUDIT_COLUMNS, *SCORE_COLUMNS),
    "stability": STABILITY_COLUMNS,
    "candidates": CANDIDATE_COLUMNS,
}


@pytest.mark.parametrize("table", TABLES)
def test_every_column_has_a_meaning(table: str) -> None:
    assert [name for name in TABLES[table] if name not in COLUMN_MEANINGS] == []


def test_no_meaning_is_of_a_column_that_no_table_has() -> None:
    known = {name for columns in TABLES.values() for name in columns}
    assert [name for name in COLUMN_MEANINGS if name not in known] == []
