"""Tables of the pages that are made from the registries, so that no page can fall behind the code.

Belongs here: one function a table. Does not: words beside them.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from docs.blocks import TABLE
from routing_assets.decisions.gates import GATES
from training_assets.families.registry import FAMILIES
from training_assets.leakage.registry import DETECTORS
from training_assets.panel.features.registry import FEATURES
from training_assets.panel.targets.registry import TARGETS


def gates() -> str:
    return _table(("", "gate", "refuses a side with"), ((str(number), f"`{gate.code}`", gate.description) for number, gate in enumerate(GATES, 1)))


def families() -> str:
    rows = (
        (f"`{name}`", one.stage, "pooled only" if not one.single_symbol else "pooled and local", "yes" if one.cheap else "", one.description)
        for name, one in FAMILIES.items()
    )
    return _table(("family", "stage", "jobs", "experimental lane", "what it is"), rows)


def targets() -> str:
    rows = (
        (f"`{name}`", one.task_type.lower().replace("_", " "), ", ".join(f"{key}={value}" for key, value in one.defaults.items()), one.description)
        for name, one in TARGETS.items()
    )
    return _table(("builder", "task", "parameters", "label"), rows)


def detectors() -> str:
    rows = ((f"`{one.name}`", one.scope, one.status, one.taxonomy.split(" ", 1)[0], one.sin) for one in DETECTORS)
    return _table(("detector", "looks at a", "at worst", "class", "what it finds"), rows)


def features() -> str:
    rows = ((f"`{one.name}`", str(one.lookback_bars), "other symbols too" if one.cross_sectional else "", one.description) for one in FEATURES)
    return _table(("feature", "look-back, bars", "reads", "what it is"), rows)


BUILDERS: dict[str, Callable[[], str]] = {"gates": gates, "families": families, "targets": targets, "detectors": detectors, "features": features}


def with_tables(text: str) -> str:
    """A page whose tables are as the registries are now."""
    return TABLE.sub(lambda match: f"<!-- table: {match['name']} -->\n{BUILDERS[match['name']]()}<!-- end -->", text)


def write_tables(pages: Iterable[Path]) -> None:
    """Write the tables of pages anew."""
    for page in pages:
        text = page.read_text(encoding="utf-8")
        page.write_text(with_tables(text), encoding="utf-8")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
