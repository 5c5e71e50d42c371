"""The report's page as a person meets it: without a network, by keyboard alone, on a narrow screen, in the dark, and with a hundred thousand pairs."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from routing_assets.report.html_page import report_html
from tests.browser.chromium import chromium
from tests.report_samples import random_report

READY = "document.getElementById('count').textContent.includes(' of ')"
# From the start of the navigation until every picture and the first rows stand, in seconds, as the page's own clock says.
READY_SECONDS = f"() => new Promise(done => {{ const look = () => {READY} ? done(performance.now() / 1000) : setTimeout(look, 5); look(); }})"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 symbols by 20 targets."""
    return written(tmp_path_factory, tuple(f"forward_return_{number}_1b" for number in range(20)), tuple(f"S{number:02d}" for number in range(60)))


def written(factory: pytest.TempPathFactory, targets: tuple[str, ...], symbols: tuple[str, ...], scored: bool = True) -> Path:
    path = factory.mktemp("report") / "routing_report.html"
    path.write_text(report_html(random_report(targets, symbols, scored)), encoding="utf-8")
    return path


def opened(browser: Browser, path: Path, scheme: str = "light", width: int = 1280) -> tuple[Page, list[str]]:
    """The page without a network, and what it complained of or asked for."""
    context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": width, "height": 900})
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url != f"file://{path}" else None)
    page.goto(f"file://{path}")
    page.wait_for_function(READY)
    return page, complaints


def test_twelve_hundred_pairs_open_in_under_a_second_and_ask_for_nothing(browser: Browser, usual: Path) -> None:
    page, complaints = opened(browser, usual)
    seconds = []
    for _ in range(3):
        page.reload()
        seconds.append(page.evaluate(READY_SECONDS))
    assert min(seconds) < 1.0, f"{seconds} s: 60 x 20 pairs have to open in under a second"
    assert complaints == []


def test_a_hundred_thousand_pairs_stay_usable(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = written(
        tmp_path_factory, tuple(f"forward_return_{number}_1b" for number in range(20)), tuple(f"S{number:04d}" for number in range(5_000)), scored=False
    )
    page, complaints = opened(browser, path)
    assert page.evaluate(READY_SECONDS) < 8.0
    began = time.perf_counter()
    page.fill("#by-symbol", "S4321")
    page.wait_for_function("document.getElementById('count').textContent.startsWith('20 of 100,000')")
    page.get_by_role("link", name="Evidence on forward_return_3_1b and S4321").click()
    assert page.get_by_role("dialog").get_by_text("The symbol's own side").is_visible()
    assert time.perf_counter() - began < 4.0
    assert complaints == []


def test_the_keyboard_alone_opens_a_pair_and_comes_back_to_where_it_was(browser: Browser, usual: Path) -> None:
    page, _ = opened(browser, usual)
    row = page.get_by_role("link", name="Evidence on forward_return_0_1b and S03")
    row.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="forward_return_0_1b / S03")
    dialog.wait_for()
    assert "nearest change" in dialog.inner_text().lower() or "No single change" in dialog.inner_text()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert row.evaluate("node => node === document.activeElement")


def test_a_target_has_a_page_that_can_be_linked_to_and_lists_its_pairs(browser: Browser, usual: Path) -> None:
    page, _ = opened(browser, usual)
    page.evaluate("location.hash = '#target=forward_return_7_1b'")
    dialog = page.get_by_role("dialog", name="forward_return_7_1b")
    dialog.get_by_text("The pooled side").wait_for()
    dialog.get_by_role("button", name="Show its pairs").click()
    assert page.locator("#count").inner_text() == "60 of 1,200 pairs"


def test_a_cell_of_the_map_opens_its_pair(browser: Browser, usual: Path) -> None:
    page, _ = opened(browser, usual)
    cell = page.locator('[data-cell="2,5"]')
    pair = cell.locator("title").text_content().split(":")[0]
    cell.click()
    page.get_by_role("dialog", name=pair).wait_for(timeout=5_000)


def test_a_narrow_screen_scrolls_tables_and_never_the_page(browser: Browser, usual: Path) -> None:
    page, _ = opened(browser, usual, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.evaluate("location.hash = '#target=forward_return_0_1b&symbol=S01'")
    page.get_by_role("dialog").wait_for()
    assert page.evaluate("document.getElementById('evidence').scrollWidth <= 360")


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_page_and_pictures_follow_the_scheme_of_the_reader(browser: Browser, usual: Path, scheme: str, dark: bool) -> None:
    page, _ = opened(browser, usual, scheme)
    grounds = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, ...[...document.querySelectorAll('svg .ground')].map(node => getComputedStyle(node).fill)]"
    )
    assert len(grounds) > 5
    for ground in grounds:
        assert (max(map(int, ground.removeprefix("rgb(").removesuffix(")").split(", "))) < 60) is dark


def test_paper_gets_the_whole_report_or_the_page_that_is_open(browser: Browser, usual: Path) -> None:
    page, _ = opened(browser, usual)
    whole = page.pdf()
    page.evaluate("location.hash = '#target=forward_return_0_1b&symbol=S01'")
    page.get_by_role("dialog").wait_for()
    assert len(whole) > 2 * len(page.pdf()) > 10_000
