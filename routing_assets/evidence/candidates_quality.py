"""The Great Expectations suite over the routing candidates.

Belongs here: what is expected of every candidates table, ours or somebody else's. Does not: refusing a table (`candidates_table`), or a route.
"""

import pandas as pd

from routing_assets.contracts import CANDIDATE_COLUMNS, VOCABULARIES, Candidates
from routing_assets.evidence.candidates_table import RANGES
from training_assets.expectations import Expected, QualityReport, run_suite

KEY = ("target", "mode", "symbol")
INTERVALS = (
    ("score_ci_low", "score"),
    ("score", "score_ci_high"),
    ("local_minus_pooled_ci_low", "local_minus_pooled"),
    ("local_minus_pooled", "local_minus_pooled_ci_high"),
)
_EXPECTATIONS: tuple[Expected, ...] = (
    ("ExpectTableRowCountToBeBetween", {"min_value": 1}),
    ("ExpectTableColumnsToMatchSet", {"column_set": list(CANDIDATE_COLUMNS), "exact_match": False}),
    ("ExpectColumnValuesToNotBeNull", {"column": "target"}),
    ("ExpectColumnValuesToNotBeNull", {"column": "mode"}),
    ("ExpectCompoundColumnsToBeUnique", {"column_list": list(KEY), "ignore_row_if": "never"}),
    *(("ExpectColumnValuesToBeInSet", {"column": name, "value_set": list(words)}) for name, words in VOCABULARIES.items()),
    *(("ExpectColumnValuesToBeBetween", {"column": name, "min_value": low, "max_value": high}) for name, (low, high) in RANGES.items()),
    *(
        ("ExpectColumnPairValuesAToBeGreaterThanB", {"column_A": high, "column_B": low, "or_equal": True, "ignore_row_if": "either_value_is_missing"})
        for low, high in INTERVALS
    ),
)


def check_candidates(candidates: Candidates) -> QualityReport:
    """Hold a candidates table against the suite `candidates`: columns, words, ranges, one row a side, scores inside their intervals."""
    return run_suite("candidates", candidates_frame(candidates), _EXPECTATIONS, ("target", "symbol"))


def candidates_frame(candidates: Candidates) -> pd.DataFrame:
    """The table as a frame of plain text and numbers; a pooled row's symbol is empty, so that a key has no nulls."""
    frame: pd.DataFrame = candidates.table.to_pandas()
    text = [name for name in ("target", "symbol", *VOCABULARIES) if name in frame]
    frame = frame.assign(**{name: frame[name].astype(object) for name in text})
    return frame.assign(symbol=frame["symbol"].fillna(""))
