"""Pictures of a routing: well-formed, readable without colour, safe with any name, and small."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.metadata import picture_markdown
from routing_assets.contracts import ROUTES
from routing_assets.report.frame import LETTERS, ROUTE_CLASSES, STYLE
from routing_assets.report.plots import MAX_POINTS, ForestRow, FunnelStep, forest_plot_svg, funnel_svg, shares_svg, sides_plot_svg
from routing_assets.report.route_map import MAX_CELLS, route_map_svg

HOSTILE = '"><script>alert("&\x00\x1b\u202e")</script>'
SVG = "{http://www.w3.org/2000/svg}"
ROUTE_GRID = np.array([[0, 1, 2, 3], [4, -1, 0, 4]], np.int8)


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def pictures() -> list[str]:
    return [
        route_map_svg([HOSTILE, "b"], ["A", HOSTILE, "C", "D"], ROUTE_GRID, HOSTILE),
        route_map_svg([HOSTILE] * 3, ["A"] * MAX_CELLS, np.zeros((3, MAX_CELLS), np.int8), HOSTILE),
        forest_plot_svg([ForestRow(HOSTILE, 0.1, 0.0, 0.2, HOSTILE)], 0.0, HOSTILE, HOSTILE),
        funnel_svg(10, [FunnelStep(HOSTILE, 4, 6)], HOSTILE),
        sides_plot_svg(pd.DataFrame({"route": [str(ROUTES[0])], HOSTILE: [0.1], "y": [0.2]}), HOSTILE, HOSTILE, "y"),
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_picture_is_well_formed_named_for_a_screen_reader_and_escapes_every_name(number):
    root = parsed(pictures()[number])
    assert root.get("role") == "img"
    assert "script" in root.get("aria-label")
    assert not [node for node in root.iter() if node.tag.removeprefix(SVG) == "script"]
    assert "\x00" not in pictures()[number]
    assert "<defs" not in pictures()[number]  # ids would clash on a page of several pictures


def test_the_route_map_has_a_lettered_cell_for_each_pair_and_none_for_a_missing_one():
    root = parsed(route_map_svg(["a", "b"], list("ABCD"), ROUTE_GRID))
    cells = {node.get("data-cell"): node for node in root.iter(f"{SVG}g") if node.get("data-cell")}
    assert set(cells) == {"0,0", "0,1", "0,2", "0,3", "1,0", "1,2", "1,3"}
    for place, node in cells.items():
        line, column = map(int, place.split(","))
        route = ROUTES[ROUTE_GRID[line, column]]
        assert node.find(f"{SVG}text").text == LETTERS[route]
        assert node.find(f"{SVG}rect").get("class") == ROUTE_CLASSES[route]


def test_the_legend_counts_what_the_map_shows():
    text = " ".join(node.text or "" for node in parsed(route_map_svg(["a", "b"], list("ABCD"), ROUTE_GRID)).iter(f"{SVG}text"))
    assert all(entry in text for entry in ("pooled 2", "local 1", "both 1", "experimental 1", "blocked 2"))


def test_a_map_of_a_hundred_thousand_pairs_stays_small():
    svg = route_map_svg([f"t{number}" for number in range(20)], [f"S{number}" for number in range(5_000)], np.ones((20, 5_000), np.int8))
    assert len(svg) < 40_000
    assert "5,000" in svg


def marks(svg: str, kind: str) -> list[ElementTree.Element]:
    """What a plot draws of one kind (rect, rule, symbol, text), layer by layer."""
    return [mark for group in parsed(svg).iter(f"{SVG}g") if (group.get("class") or "").startswith(f"mark-{kind} role-mark") for mark in group]


def place(mark: ElementTree.Element) -> float:
    """Where a mark stands, in pixels from the left of the plot."""
    return float(re.match(r"translate\(([-\d.]+)", mark.get("transform"))[1])


def test_a_forest_row_without_a_value_says_so_and_draws_nothing():
    svg = forest_plot_svg([ForestRow("known", 0.1, 0.05, 0.2), ForestRow("unknown", np.nan, np.nan, np.nan)], 0.0, "t")
    assert len(marks(svg, "symbol")) == 1
    assert "not computed" in [mark.text for mark in marks(svg, "text")]


def test_the_interval_of_a_forest_row_lies_about_its_dot_and_right_of_the_reference():
    svg = forest_plot_svg([ForestRow("a", 0.1, 0.05, 0.2)], 0.0, "t")
    zero, interval = marks(svg, "rule")
    left, right = place(interval), place(interval) + float(interval.get("x2"))
    assert place(zero) < left < place(marks(svg, "symbol")[0]) < right


def test_two_rows_of_one_name_are_two_lines():
    svg = forest_plot_svg([ForestRow("a", 0.1, 0.05, 0.2), ForestRow("a", 0.2, 0.1, 0.3)], 0.0, "t")
    assert len({mark.get("transform").split(",")[1] for mark in marks(svg, "symbol")}) == 2
    assert "a (2)" in "".join(parsed(svg).itertext())


def test_a_funnel_bar_is_as_long_as_what_is_left():
    bars = [mark for mark in marks(funnel_svg(100, [FunnelStep("half", 50, 50), FunnelStep("none", 0, 50)], "t"), "rect") if "pooled" in mark.get("fill")]
    assert [float(re.search(r"h([-\d.]+)", bar.get("d"))[1]) for bar in bars] == [220.0, 110.0, 0.0]


def test_the_shares_of_a_target_fill_its_line_in_the_order_of_the_routes():
    svg = shares_svg(["a"], np.array([[0] * 30 + [4] * 60 + [-1] * 5], np.int8), "t")
    assert [mark.text for mark in marks(svg, "text")] == ["30", "60"]
    assert [mark.get("fill") for mark in marks(svg, "rect")] == ["var(--pooled)", "var(--blocked)"]


def test_a_scatter_draws_pairs_with_both_numbers_in_the_colour_and_shape_of_their_route():
    routes = [str(ROUTES[0]), str(ROUTES[1]), str(ROUTES[4])]
    svg = sides_plot_svg(pd.DataFrame({"route": routes, "before": [0.1, 0.2, np.nan], "after": [0.1, -0.2, 0.0]}), "t", "before", "after")
    drawn = marks(svg, "symbol")
    assert [mark.get("fill") for mark in drawn] == ["var(--pooled)", "var(--local)"]
    assert ["A" in mark.get("d") for mark in drawn] == [True, False]  # a circle and a square
    assert "2 pairs" in parsed(svg).get("aria-label")


def test_a_scatter_of_many_pairs_shows_some_of_them_and_says_so():
    many = 10 * MAX_POINTS
    svg = sides_plot_svg(pd.DataFrame({"route": [str(ROUTES[0])] * many, "x": np.arange(many), "y": np.arange(many)}), "t", "x", "y")
    assert len(marks(svg, "symbol")) == MAX_POINTS
    assert "every 10th pair" in parsed(svg).get("aria-label")
    assert len(svg) < 120_000


@given(st.text(st.characters(codec=None), max_size=60), st.floats(), st.floats())
@settings(max_examples=20, deadline=None)
def test_no_name_and_no_number_breaks_a_plot(name: str, value: float, other: float):
    """The library's own engine ends the process at a control character."""
    assert parsed(forest_plot_svg([ForestRow(name, value, value, other, name)], 0.0, name, name)).get("role") == "img"
    assert parsed(sides_plot_svg(pd.DataFrame({"route": [str(ROUTES[0])], "x": [value], name + "y": [other]}), name, "x", name + "y")).get("role") == "img"


