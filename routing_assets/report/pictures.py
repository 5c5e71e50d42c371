"""Pictures of a routing as SVG text, for the report's page and for Dagster's metadata alike.

Belongs here: drawing from plain values. Does not: what is drawn (`report`, `plan_summary`), or pages. Every picture names itself for a screen reader, follows
the reader's light or dark scheme, carries a letter where it carries a colour, and escapes every name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from routing_assets.contracts import ROUTES
from training_assets.contracts import Route

LETTERS = {Route.CROSS_SECTIONAL: "P", Route.SYMBOL_SPECIFIC: "L", Route.BOTH: "B", Route.EXPERIMENTAL_ONLY: "E", Route.BLOCKED: "·"}
ROUTE_NAMES = {
    Route.CROSS_SECTIONAL: "pooled",
    Route.SYMBOL_SPECIFIC: "local",
    Route.BOTH: "both",
    Route.EXPERIMENTAL_ONLY: "experimental",
    Route.BLOCKED: "blocked",
}
ROUTE_CLASSES = {route: f"sy-{name}" for route, name in ROUTE_NAMES.items()}
MAX_CELLS = 4_000  # beyond this a cell each is neither readable nor quick to draw: each target is one bar of shares
MAX_SHARE_ROWS = 60
MAX_LABEL = 34
CELL, ROW = 19, 20
CHARACTER, WIDE_CHARACTER = 6.4, 8.2  # at 11 pixels, lower case and capitals, in the widest of the usual system fonts

# One sheet for every picture. Five hues that differ in lightness too; text on each keeps a contrast of 4.5 to 1.
STYLE = (
    ".sy{font:11px ui-sans-serif,system-ui,sans-serif;--ink:#1d2433;--faint:#5d6779;--line:#cfd5df;--ground:#fff;--pooled:#1f66ad;--local:#0b7a53;"
    "--both:#6a3fb5;--experimental:#f0b429;--blocked:#e6e9ee;--on:#fff}"
    "@media(prefers-color-scheme:dark){.sy{--ink:#e8ecf3;--faint:#a3adbd;--line:#3a4353;--ground:#12161d;--pooled:#6db1f2;--local:#4ecb9a;--both:#b99cf5;"
    "--experimental:#f2c14e;--blocked:#2a313d;--on:#10141b}}"
    ".sy text{fill:var(--ink)}.sy .faint{fill:var(--faint)}.sy .on{fill:var(--on);font-weight:600;text-anchor:middle}"
    ".sy .sy-experimental+.on{fill:#10141b}.sy .sy-blocked+.on{fill:var(--faint)}.sy .ground{fill:var(--ground)}"
    ".sy .line{stroke:var(--line);stroke-width:1}.sy .whisker{stroke:var(--pooled);stroke-width:2}.sy .dot{fill:var(--pooled)}"
    ".sy .sy-pooled{fill:var(--pooled)}.sy .sy-local{fill:var(--local)}.sy .sy-both{fill:var(--both)}.sy .sy-experimental{fill:var(--experimental)}"
    ".sy .sy-blocked{fill:var(--blocked)}"
)


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


def route_map_svg(targets: Sequence[str], symbols: Sequence[str], routes: NDArray[np.int8], title: str = "Routes by target and symbol") -> str:
    """Targets down, symbols across, one lettered cell a pair; beyond `MAX_CELLS` pairs one bar of shares a target.

    Parameters
    ----------
    routes : shape (n_targets, n_symbols), positions in `ROUTES`, -1 where a target has no such symbol.
    """
    if routes.size > MAX_CELLS:
        return _shares_svg(targets, routes, title)
    left = _label_width(targets)
    top = 12 + _label_width(symbols, 14)
    parts = []
    for column, symbol in enumerate(symbols):
        x = left + column * CELL + 13
        parts.append(f'<text class="faint" transform="translate({x} {top - 5}) rotate(-90)">{_short(symbol, 14)}</text>')
    for line, target in enumerate(targets):
        y = top + line * CELL
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{_short(target)}</text>')
        for column in np.flatnonzero(routes[line] >= 0).tolist():
            route = ROUTES[routes[line, column]]
            x = left + column * CELL
            name = f'<g data-cell="{line},{column}"><title>{_clean(target)} / {_clean(symbols[column])}: {ROUTE_NAMES[route]}</title>'
            parts.append(f'{name}<rect class="{ROUTE_CLASSES[route]}" x="{x}" y="{y}" width="{CELL - 2}" height="{CELL - 2}" rx="3"/>')
            parts.append(f'<text class="on" x="{x + 8.5}" y="{y + 12.5}">{LETTERS[route]}</text></g>')
    bottom = top + len(targets) * CELL + 8
    legend, width = _legend(left, bottom, routes)
    return _svg(max(left + len(symbols) * CELL + 8, width), bottom + 22, [*parts, *legend], title, _counted(routes))


def forest_plot_svg(rows: Sequence[ForestRow], reference: float, title: str, unit: str = "") -> str:
    """One line a row: its interval as a bar, its value as a dot, and a rule at the reference value; an axis below.

    Rows without a value say so; a value without an interval is a dot alone.
    """
    ends = [end for row in rows for end in (row.low, row.high, row.value) if np.isfinite(end)] + [reference]
    ticks = _ticks(min(ends), max(ends))
    low, high = min(ticks[0], *ends), max(ticks[-1], *ends)
    left, span = _label_width([row.label for row in rows]), 380
    right = left + span + 14

    def place(value: float) -> str:
        return f"{left + span * (value - low) / max(high - low, 1e-12):.1f}"

    bottom = 14 + len(rows) * ROW
    parts = [f'<line class="line" x1="{place(tick)}" x2="{place(tick)}" y1="8" y2="{bottom}" stroke-dasharray="2 3"/>' for tick in ticks]
    parts += [f'<text class="faint" x="{place(tick)}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>' for tick in ticks]
    parts.append(f'<line x1="{place(reference)}" x2="{place(reference)}" y1="6" y2="{bottom}" stroke="var(--faint)"/>')
    for number, row in enumerate(rows):
        y = 18 + number * ROW
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{_short(row.label)}</text>')
        parts.append(f"<g><title>{_clean(row.label)}: {_valued(row)}</title>")
        if np.isfinite(row.low) and np.isfinite(row.high):
            parts.append(f'<line class="whisker" x1="{place(row.low)}" x2="{place(row.high)}" y1="{y}" y2="{y}"/>')
        if np.isfinite(row.value):
            parts.append(f'<circle class="dot" cx="{place(row.value)}" cy="{y}" r="4"/>')
        parts.append("</g>")
        parts.append(f'<text class="faint" x="{right}" y="{y + 4}">{_clean(row.note or _valued(row))}</text>')
    parts.append(f'<text class="faint" x="{left}" y="{bottom + 30}">{_clean(unit)}</text>')
    described = "; ".join(f"{row.label}: {_valued(row)}" for row in rows[:30])
    widest = max((_text_width(row.note or _valued(row)) for row in rows), default=0)
    return _svg(right + int(widest) + 10, bottom + (38 if unit else 22), parts, title, described)


def funnel_svg(start: int, steps: Sequence[FunnelStep], title: str) -> str:
    """A bar a gate, as long as what it leaves of `start`; what it refused stands beside it."""
    lines = [FunnelStep("all", start, 0), *steps]
    left, span = _label_width([step.label for step in lines]), 220
    parts = []
    for number, step in enumerate(lines):
        y = 8 + number * ROW
        width = span * step.n_left / max(start, 1)
        parts.append(f'<text x="{left - 10}" y="{y + 12}" text-anchor="end">{_short(step.label)}</text>')
        parts.append(f'<rect class="sy-blocked" x="{left}" y="{y}" width="{span}" height="{ROW - 5}" rx="3"/>')
        parts.append(f'<rect class="sy-pooled" x="{left}" y="{y}" width="{width:.1f}" height="{ROW - 5}" rx="3"/>')
        refused = f", {step.n_refused:,} refused" if step.n_refused else ""
        parts.append(f'<text class="faint" x="{left + span + 10}" y="{y + 12}">{step.n_left:,} left{refused}</text>')
    described = "; ".join(f"{step.label}: {step.n_left} left, {step.n_refused} refused" for step in lines)
    return _svg(left + span + 160, 16 + len(lines) * ROW, parts, title, described)


def _shares_svg(targets: Sequence[str], routes: NDArray[np.int8], title: str) -> str:
    shown = list(targets[:MAX_SHARE_ROWS])
    left, span = _label_width(shown), 480
    parts = []
    for line, target in enumerate(shown):
        y, x = 10 + line * ROW, float(left)
        counts = np.bincount(routes[line][routes[line] >= 0], minlength=len(ROUTES))
        parts.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{_short(target)}</text>')
        for code in np.flatnonzero(counts).tolist():
            width = span * counts[code] / counts.sum()
            name = f"<title>{_clean(target)}: {ROUTE_NAMES[ROUTES[code]]} {counts[code]:,} of {counts.sum():,}</title>"
            parts.append(f'<g>{name}<rect class="{ROUTE_CLASSES[ROUTES[code]]}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 4}"/>')
            parts.append((f'<text class="on" x="{x + width / 2:.1f}" y="{y + 12}">{counts[code]:,}</text>' if width > 34 else "") + "</g>")
            x += width
    bottom = 14 + len(shown) * ROW
    if len(targets) > len(shown):
        parts.append(f'<text class="faint" x="{left}" y="{bottom + 12}">and {len(targets) - len(shown):,} more targets</text>')
        bottom += 18
    legend, width = _legend(left, bottom, routes)
    return _svg(max(left + span + 10, int(width)), bottom + 22, [*parts, *legend], title, _counted(routes))


def _legend(left: int, top: int, routes: NDArray[np.int8]) -> tuple[list[str], int]:
    """The routes with their counts, and the width that they take."""
    parts, x = [], left
    for code, route in enumerate(ROUTES):
        text = f"{ROUTE_NAMES[route]} {int((routes == code).sum()):,}"
        parts.append(f'<g><rect class="{ROUTE_CLASSES[route]}" x="{x}" y="{top}" width="15" height="15" rx="3"/>')
        parts.append(f'<text class="on" x="{x + 7.5}" y="{top + 11.5}">{LETTERS[route]}</text></g><text x="{x + 20}" y="{top + 11.5}">{text}</text>')
        x += 34 + int(_text_width(text))
    return parts, x


def _counted(routes: NDArray[np.int8]) -> str:
    return ", ".join(f"{ROUTE_NAMES[route]} {int((routes == code).sum()):,}" for code, route in enumerate(ROUTES))


def _svg(width: float, height: float, parts: Sequence[str], title: str, described: str) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="sy" role="img" aria-label="{_clean(title)}: {_clean(described)}" {size}>'
    return f'{head}<style>{STYLE}</style><rect class="ground" width="100%" height="100%"/>{"".join(parts)}</svg>'


def _label_width(labels: Sequence[str], most: int = MAX_LABEL) -> int:
    return 16 + int(max((_text_width(label[:most]) for label in labels), default=0))


def _text_width(text: str) -> float:
    return sum(WIDE_CHARACTER if character.isupper() or ord(character) > 0x2E7F else CHARACTER for character in text)


def _short(text: str, most: int = MAX_LABEL) -> str:
    """Text for a label, cut in its middle and clean."""
    return _clean(text if len(text) <= most else f"{text[: most - 9]}…{text[-8:]}")


def _clean(text: str) -> str:
    """Text escaped for XML; characters that XML forbids or that cannot be seen are shown as a replacement."""
    return escape("".join(character if character.isprintable() else "\ufffd" for character in text))


def _valued(row: ForestRow) -> str:
    if not np.isfinite(row.value):
        return "not computed"
    if not (np.isfinite(row.low) and np.isfinite(row.high)):
        return f"{row.value:+.3f}"
    return f"{row.value:+.3f} ({row.low:+.3f} to {row.high:+.3f})"


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that cover a range."""
    span = max(high - low, 1e-9)
    step = 10.0 ** np.floor(np.log10(span / 4.0))
    step = next(step * factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 7)
    first, last = np.floor(low / step), np.ceil(high / step)
    return [float(f"{number * step:.6g}") for number in np.arange(first, last + 1)]
