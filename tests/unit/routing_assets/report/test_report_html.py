"""The report's page: parses, asks for nothing, escapes every name, carries every pair, and stays small."""

import base64
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import orjson
import pandas as pd
import pytest

from routing_assets.contracts import ROUTES
from routing_assets.decisions.explain import explain
from routing_assets.report.html_page import SECTIONS, report_html
from routing_assets.report.page_data import NOT_ASKED, page_data, rounded
from tests.report_samples import random_report

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&"
VOID = {"meta", "link", "input", "br", "img", "hr"}
BOARD = pd.DataFrame(
    [(HOSTILE, None, "LightGBM", "rank_ic", 0.1, 0.05, 0.15), (HOSTILE, "A", "Ridge", "rank_ic", 0.08, np.nan, np.nan)],
    columns=["target", "symbol", "family", "metric", "score", "ci_low", "ci_high"],
)


class Page(HTMLParser):
    """Collects tags and attributes and fails on a tag that closes what is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.text[self.tags[-1][1].get("id") or "script"] = data


@pytest.fixture(scope="module")
def report():
    return random_report((HOSTILE, "value_3b"), ("A", HOSTILE, *(f"S{number:02d}" for number in range(30))), leaderboard=BOARD)


@pytest.fixture(scope="module")
def html(report):
    return report_html(report)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def unpacked(page: Page) -> dict:
    return orjson.loads(zlib.decompress(base64.b64decode(page.text["data"])))


def test_the_page_is_well_formed_with_one_heading_a_section(page):
    assert page.open == []
    assert [attributes["href"] for tag, attributes in page.tags if tag == "a" and attributes["href"] != "#main"] == [f"#{name}" for name, *_ in SECTIONS]
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    labels = {attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes}
    assert labels <= set(ids)
    assert sum(tag == "h2" for tag, _ in page.tags) == len(SECTIONS)


def test_the_page_asks_for_nothing(html, page):
    asking = {"src", "srcset", "data", "action", "formaction", "poster", "background", "ping"}
    assert not [name for _, attributes in page.tags for name in attributes if name in asking]
    assert all(attributes["href"].startswith("#") for tag, attributes in page.tags if "href" in attributes)
    assert not [tag for tag, _ in page.tags if tag in {"link", "iframe", "object", "embed", "base", "img"}]
    addresses = set(re.findall(r"""https?://[^"'\s)]+""", html))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name of the SVG language, which nothing fetches
    assert "url(" not in html
    assert "xlink:" not in html
    assert "@import" not in html
    policy = next(attributes["content"] for _, attributes in page.tags if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_hostile_names_stay_text(page):
    assert sum(tag == "script" for tag, _ in page.tags) == 2
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert HOSTILE in unpacked(page)["symbols"]


def test_every_table_has_a_caption_and_headed_columns_and_rows(page):
    names = [tag for tag, _ in page.tags]
    assert names.count("table") == names.count("caption") > 6
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in page.tags if tag == "th")


def test_the_page_knows_light_dark_paper_and_reduced_motion(html):
    for query in ("prefers-color-scheme: dark", "prefers-reduced-motion", "@media print", "max-width: 600px"):
        assert query in html


def test_the_script_sets_names_as_text_only(page):
    assert "textContent" in page.text["script"]
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "XMLHttpRequest"):
        assert sink not in page.text["script"]


def test_the_page_carries_every_pair_with_its_route_and_its_numbers(report, page):
    data = unpacked(page)
    routes = [data["routes"][code]["code"] for code in data["pairs"]["route"]]
    assert routes == report.table["route"].tolist()
    names = [(data["targets"][target], data["symbols"][symbol]) for target, symbol in zip(data["pairs"]["target"], data["pairs"]["symbol"], strict=True)]
    assert names == list(zip(report.table["target"], report.table["symbol"], strict=True))
    regret = [np.nan if value is None else value for value in data["pairs"]["holdout_regret"]]
    assert np.allclose(regret, report.table["regret"], rtol=1e-3, equal_nan=True)


def test_the_evidence_of_a_pair_is_what_its_explanation_says(report):
    data = page_data(report)
    for pair in range(0, len(report.table), 7):
        row = report.table.iloc[pair]
        told = explain(report.decisions, report.config.routing, row["target"], row["symbol"])
        for side, measures, place in (("SYMBOL_SPECIFIC", data["local"], pair), ("CROSS_SECTIONAL", data["pooled"], int(data["pairs"]["target"][pair]))):
            shown = {(one["gate"], one["name"]): one for one in measures if one["passed"][place] != NOT_ASKED}
            # What the policy holds beside the gates belongs to the pair, whichever side it speaks of.
            expected = {
                (number.gate, number.name): number
                for number in told.numbers
                if side == ("SYMBOL_SPECIFIC" if number.gate in ("POOLED_HARMFUL", "EVIDENCE") else number.side)
            }
            assert set(shown) == set(expected)
            for key, number in expected.items():
                one = shown[key]
                bound = one["bounds"][0 if one["bound"] is None else one["bound"][place]]
                assert bool(one["passed"][place]) == number.passed
                assert bound == (number.bound if one["words"] else pytest.approx(number.bound, rel=1e-3))
                if one["words"] and number.value is not None:
                    assert one["words"][one["value"][place]] == number.value


def test_an_empty_leaderboard_and_an_unscored_holdout_make_a_page_too():
    text = report_html(random_report(("t_1b",), ("A", "B"), scored=False))
    assert Page(text).open == []
    assert "No model of this plan has been trained yet." in text
    assert "none scored" in text


def test_a_hundred_thousand_pairs_make_a_page_of_a_few_megabytes():
    big = random_report(tuple(f"forward_return_{number}_1b" for number in range(20)), tuple(f"S{number:04d}" for number in range(5_000)), scored=False)
    text = report_html(big)
    assert len(text) < 8_000_000
    assert text.count("<") < 4_000  # the pairs are not elements until somebody looks at them
    assert len(unpacked(Page(text))["pairs"]["route"]) == 100_000


def test_a_usual_report_is_under_half_a_megabyte():
    text = report_html(random_report(tuple(f"target_{number}_1b" for number in range(20)), tuple(f"S{number:02d}" for number in range(60))))
    assert len(text) < 500_000


def test_rounding_keeps_four_digits_and_nulls():
    values = rounded(np.array([0.123456, -98765.4, 0.0, np.nan, 1e-12]))
    assert values[:3].tolist() == pytest.approx([0.1235, -98770.0, 0.0])
    assert np.isnan(values[3])
    assert values[4] == pytest.approx(1e-12)


def test_every_route_has_a_tile(html):
    assert html.count('class="tile ') == len(ROUTES)