def test_the_same_numbers_give_the_same_bytes():
    assert pictures() == pictures()


def test_empty_pictures_can_be_drawn():
    nothing = pd.DataFrame({"route": [], "x": [], "y": []})
    for svg in (
        route_map_svg([], [], np.zeros((0, 0), np.int8)),
        forest_plot_svg([], 0.0, "t"),
        funnel_svg(0, [], "t"),
        shares_svg([], np.zeros((0, 0), np.int8), "t"),
        sides_plot_svg(nothing, "t", "x", "y"),
    ):
        assert parsed(svg).tag == f"{SVG}svg"


def test_text_on_a_route_colour_is_readable_in_light_and_dark():
    """WCAG contrast of 4.5 to 1 of the cell's letter on its colour, by the relative luminance of sRGB."""
    for block in (STYLE.split("@media")[0], STYLE.split("@media")[1]):
        colours = dict(re.findall(r"--(\w+):(#[0-9a-f]{3,6})", block))
        for name in ("pooled", "local", "both"):
            assert contrast(colours[name], colours["on"]) >= 4.5
        assert contrast(colours["experimental"], "#10141b") >= 4.5
        assert contrast(colours["blocked"], colours["faint"]) >= 4.5
        assert contrast(colours["ground"], colours["faint"]) >= 4.5


def test_a_picture_in_markdown_is_whole():
    svg = funnel_svg(1, [], "t")
    text = picture_markdown(svg, "a] (b")
    assert text.startswith("![a (b](data:image/svg+xml;base64,")
    assert base64.b64decode(text.rpartition(",")[2][:-1]).decode() == svg


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
