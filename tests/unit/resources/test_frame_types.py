"""Types of the frames between assets: what a table's makers say of it holds, and each way of breaking it stops the step with the column's name."""

import numpy as np
import pandas as pd
import pytest

from resources.frame_types import declared_schema, frame_type
from resources.table_columns import Column
from routing_assets.definitions import defs
from routing_assets.evidence.ranking import RANKING_COLUMNS
from routing_assets.evidence.selection import SELECTION_COLUMNS
from routing_assets.evidence.stability import STABILITY_COLUMNS
from routing_assets.evidence.table_columns import RANKING, SELECTION, STABILITY
from training_assets.leaderboard import LEADERBOARD_COLUMNS
from training_assets.leakage.status import AUDIT_COLUMNS, DATA_COLUMN, SCORE_COLUMNS
from training_assets.table_columns import AUDIT, LEADERBOARD

COLUMNS = (
    Column("name", "text", "Name."),
    Column("score", "number", "Score.", nullable=True, low=-1.0, high=1.0),
    Column("n", "count", "Rows.", low=0),
    Column("state", "text", "State.", words=("ON", "OFF")),
    Column("used", "flag", "Used."),
)
TYPE = frame_type("Example", "An example.", COLUMNS)
TYPED_ASSETS = {"target_ranking", "feature_selection", "leakage_audit", "stability", "model_leaderboard"}


def frame(**changes: object) -> pd.DataFrame:
    good = {"name": ["a", "b"], "score": [0.1, np.nan], "n": [1, 2], "state": ["ON", "OFF"], "used": [True, False]}
    return pd.DataFrame(good | changes)


def test_a_frame_as_declared_passes_and_so_does_one_without_rows() -> None:
    assert TYPE.type_check(None, frame()).success
    assert TYPE.type_check(None, frame().iloc[:0]).success
    assert TYPE.type_check(None, pd.DataFrame(columns=[column.name for column in COLUMNS])).success


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"name": ["a", None]}, "name"),
        ({"score": [0.1, 1.5]}, "score"),
        ({"score": ["high", "low"]}, "score"),
        ({"n": [1, -1]}, "n"),
        ({"n": [1.5, 2.0]}, "n"),
        ({"state": ["ON", "MAYBE"]}, "state"),
        ({"used": ["yes", "no"]}, "used"),
    ],
)
def test_a_broken_column_is_named(change: dict[str, object], column: str) -> None:
    verdict = TYPE.type_check(None, frame(**change))
    assert not verdict.success
    assert f'"{column}"' in str(verdict.description)


def test_a_missing_column_is_named() -> None:
    verdict = TYPE.type_check(None, frame().drop(columns="state"))
    assert not verdict.success
    assert "state" in str(verdict.description)


TABLES = (
    (AUDIT, (*AUDIT_COLUMNS, *SCORE_COLUMNS, DATA_COLUMN)),
    (LEADERBOARD, LEADERBOARD_COLUMNS),
    (RANKING, RANKING_COLUMNS),
    (SELECTION, SELECTION_COLUMNS),
    (STABILITY, STABILITY_COLUMNS),
)


@pytest.mark.parametrize(("declared", "made"), TABLES)
def test_every_column_of_a_table_is_declared_in_its_order(declared: tuple[Column, ...], made: tuple[str, ...]) -> None:
    assert tuple(column.name for column in declared) == made
    assert all(column.description.endswith(".") for column in declared)


def test_the_page_of_every_asset_that_holds_a_table_lists_its_columns_with_their_bounds() -> None:
    graph = defs().resolve_asset_graph()
    listed = {key.to_user_string(): graph.get(key).metadata.get("dagster/column_schema") for key in graph.get_all_asset_keys()}
    assert {name for name, schema in listed.items() if schema is not None} == TYPED_ASSETS
    status = next(column for column in listed["leakage_audit"].columns if column.name == "status")
    assert "one of SAFE, SUSPECT, BLOCKED, UNKNOWN" in status.constraints.other
    assert declared_schema(COLUMNS)["dagster/column_schema"].columns[1].constraints.other == [">= -1.0", "<= 1.0"]
