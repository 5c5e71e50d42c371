"""Dagster types of the frames that pass between assets, so that the UI shows their columns and a frame that breaks them stops its own step.

Belongs here: one maker, from declared columns to a `dagster-pandas` type and the column schema on the asset's page. Does not: any table.
"""

import warnings
from collections.abc import Sequence
from math import inf
from typing import Any

import dagster as dg
import pandas as pd
from dagster_pandas import PandasColumn, create_dagster_pandas_dataframe_type
from dagster_pandas.constraints import (
    CategoricalColumnConstraint,
    ColumnConstraint,
    ColumnConstraintViolationException,
    InRangeColumnConstraint,
    NonNullableColumnConstraint,
)
from pandas.api import types

from resources.table_columns import Column, Kind

_IS_KIND = {
    "text": lambda column: types.is_object_dtype(column) or types.is_string_dtype(column),
    "number": types.is_numeric_dtype,
    "count": types.is_integer_dtype,
    "flag": types.is_bool_dtype,
}


class HoldsKind(ColumnConstraint):
    """A column of one kind of value. Without rows a frame's columns have no kind yet."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        super().__init__(  # type: ignore[no-untyped-call]
            error_description=f"Column must hold values of kind {kind}", markdown_description=f"{kind} values"
        )

    def validate(self, dataframe: pd.DataFrame, column_name: str) -> None:
        """Raise ColumnConstraintViolationException for a column of another kind."""
        if len(dataframe) and not _IS_KIND[self.kind](dataframe[column_name]):
            raise ColumnConstraintViolationException(f"{self.kind} values", f"{self.error_description}, it is {dataframe[column_name].dtype}", column_name)


def frame_type(name: str, description: str, columns: Sequence[Column]) -> dg.DagsterType:
    """The type of one table: its columns have to be there, of their kind and within their bounds; further columns are let pass."""
    with warnings.catch_warnings():
        # The library calls its own maker beta in every release since it was written; its version is pinned.
        warnings.filterwarnings("ignore", message=".*currently in beta")
        made: dg.DagsterType = create_dagster_pandas_dataframe_type(name, description, [PandasColumn(one.name, _constraints(one)) for one in columns])
    return made


def declared_schema(columns: Sequence[Column]) -> dict[str, Any]:
    """Asset metadata under which the UI lists a table's columns, their meaning and their constraints."""
    listed = [dg.TableColumn(one.name, one.kind, one.description, dg.TableColumnConstraints(nullable=one.nullable, other=[*_in_words(one)])) for one in columns]
    return {"dagster/column_schema": dg.TableSchema(columns=listed)}


def _constraints(column: Column) -> list[ColumnConstraint]:
    found: list[ColumnConstraint] = [HoldsKind(column.kind)]
    if not column.nullable:
        found.append(NonNullableColumnConstraint())
    if column.words:
        found.append(CategoricalColumnConstraint(set(column.words), ignore_missing_vals=column.nullable))
    if column.low is not None or column.high is not None:
        low, high = -inf if column.low is None else column.low, inf if column.high is None else column.high
        found.append(InRangeColumnConstraint(low, high, ignore_missing_vals=True))
    return found


def _in_words(column: Column) -> list[str]:
    bounds = [f"{sign} {bound}" for sign, bound in ((">=", column.low), ("<=", column.high)) if bound is not None]
    return [*bounds, *([f"one of {', '.join(column.words)}"] if column.words else [])]
