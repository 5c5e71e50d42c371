"""Every column of the candidates table has a meaning in words, for the UI."""

from routing_assets.contracts import CANDIDATE_COLUMNS
from routing_assets.evidence.candidate_columns import CANDIDATE_MEANINGS


def test_every_column_has_a_meaning_and_no_meaning_is_of_another_column() -> None:
    assert tuple(CANDIDATE_MEANINGS) == CANDIDATE_COLUMNS
