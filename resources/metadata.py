"""What an asset shows of its value in the UI: tables with a row limit, the columns of a frame, the memory of the process.

Belongs here: plain values as Dagster metadata. Does not: which numbers an asset shows (`*assets`), or drawing.
"""

import base64
from collections.abc import Mapping

import dagster as dg
import numpy as np
import pandas as pd

N_ROWS_SHOWN = 40
_WORDS = {
    "object": "text",
    "category": "text",
    "str": "text",
    "float64": "number",
    "float32": "number",
    "int64": "count",
    "bool": "yes or no",
}


def shown_table(frame: pd.DataFrame, limit: int = N_ROWS_SHOWN) -> dg.TableMetadataValue | str:
    """The first rows of a frame as a table of the UI, numbers to four digits, nothing where nothing was computed; words where there are no rows."""
    if frame.empty:
        return "none"
    rows = [dg.TableRecord({str(name): _shown(value) for name, value in row.items()}) for row in frame.head(limit).to_dict("records")]
    return dg.MetadataValue.table(rows, schema=_schema(frame, {}))


def column_schema(frame: pd.DataFrame, meanings: Mapping[str, str] | None = None) -> dict[str, dg.TableSchemaMetadataValue]:
    """The columns of a frame as the UI's column schema; `meanings` says what a column holds, by name."""
    return {"dagster/column_schema": dg.MetadataValue.table_schema(_schema(frame, meanings or {}))}


def picture(svgs: Mapping[str, str]) -> dg.MarkdownMetadataValue | str:
    """Pictures by title as metadata that needs no file and no network; words where there are none."""
    return dg.MetadataValue.md("\n\n".join(picture_markdown(svg, title) for title, svg in svgs.items())) if svgs else "none"


def picture_markdown(svg: str, title: str) -> str:
    """A picture inside Markdown that needs no file and no network."""
    return f"![{''.join(character for character in title if character not in '[]')}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _schema(frame: pd.DataFrame, meanings: Mapping[str, str]) -> dg.TableSchema:
    return dg.TableSchema(
        [dg.TableColumn(str(name), _WORDS.get(str(kind), str(kind)), description=meanings.get(str(name))) for name, kind in frame.dtypes.items()]
    )


def _shown(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.floating):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    if isinstance(value, np.bool_ | np.integer):
        return bool(value) if isinstance(value, np.bool_) else int(value)
    return str(value)
