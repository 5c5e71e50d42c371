"""Pictures of a routing as SVG text: routes by target and symbol, and pooled scores with their intervals.

Belongs here: drawing. Does not: routes or scores. Colours differ in lightness too, so that the picture reads in grey.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from routing_assets.contracts import RoutingPlan
from training_assets.contracts import Route

COLOURS = {
    Route.BOTH: "#1b4f72",
    Route.CROSS_SECTIONAL: "#2e86c1",
    Route.SYMBOL_SPECIFIC: "#28b463",
    Route.EXPERIMENTAL_ONLY: "#f4d03f",
    Route.BLOCKED: "#e5e7e9",
}
MAX_TARGETS = 40
MAX_SYMBOLS = 150
CELL = 16
LABEL_WIDTH = 240


@dataclass(frozen=True)
class ScoreBar:
    """One score with its interval, and the value that chance gives."""

    label: str
    score: float
    low: float
    high: float
    null: float


def route_picture(plan: RoutingPlan) -> str:
    """Targets down, symbols across, one coloured cell a pair; past 40 targets or 150 symbols the picture says what it leaves out."""
    targets = list(plan.targets)[:MAX_TARGETS]
    symbols = sorted({symbol for target in targets for symbol in plan.targets[target]["symbols"]})
    shown = symbols[:MAX_SYMBOLS]
    top = 90
    parts = []
    for column, symbol in enumerate(shown):
        x = LABEL_WIDTH + column * CELL + 11
        parts.append(f'<text x="{x}" y="{top - 6}" transform="rotate(-60 {x} {top - 6})">{escape(symbol[:12])}</text>')
    for line, target in enumerate(targets):
        y = top + line * CELL
        parts.append(f'<text x="4" y="{y + 12}">{escape(target[:36])}</text>')
        for column, symbol in enumerate(shown):
            pair = plan.targets[target]["symbols"].get(symbol)
            if pair is not None:
                title = f"<title>{escape(target)} / {escape(symbol)}: {pair['route']}</title>"
                x = LABEL_WIDTH + column * CELL
                parts.append(f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="{COLOURS[Route(pair["route"])]}">{title}</rect>')
    bottom = top + len(targets) * CELL + 12
    parts += _legend(bottom)
    left_out = [f"{len(plan.targets) - len(targets)} targets"] * (len(plan.targets) > len(targets))
    left_out += [f"{len(symbols) - len(shown)} symbols"] * (len(symbols) > len(shown))
    if left_out:
        parts.append(f'<text x="4" y="{bottom + 34}">not shown: {" and ".join(left_out)}</text>')
    return _svg(max(LABEL_WIDTH + len(shown) * CELL + 60, 860), bottom + 44, parts)


def score_plot(bars: Sequence[ScoreBar], metric: str) -> str:
    """One row a score: its interval as a line, the score as a dot, chance as a tick; drawn over their common range."""
    ends = [value for bar in bars for value in (bar.low, bar.high, bar.null)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    span = max(high - low, 1e-9)

    def place(value: float) -> float:
        return LABEL_WIDTH + 20 + 480 * (value - low) / span

    parts = [f'<text x="4" y="16">{escape(metric)}, out of sample, {low:.3f} to {high:.3f}; tick: chance</text>']
    for line, bar in enumerate(bars):
        y = 34 + line * 18
        parts.append(f'<text x="4" y="{y + 4}">{escape(bar.label[:36])}</text>')
        parts.append(f'<line x1="{place(bar.low):.1f}" x2="{place(bar.high):.1f}" y1="{y}" y2="{y}" stroke="#2e86c1" stroke-width="2"/>')
        parts.append(f'<line x1="{place(bar.null):.1f}" x2="{place(bar.null):.1f}" y1="{y - 6}" y2="{y + 6}" stroke="#7b7d7d"/>')
        parts.append(f'<circle cx="{place(bar.score):.1f}" cy="{y}" r="4" fill="#1b4f72"/>')
        parts.append(f'<text x="{LABEL_WIDTH + 512}" y="{y + 4}">{bar.score:.3f}</text>')
    return _svg(LABEL_WIDTH + 570, 44 + len(bars) * 18, parts)


def picture_markdown(svg: str, title: str) -> str:
    """A picture inside Markdown that needs no file and no network."""
    return f"![{title}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _legend(y: int) -> list[str]:
    parts = []
    for place, (route, colour) in enumerate(COLOURS.items()):
        x = 4 + place * 168
        parts.append(
            f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/><text x="{x + 17}" y="{y + 11}">{route.removeprefix("ROUTE_").lower()}</text>'
        )
    return parts


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">'
    return f'{head}<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
