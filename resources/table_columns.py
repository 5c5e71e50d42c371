"""What is declared of a table's columns.

Belongs here: the declaration, in plain values. Does not: any table (each is declared where it is made), or the Dagster type made of it (`frame_types`).
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "number", "count", "flag"]


@dataclass(frozen=True)
class Column:
    """One column and what its values have to satisfy.

    Attributes
    ----------
    nullable : whether a value may be missing.
    low, high : closed bounds of known values; None is open.
    words : the values allowed; none means any.
    """

    name: str
    kind: Kind
    description: str
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()
