"""The UI as a person meets it: the graph, a plan and its route picture, a backfill of one target's pairs, and a leak with its reason in words."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page

from resources.settings import Settings
from tests.browser.chromium import chromium
from tests.dagster.leaking_world import FINDING
from tests.dagster.served import ask, served
from tests.pipeline.command import SYMBOLS, write_config, write_market
from training_assets.model_assets import AUDIT_PATH

TARGET = "volatility_rise_5d"
PICTURES = os.environ.get("SWITCHYARD_UI_PICTURES")
"""A folder for pictures of the pages, for a person to look at; none are taken where it is not set."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The command's tiny market, so that a plan takes seconds."""
    root = tmp_path_factory.mktemp("ui")
    write_market(root / "bars")
    write_config(root / "config")
    (root / "out").mkdir()
    return Settings(config_dir=str(root / "config"), output_dir=str(root / "out"), overrides=["data.source=directory", f"data.path={root / 'bars'}"])


@pytest.fixture(scope="module")
def url(settings: Settings) -> Iterator[str]:
    with served(settings) as address:
        yield address


@pytest.fixture(scope="module")
def page(url: str) -> Iterator[Page]:
    with chromium() as browser:
        opened = browser.new_page(viewport={"width": 1600, "height": 1000})
        opened.set_default_timeout(60_000)
        yield opened


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.wait_for_timeout(1_000)
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def runs_ended(url: str, n_runs: int, seconds: float = 150) -> list[dict[str, str]]:
    """Wait until there are at least this many runs and all have ended; newest first."""
    deadline, runs = time.monotonic() + seconds, []
    while time.monotonic() < deadline:
        runs = ask(url, "{runsOrError {... on Runs {results {runId status jobName}}}}")["runsOrError"]["results"]
        if len(runs) >= n_runs and all(run["status"] in ("SUCCESS", "FAILURE", "CANCELED") for run in runs):
            return runs
        time.sleep(0.5)
    raise AssertionError(f"{n_runs} runs have not ended after {seconds} s: {runs}")


def click(page: Page, words: str) -> None:
    page.get_by_role("button").filter(has_text=re.compile(words)).first.click()


def test_the_graph_loads_and_shows_every_group(page: Page, url: str) -> None:
    page.goto(f"{url}/asset-groups")
    for group in ("market", "evidence", "routing", "plan", "models", "report"):
        page.get_by_text(re.compile(rf"^{group}$")).first.wait_for()
    picture(page, "graph")


def test_a_plan_launched_in_the_browser_succeeds_and_shows_its_routes(page: Page, url: str, settings: Settings) -> None:
    page.goto(f"{url}/locations/switchyard/jobs/plan_only")
    click(page, "^Materialize all")
    assert [run["status"] for run in runs_ended(url, 1)] == ["SUCCESS"]
    assert (settings.plan_folder / "master_training_plan.json").exists()
    page.goto(f"{url}/assets/routing_plan")
    picture(page, "routing_plan")
    page.get_by_text("BOTH_PASSED (6)").first.wait_for()
    page.get_by_text("[Show Markdown]").first.click()
    page.locator("img[alt*='routes by target and symbol']").first.wait_for()
    picture(page, "route_picture")


def test_every_page_of_the_plan_shows_what_its_asset_knows(page: Page, url: str) -> None:
    page.goto(f"{url}/assets/routing_candidates")
    page.get_by_text("upper bound of the score").first.wait_for()  # a column's meaning
    page.get_by_text("[Show Markdown]").first.click()
    page.locator("img[alt='centred_auc']").first.wait_for()
    picture(page, "scores")
    page.goto(f"{url}/assets/leakage_audit")
    page.get_by_text("feature_look_ahead").first.wait_for()  # a detector that looked, and found nothing
    picture(page, "audit")
    page.goto(f"{url}/assets/training_plan")
    page.get_by_text("changes_to_the_plan_before").first.wait_for()
    page.get_by_text("there was none").first.wait_for()
    page.goto(f"{url}/jobs")
    page.get_by_text("train_pairs_gpu").first.wait_for()
    picture(page, "jobs")


def test_a_backfill_of_one_targets_pairs_launched_in_the_browser_trains_them_alone(page: Page, url: str) -> None:
    page.goto(f"{url}/assets/symbol_models")
    click(page, "^Materialize")
    page.get_by_text("Select a partition or create one").first.click()
    page.get_by_placeholder("Filter partitions").fill(TARGET)
    page.get_by_text(re.compile("^Select all")).first.click()
    page.keyboard.press("Escape")
    picture(page, "backfill")
    click(page, "^Launch backfill$")
    deadline, found = time.monotonic() + 150, []
    while time.monotonic() < deadline and not (found and found[0]["status"].startswith(("COMPLETED", "FAILED"))):
        query = "{partitionBackfillsOrError {... on PartitionBackfills {results {id status partitionNames}}}}"
        found = ask(url, query)["partitionBackfillsOrError"]["results"]
        time.sleep(0.5)
    (backfill,) = found
    assert (backfill["status"], sorted(backfill["partitionNames"])) == ("COMPLETED_SUCCESS", [f"{TARGET}|{symbol}" for symbol in SYMBOLS])
    page.goto(f"{url}/runs/b/{backfill['id']}")
    page.get_by_text(re.compile("^Succeeded$")).first.wait_for()
    picture(page, "backfill_done")
    page.goto(f"{url}/assets/symbol_models?view=partitions")
    page.get_by_text("Materialized (3)").first.wait_for()
    page.get_by_text("Missing (3)").first.wait_for()
    page.get_by_text(f"{TARGET}|AAA").first.click()
    page.get_by_text("best_score").first.wait_for()
    picture(page, "partitions")


def test_a_leak_found_after_the_plan_is_refused_and_its_reason_is_there_in_words(page: Page, url: str, settings: Settings) -> None:
    path = settings.output / AUDIT_PATH
    audit = pd.read_parquet(path)
    leak = {"target": None, "symbol": "BBB", "feature": None, "detector": "symbol_copy", "status": "BLOCKED", "accepted": False, "message": FINDING}
    pd.concat([audit, pd.DataFrame([{**audit.iloc[0].to_dict(), **leak}])], ignore_index=True).to_parquet(path)
    n_runs = len(runs_ended(url, 1))
    query = "mutation($p: ExecutionParams!) {launchRun(executionParams: $p) {__typename ... on PythonError {message}}}"
    selector = {"repositoryLocationName": "switchyard", "repositoryName": "__repository__", "jobName": "train_pairs_cpu"}
    tags = {"tags": [{"key": "dagster/partition", "value": f"{TARGET}|BBB"}]}
    answer = ask(url, query, p={"selector": selector, "mode": "default", "runConfigData": {}, "executionMetadata": tags})
    assert answer["launchRun"]["__typename"] == "LaunchRunSuccess", answer
    assert runs_ended(url, n_runs + 1)[0]["status"] == "FAILURE"
    page.goto(f"{url}/assets/pair_plan?view=checks")
    page.get_by_text("Failed").first.wait_for()
    page.get_by_text(f"LEAKAGE: symbol_copy: {FINDING}").first.wait_for()
    picture(page, "leakage")
