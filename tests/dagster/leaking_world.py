"""An output folder in which two pairs are planned and one of them leaks: everything that training reads, made by hand."""

from collections.abc import Sequence

import pandas as pd

from resources.artifact_store import write_value
from resources.settings import Settings
from routing_assets.plans.training_plan_files import write_training_plan
from tests.dagster.test_partitions_and_sensors import PANEL, key, pairs, plan_of
from tests.panels import REGRESSION_TARGET, make_panel
from training_assets.leakage.status import AUDIT_COLUMNS
from training_assets.model_assets import AUDIT_PATH, PANEL_PATH
from training_assets.panel.panel import Panel

CLEAN, LEAKING = key("S000"), key("S001")
FINDING = "S001 is S000 shifted by one bar"
SAFE_ROW = (REGRESSION_TARGET, None, None, "near_copy", 0.1, 0.9, "SAFE", False, "nothing found")
LEAK_ROW = (REGRESSION_TARGET, "S001", None, "symbol_copy", 1.0, 0.99, "BLOCKED", False, FINDING)


def write_world(output: str, leaks: bool = True) -> Settings:
    """Panel, audit and plan; with `leaks` the audit has one BLOCKED finding, made after the plan, on the pair `LEAKING`."""
    settings = Settings(output_dir=output, overrides=["resources.workers=1"])
    panel = make_panel(n_symbols=4, n_bars=300)
    assert panel.data_hash == PANEL.data_hash
    write_value(settings.output / PANEL_PATH, panel)
    write_audit(settings, leaks)
    write_training_plan(plan_of(*pairs("S000", "S001")), settings.plan_folder, ())
    return settings


def audit_of(panel: Panel, *rows: Sequence[object]) -> pd.DataFrame:
    """An audit of a panel with these rows."""
    return pd.DataFrame(rows, columns=list(AUDIT_COLUMNS)).assign(score_with=float("nan"), score_without=float("nan"), data_hash=panel.data_hash)


def write_audit(settings: Settings, leaks: bool) -> None:
    write_value(settings.output / AUDIT_PATH, audit_of(PANEL, *([SAFE_ROW, LEAK_ROW] if leaks else [SAFE_ROW])))


def trained_symbols(settings: Settings) -> set[str]:
    """The symbols that have a model folder."""
    return {path.parent.parent.name.removeprefix("symbol=") for path in settings.models_root.rglob("model_card.json")}
