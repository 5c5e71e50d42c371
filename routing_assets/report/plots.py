"""Plots of a routing as SVG text, drawn by Altair without a browser, for the report's page and for Dagster's metadata alike.

Belongs here: what is plotted against what. Does not: numbers (`report`, `plan_summary`), frame and colours (`frame`), the route map (`route_map`).
Colours are the names of the frame's style sheet, so that one text follows the reader's light or dark scheme.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routing_assets.contracts import ROUTES
from routing_assets.report.frame import ROUTE_NAMES, counted, framed, printable, short
from training_assets.contracts import Route

if TYPE_CHECKING:
    import altair as alt

MAX_SHARE_ROWS = 60
MAX_POINTS = 500  # beyond this a scatter shows every n-th pair, and says so
ROW = 20
SPARE = 1.7  # pixels a character
FONT = "ui-sans-serif, system-ui, sans-serif"
INK, FAINT, LINE, MARK, EMPTY = "var(--ink)", "var(--faint)", "var(--line)", "var(--pooled)", "var(--blocked)"
TEXT_ON = {Route.EXPERIMENTAL_ONLY: "#10141b", Route.BLOCKED: FAINT}  # as on the route map; on other colours the frame's own


@dataclass(frozen=True)
class ForestRow:
    """One value with its interval, NaN ends where there is none; `note` stands at the right."""

    label: str
    value: float
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True)
class FunnelStep:
    """What is left after one gate, and what it refused."""

    label: str
    n_left: int
    n_refused: int


def forest_plot_svg(rows: Sequence[ForestRow], reference: float, title: str, unit: str = "") -> str:
    """One line a row: its interval as a bar, its value as a dot, and a rule at the reference value; an axis below.

    Rows without a value say so; a value without an interval is a dot alone.
    """
    import altair as alt

    labels = _distinct([row.label for row in rows])
    notes = [row.note or valued(row) for row in rows]
    values = [
        {"label": label, "value": _known(row.value), "low": _known(row.low), "high": _known(row.high), "note": note}
        for label, row, note in zip(labels, rows, notes, strict=True)
    ]
    base = alt.Chart(_data(values)).encode(y=_rows(labels))
    zero = alt.Chart(_data([{"at": reference}])).mark_rule(color=FAINT, aria=False).encode(x="at:Q")
    x = alt.X("value:Q", title=unit or None, axis=alt.Axis(tickCount=6), scale=alt.Scale(zero=False))
    bars = (
        base.mark_rule(color=MARK, strokeWidth=2, aria=False)
        .encode(x=alt.X("low:Q"), x2="high:Q")
        .transform_filter("isValid(datum.low) && isValid(datum.high)")
    )
    dots = base.mark_circle(color=MARK, size=55, opacity=1, aria=False).encode(x=x).transform_filter("isValid(datum.value)")
    words = base.mark_text(align="left", color=FAINT, aria=False).encode(x=alt.value(390), text="note:N")
    plot = alt.layer(zero, bars, dots, words).properties(width=380, height=alt.Step(ROW))
    return _drawn(plot, title, "; ".join(f"{row.label}: {valued(row)}" for row in rows[:30]), labels, notes)


def funnel_svg(start: int, steps: Sequence[FunnelStep], title: str) -> str:
    """A bar a gate, as long as what it leaves of `start`; what it refused stands beside it."""
    import altair as alt

    lines = [FunnelStep("all", start, 0), *steps]
    labels = _distinct([step.label for step in lines])
    notes = [f"{step.n_left:,} left" + (f", {step.n_refused:,} refused" if step.n_refused else "") for step in lines]
    values = [{"label": label, "all": start, "left": step.n_left, "note": note} for label, step, note in zip(labels, lines, notes, strict=True)]
    base = alt.Chart(_data(values)).encode(y=_rows(labels))
    scale = alt.Scale(domain=[0, max(start, 1)], nice=False)
    ground = base.mark_bar(color=EMPTY, height=ROW - 5, aria=False).encode(x=alt.X("all:Q", axis=None, scale=scale))
    bars = base.mark_bar(color=MARK, height=ROW - 5, aria=False).encode(x=alt.X("left:Q", axis=None, scale=scale))
    words = base.mark_text(align="left", color=FAINT, aria=False).encode(x=alt.value(230), text="note:N")
    plot = alt.layer(ground, bars, words).properties(width=220, height=alt.Step(ROW))
    return _drawn(plot, title, "; ".join(f"{step.label}: {step.n_left} left, {step.n_refused} refused" for step in lines), labels, notes)


def shares_svg(targets: Sequence[str], routes: NDArray[np.int8], title: str) -> str:
    """One bar of route shares a target, for more pairs than a map has room for.

    Parameters
    ----------
    routes : shape (n_targets, n_symbols), positions in `ROUTES`, -1 where a target has no such symbol.
    """
    import altair as alt

    labels = _distinct(targets[:MAX_SHARE_ROWS])
    values = []
    for label, line in zip(labels, routes, strict=False):
        counts = np.bincount(line[line >= 0], minlength=len(ROUTES))
        ends = counts.cumsum() / max(int(counts.sum()), 1)
        for code in np.flatnonzero(counts).tolist():
            share = counts[code] / counts.sum()
            values.append(
                {
                    "label": label,
                    "route": ROUTE_NAMES[ROUTES[code]],
                    "low": ends[code] - share,
                    "high": ends[code],
                    "middle": ends[code] - share / 2,
                    "count": f"{counts[code]:,}" if share > 0.07 else "",
                    "on": TEXT_ON.get(ROUTES[code], "var(--on)"),
                }
            )
    base = alt.Chart(_data(values)).encode(y=_rows(labels))
    axis = alt.Axis(format="%", grid=False, title=f"and {len(targets) - len(labels):,} more targets" if len(targets) > len(labels) else None)
    bars = base.mark_bar(height=ROW - 4, aria=False).encode(x=alt.X("low:Q", axis=axis, scale=alt.Scale(domain=[0, 1])), x2="high:Q", color=_route_colour())
    counts_text = base.mark_text(fontWeight=600, aria=False).encode(
        x="middle:Q",
        text="count:N",
        color=alt.Color("on:N", scale=None),
    )
    return _drawn(alt.layer(bars, counts_text).properties(width=480, height=alt.Step(ROW)), title, counted(routes), labels)


def sides_plot_svg(frame: pd.DataFrame, title: str, x: str, y: str) -> str:
    """Pairs as dots, coloured and shaped by route, with the line on which both numbers are the same.

    Parameters
    ----------
    frame : columns `route` and those named by `x` and `y`, whose names are the axes' titles; rows without both numbers are left out.
    """
    import altair as alt

    known = frame[np.isfinite(frame[[x, y]].astype(float)).all(axis=1)]
    step = -(-len(known) // MAX_POINTS) or 1
    shown = known.iloc[::step]
    values = [
        {"x": float(f"{first:.3g}"), "y": float(f"{second:.3g}"), "route": ROUTE_NAMES[Route(route)]}
        for route, first, second in zip(shown["route"], shown[x], shown[y], strict=True)
    ]
    ends = [float(f"{end:.3g}") for end in (*shown[x], *shown[y])] or [0.0]
    scale = alt.Scale(domain=[min(ends), max(ends)], nice=True, zero=False)
    same = alt.Chart(_data([{"at": min(ends)}, {"at": max(ends)}])).mark_line(color=FAINT, strokeDash=[3, 3], aria=False).encode(x="at:Q", y="at:Q")
    dots = (
        alt.Chart(_data(values))
        .mark_point(size=26, filled=True, opacity=0.8, aria=False)
        .encode(
            x=alt.X("x:Q", title=x, axis=alt.Axis(tickCount=6), scale=scale),
            y=alt.Y("y:Q", title=y, scale=scale),
            color=_route_colour(blocked=FAINT),
            shape=_route_shape(),
        )
    )
    every = f", every {step:,}th pair" if step > 1 else ""
    return _drawn(alt.layer(same, dots).properties(width=330, height=260), title, f"{x} against {y}, {len(known):,} pairs{every}")


def valued(row: ForestRow) -> str:
    """The value of a row with its interval, in words."""
    if not np.isfinite(row.value):
        return "not computed"
    if not (np.isfinite(row.low) and np.isfinite(row.high)):
        return f"{row.value:+.3f}"
    return f"{row.value:+.3f} ({row.low:+.3f} to {row.high:+.3f})"


def _drawn(plot: "alt.LayerChart | alt.FacetChart", title: str, described: str, labels: Sequence[str] = (), notes: Sequence[str] = ()) -> str:
    """A plot in the frame, its drawing taken out of the document that the library writes.

    `labels` stand at its left and `notes` at its right: room is added for readers whose font is wider than the one that the library measures with.
    """
    import vl_convert

    left, right = (8 + SPARE * max(map(len, texts), default=0) for texts in (labels, notes))
    padding = {"left": left, "right": right, "top": 8, "bottom": 8}
    themed = plot.configure(background="transparent", font=FONT, padding=padding).configure_view(stroke=None)
    themed = themed.configure_axis(
        labelColor=FAINT,
        titleColor=FAINT,
        gridColor=LINE,
        gridDash=[2, 3],
        domainColor=LINE,
        tickColor=LINE,
        labelFontSize=11,
        titleFontSize=11,
        titleFontWeight="normal",
    ).configure_axisY(labelLimit=0)
    themed = themed.configure_legend(labelColor=INK, titleColor=FAINT, labelFontSize=11).configure_text(fontSize=11)
    document = vl_convert.vegalite_to_svg(_harmless(themed.to_dict()))
    size = re.match(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"[^>]*>', document)
    assert size is not None, document[:200]
    return framed(float(size[1]), float(size[2]), _compact(document[size.end() :].removesuffix("</svg>")), title, described)


def _harmless(spec: Any) -> Any:
    """A specification whose every text is printable: the library ends the whole process at a control character."""
    if isinstance(spec, dict):
        return {key: _harmless(value) for key, value in spec.items()}
    if isinstance(spec, list):
        return [_harmless(value) for value in spec]
    return printable(spec) if isinstance(spec, str) else spec


def _compact(drawing: str) -> str:
    """The drawing in half the bytes: tenths of a pixel, and nothing that says what is so anyway."""
    drawing = re.sub(r'<path class="(?:background|foreground)"[^>]*/>|<text[^>]*opacity="0">[^<]*</text>', "", drawing)
    drawing = re.sub(r' (?:opacity="1"|pointer-events="none"|stroke-miterlimit="10"|font-size="11px"|font-weight="normal"|font-family="[^"]*")', "", drawing)
    return re.sub(r"\d+\.\d{2,}(?![^<>]*<)", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), drawing)


def _data(values: list[dict[str, Any]]) -> "alt.InlineData":
    import altair as alt

    return alt.InlineData(values=values)


def _rows(labels: Sequence[str]) -> "alt.Y":
    """One line a label, in the order given."""
    import altair as alt

    return alt.Y("label:N", sort=list(labels), title=None, axis=alt.Axis(domain=False, ticks=False, labelColor=INK, labelPadding=8, grid=False))


def _route_colour(blocked: str = EMPTY) -> "alt.Color":
    import altair as alt

    names = list(ROUTE_NAMES.values())
    return alt.Color(
        "route:N",
        title=None,
        scale=alt.Scale(domain=names, range=[*(f"var(--{name})" for name in names[:-1]), blocked]),
        legend=alt.Legend(orient="bottom", columnPadding=30),
    )


def _route_shape() -> "alt.Shape":
    import altair as alt

    return alt.Shape("route:N", title=None, scale=alt.Scale(domain=list(ROUTE_NAMES.values()), range=["circle", "square", "diamond", "triangle-up", "cross"]))


def _known(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _distinct(labels: Sequence[str]) -> list[str]:
    """Short labels; a repeated one is numbered, since a line is found by its label."""
    seen: Counter[str] = Counter()
    found = []
    for label in map(short, labels):
        seen[label] += 1
        found.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return found
