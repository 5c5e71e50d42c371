"""Quality suites: clean bars and panels pass, and each planted fault fails the expectation that is meant for it."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.sections.base import TaskType
from config.sections.data import DataConfig
from config.sections.targets import TargetConfig
from resources.market_data.sources import load_market_data
from training_assets.data_quality import check_bars, check_panel, long_bars, panel_columns
from training_assets.expectations import QualityReport, publish_pages
from training_assets.panel.alignment import align_bars
from training_assets.panel.panel import Bars, FeatureInfo, Panel, TargetInfo


@pytest.fixture(scope="module")
def bars() -> Bars:
    data = load_market_data(DataConfig(symbols=("FB", "IBM")))
    return align_bars(data.frames, DataConfig(), TargetConfig(), data.interval_minutes).bars


def broken(report: QualityReport) -> set[tuple[str, str | None]]:
    return {(outcome.name.removeprefix("expect_"), outcome.column) for outcome in report.failures()}


def test_the_long_frame_holds_every_bar_with_its_symbol_and_time(bars: Bars) -> None:
    frame = long_bars(bars)
    assert list(frame.columns) == ["timestamp", "symbol", "open", "high", "low", "close", "volume"]
    assert len(frame) == bars.n_rows
    assert frame["symbol"].value_counts().to_dict() == {"IBM": 3270, "FB": 196}
    first = frame.iloc[0]
    assert (first["symbol"], first["timestamp"], first["close"]) == ("FB", pd.Timestamp("2012-05-18", tz="UTC"), bars.values[3, 0])


def test_clean_bars_pass_every_expectation(bars: Bars) -> None:
    report = check_bars(long_bars(bars))
    assert report.success
    assert report.failures() == ()
    assert report.statistics["evaluated_expectations"] == len(report.expectations) == 17


def put(column: str, value: object, row: int = 10) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def plant(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[row, column] = value
        return frame

    return plant


def repeat_time(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[10, "timestamp"] = frame.loc[9, "timestamp"]
    return frame


def lose_half(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["symbol"] == "IBM") | (frame.groupby("symbol", observed=True).cumcount() % 3 == 0)]


BETWEEN = "column_values_to_be_between"
FAULTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], set[tuple[str, str | None]]]] = {
    "missing close": (put("close", np.nan), {("column_values_to_not_be_null", "close")}),
    "infinite high": (put("high", np.inf), {(BETWEEN, "high")}),
    "zero low": (put("low", 0.0), {(BETWEEN, "low")}),
    "low above the body": (put("low", 1e4), {(BETWEEN, "high_over_body"), (BETWEEN, "body_over_low")}),
    "close above high": (put("close", 1e4), {(BETWEEN, "high_over_body")}),
    "negative volume": (put("volume", -1.0), {(BETWEEN, "volume")}),
    "repeated time": (repeat_time, {(BETWEEN, "step_minutes")}),
    "holes": (lose_half, {(BETWEEN, "coverage")}),
    "missing column": (lambda frame: frame.drop(columns="high"), {("table_columns_to_match_set", None)}),
    "no rows": (lambda frame: frame.iloc[:0], {("table_row_count_to_be_between", None)}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails_its_own_expectation_and_no_other(bars: Bars, fault: str) -> None:
    plant, expected = FAULTS[fault]
    report = check_bars(plant(long_bars(bars)))
    assert not report.success
    assert broken(report) == expected
    assert all(outcome.examples for outcome in report.failures())


def test_a_failure_names_symbol_time_and_value(bars: Bars) -> None:
    (failure,) = check_bars(put("volume", -1.0)(long_bars(bars))).failures()
    assert failure.n_unexpected == 1
    assert "symbol=FB" in failure.examples[0]
    assert "volume=-1.0" in failure.examples[0]
    assert "2012-06-04" in failure.examples[0]
    assert "min_value=0" in failure.bound


def make_panel(bars: Bars) -> Panel:
    rng = np.random.default_rng(0)
    n_rows = bars.n_rows
    features = rng.normal(size=(2, n_rows)).astype(np.float32)
    labels = np.vstack([rng.normal(size=n_rows), rng.integers(0, 2, n_rows)]).astype(np.float32)
    labels[:, -5:] = np.nan
    ends = np.where(np.isnan(labels), -1, bars.time_codes[None, :] + 5).astype(np.int32)
    infos = tuple(FeatureInfo(name, 5, 0, False, "builtin") for name in ("mom", "vol"))
    targets = (
        TargetInfo("ret_5b", TaskType.REGRESSION, 5, 7200, "builtin", "forward_return"),
        TargetInfo("up_5b", TaskType.BINARY_CLASSIFICATION, 5, 7200, "builtin", "forward_direction", (0.0, 1.0)),
    )
    return Panel(
        symbols=bars.symbols,
        times_ns=bars.times_ns,
        symbol_offsets=bars.symbol_offsets,
        time_codes=bars.time_codes,
        session_codes=bars.session_codes,
        interval_minutes=bars.interval_minutes,
        feature_infos=infos,
        features=features,
        target_infos=targets,
        labels=labels,
        label_end_codes=ends,
        bar_values=bars.values.astype(np.float32),
        holdout_start_code=bars.times_ns.size,
        data_hash="0" * 16,
    )


def test_a_clean_panel_passes(bars: Bars) -> None:
    panel = make_panel(bars)
    assert check_panel(panel).success
    assert panel_columns(panel)["kind"].to_list() == ["feature", "feature", "target", "target"]


def constant(panel: Panel) -> Panel:
    panel.features[0] = 1.0
    return panel


def unknown(panel: Panel) -> Panel:
    panel.features[0] = np.nan
    return panel


def infinite(panel: Panel) -> Panel:
    panel.features[1, 3] = np.inf
    return panel


def odd_class(panel: Panel) -> Panel:
    panel.labels[1, 3] = 2.0
    return panel


def early_label(panel: Panel) -> Panel:
    panel.label_end_codes[0, 3] = panel.time_codes[3] - 1
    return panel


def twice(panel: Panel) -> Panel:
    return replace(panel, feature_infos=(panel.feature_infos[0], panel.feature_infos[0]))


PANEL_FAULTS: dict[str, tuple[Callable[[Panel], Panel], set[str], str]] = {
    "constant": (constant, {"n_values"}, "feature mom"),
    "unknown": (unknown, {"n_values", "known_fraction"}, "feature mom"),
    "infinite": (infinite, {"n_infinite"}, "feature vol"),
    "class out of range": (odd_class, {"n_out_of_class"}, "target up_5b"),
    "label known before its row": (early_label, {"n_label_before_row"}, "target ret_5b"),
    "name used twice": (twice, {"column"}, "feature mom"),
}


@pytest.mark.parametrize("fault", PANEL_FAULTS)
def test_a_fault_in_a_panel_names_the_column(bars: Bars, fault: str) -> None:
    plant, expected, name = PANEL_FAULTS[fault]
    report = check_panel(plant(make_panel(bars)))
    assert {outcome.column for outcome in report.failures()} == expected
    assert all(name in outcome.examples[0] for outcome in report.failures())


def test_each_report_gets_its_page_and_a_newer_report_of_a_suite_takes_the_older_ones_place(bars: Bars, tmp_path: Path) -> None:
    site = tmp_path / "quality"
    first = publish_pages(check_bars(long_bars(bars)), site)
    panel_page = publish_pages(check_panel(make_panel(bars)), site)
    page = publish_pages(check_bars(put("volume", -1.0)(long_bars(bars))), site)
    assert {found.relative_to(site).parts[1] for found in site.rglob("validations/**/*.html")} == {"bars", "panel"}
    assert page == first
    assert "Failed" in page.read_text(encoding="utf-8")
    assert "Succeeded" in panel_page.read_text(encoding="utf-8")
    index = (site / "index.html").read_text(encoding="utf-8")
    assert all(str(one.relative_to(site)) in index for one in (page, panel_page))


def test_the_library_is_loaded_only_when_a_suite_runs() -> None:
    modules = "training_assets.data_quality, resources.market_data.sources, training_assets.panel.alignment"
    code = f"import sys, {modules}; print({{'great_expectations', 'dagster'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
