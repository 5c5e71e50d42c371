"""Pictures of what people see: the report by day, by night and on a narrow screen, the terminal, and the UI: `make docs-pictures`.

Belongs here: which pages are shown, and how large. Does not: drawn pictures (`docs/pictures.py`). It needs Chromium (`CHROMIUM` names another than
Debian's) and an output folder of `switchyard run`; the UI is served from a copy of it for as long as its pictures take.
"""

import argparse
import contextlib
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from docs.blocks import DOCS, run_command  # noqa: E402
from routing_assets.command.terminal import painted  # noqa: E402

IMAGES = DOCS / "images"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PORT, WIDTH = 3977, 108
TARGET, SYMBOL = "forward_realized_volatility_10d", "AAPL"
REPORTS = (("report-light", "light", 1200, ""), ("report-dark", "dark", 1200, f"#target={TARGET}"), ("report-narrow", "light", 390, ""))
UI_PAGES = (
    ("ui-routing-plan", "assets/routing_plan", "commonest reasons"),
    ("ui-models", "assets/symbol_models", "symbol_models"),
)


def main(arguments: list[str]) -> int:
    """Take every picture anew; returns the exit status."""
    parser = argparse.ArgumentParser(description="Take the pictures of the documentation.")
    parser.add_argument("--sample-run", type=Path, required=True, help="output folder of `switchyard run` on the sample")
    output = parser.parse_args(arguments).sample_run.resolve()
    terminal_picture(output)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for name, scheme, width, address in REPORTS:
            report_picture(browser, output / "METRICS" / "routing_report.html", name, scheme, width, address)
        with _served(output) as url:
            ui_pictures(browser, url)
        browser.close()
    return 0


def terminal_picture(output: Path) -> None:
    """What `explain` says in a terminal, in its colours."""
    command = f"switchyard explain {TARGET} {SYMBOL}"
    ran = run_command(f"{command} --output-dir {output}")
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ {command}\n{painted(ran.printed).rstrip()}"))
    svg = console.export_svg(title="switchyard", theme=SVG_EXPORT_THEME, unique_id="terminal")
    # Without the fonts that it would fetch.
    (IMAGES / "terminal.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), encoding="utf-8")


def report_picture(browser: Browser, report: Path, name: str, scheme: str, width: int, address: str) -> None:
    """The top of the report, or one of its pages."""
    page = browser.new_page(viewport={"width": width, "height": 860}, color_scheme="dark" if scheme == "dark" else "light")
    page.goto(f"file://{report}{address}")
    page.wait_for_function("document.getElementById('count').textContent.includes(' of ')")
    _take(page, name)


def ui_pictures(browser: Browser, url: str) -> None:
    """Pages of the Dagster UI on the run."""
    page = browser.new_page(viewport={"width": 1500, "height": 900})
    page.set_default_timeout(120_000)
    for name, address, words in UI_PAGES:
        page.goto(f"{url}/{address}")
        page.get_by_text(words, exact=True).first.wait_for()
        if name == "ui-routing-plan":
            page.get_by_text("[Show Markdown]").first.click()
            page.locator("img[alt*='routes by target and symbol']").first.wait_for()
        page.wait_for_timeout(2_500)
        _take(page, name)


def _take(page: Page, name: str) -> None:
    page.wait_for_timeout(300)
    page.screenshot(path=IMAGES / f"{name}.png")


@contextlib.contextmanager
def _served(output: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "results"
        shutil.copytree(output, copy)
        command = [sys.executable, "-m", "routing_assets.cli", "ui", "--output-dir", str(copy), "--port", str(PORT)]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log, start_new_session=True)
            try:
                _wait_for(server)
                yield f"http://127.0.0.1:{PORT}"
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(server.pid, 2)
                server.wait(60)


def _wait_for(server: "subprocess.Popen[bytes]", seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", PORT), timeout=5).close()
            return
        time.sleep(1.0)
    raise RuntimeError(f"the UI did not come up; is port {PORT} free?")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
