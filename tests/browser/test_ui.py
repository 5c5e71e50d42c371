"""The UI as a person meets it: the graph loads in a real browser, and a materialization launched there succeeds."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from resources.instance import HOME_VARIABLE, open_instance
from resources.settings import Settings

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ROOT = Path(__file__).parent.parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, query: str) -> dict[str, object]:
    request = urllib.request.Request(f"{url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.loads(answer.read())["data"])


def wait_until_loaded(url: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text(errors="replace")[-3000:]
        try:
            if "plan_only" in json.dumps(ask(url, "{repositoriesOrError {... on RepositoryConnection {nodes {jobs {name}}}}}")):
                return
        except OSError:
            pass
        time.sleep(1)
    raise AssertionError(f"the UI did not come up in {seconds} s: {log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A running `dagster dev` over an empty output folder, as `switchyard ui` starts it; its address and the folder."""
    output = tmp_path_factory.mktemp("ui")
    with open_instance(output):
        pass
    port = free_port()
    environment = {**os.environ, **Settings(output_dir=str(output)).environment(), HOME_VARIABLE: str(output / ".dagster"), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-w", str(ROOT / "workspace.yaml")]
    log = output / "server.log"
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=ROOT, start_new_session=True)
        try:
            wait_until_loaded(f"http://127.0.0.1:{port}", server, log)
            yield f"http://127.0.0.1:{port}", output
        finally:
            os.killpg(server.pid, signal.SIGINT)
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait(timeout=30)


@pytest.fixture(scope="module")
def page(site: tuple[str, Path]) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        opened = browser.new_page(viewport={"width": 1600, "height": 1000})
        opened.set_default_timeout(60_000)
        yield opened
        browser.close()


def test_the_graph_loads_and_shows_every_group(page: Page, site: tuple[str, Path]) -> None:
    url, _ = site
    page.goto(f"{url}/asset-groups")
    for group in ("market", "evidence", "routing", "plan", "models", "report"):
        page.get_by_text(re.compile(rf"^{group}$")).first.wait_for()


def test_a_materialization_launched_in_the_browser_succeeds(page: Page, site: tuple[str, Path]) -> None:
    url, output = site
    page.goto(f"{url}/assets/market_bars")
    page.get_by_role("button").filter(has_text=re.compile("^Materialize$")).first.click()
    deadline = time.monotonic() + 120
    runs: list[dict[str, str]] = []
    while time.monotonic() < deadline:
        answer = ask(url, "{runsOrError {... on Runs {results {runId status}}}}")
        runs = answer["runsOrError"]["results"]  # type: ignore[index]
        if runs and runs[0]["status"] in ("SUCCESS", "FAILURE", "CANCELED"):
            break
        time.sleep(1)
    assert [run["status"] for run in runs] == ["SUCCESS"]
    assert (output / "panel" / "bars" / "bars.json").exists()
    page.goto(f"{url}/assets/market_bars")
    page.get_by_text("5 symbols").first.wait_for()
