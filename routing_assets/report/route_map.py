"""The route map as SVG text: one lettered cell a pair, for the report's page, Dagster's metadata and the documentation alike.

Belongs here: the map's own drawing, which a plotting library writes ten times as large. Does not: plots (`plots`), colours and frame (`frame`), or the plan.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from routing_assets.contracts import ROUTES
from routing_assets.report.frame import LETTERS, MAX_LABEL, ROUTE_CLASSES, ROUTE_NAMES, clean, counted, framed, short
from routing_assets.report.plots import shares_svg

MAX_CELLS = 4_000  # beyond this a cell each is neither readable nor quick to draw: each target is one bar of shares
CELL = 19
CHARACTER, WIDE_CHARACTER = 6.4, 8.2  # at 11 pixels, lower case and capitals, in the widest of the usual system fonts


def route_map_svg(targets: Sequence[str], symbols: Sequence[str], routes: NDArray[np.int8], title: str = "Routes by target and symbol") -> str:
    """Targets down, symbols across, one lettered cell a pair; beyond `MAX_CELLS` pairs one bar of shares a target.

    Parameters
    ----------
    routes : shape (n_targets, n_symbols), positions in `ROUTES`, -1 where a target has no such symbol.
    """
    if routes.size > MAX_CELLS:
        return shares_svg(targets, routes, title)
    left = _label_width(targets)
    top = 12 + _label_width(symbols, 14)
    parts = []
    for column, symbol in enumerate(symbols):
        x = left + column * CELL + 13
        parts.append(f'<text class="faint" transform="translate({x} {top - 5}) rotate(-90)">{clean(short(symbol, 14))}</text>')
    for line, target in enumerate(targets):
        y = top + line * CELL
        parts.append(f'<text data-target="{line}" x="{left - 8}" y="{y + 13}" text-anchor="end">{clean(short(target))}</text>')
        for column in np.flatnonzero(routes[line] >= 0).tolist():
            route = ROUTES[routes[line, column]]
            x = left + column * CELL
            name = f'<g data-cell="{line},{column}"><title>{clean(target)} / {clean(symbols[column])}: {ROUTE_NAMES[route]}</title>'
            parts.append(f'{name}<rect class="{ROUTE_CLASSES[route]}" x="{x}" y="{y}" width="{CELL - 2}" height="{CELL - 2}" rx="3"/>')
            parts.append(f'<text class="on" x="{x + 8.5}" y="{y + 12.5}">{LETTERS[route]}</text></g>')
    bottom = top + len(targets) * CELL + 8
    legend, width = _legend(left, bottom, routes)
    return framed(max(left + len(symbols) * CELL + 8, width), bottom + 22, "".join([*parts, *legend]), title, counted(routes))


def _legend(left: int, top: int, routes: NDArray[np.int8]) -> tuple[list[str], int]:
    """The routes with their counts, and the width that they take."""
    parts, x = [], left
    for code, route in enumerate(ROUTES):
        text = f"{ROUTE_NAMES[route]} {int((routes == code).sum()):,}"
        parts.append(f'<g><rect class="{ROUTE_CLASSES[route]}" x="{x}" y="{top}" width="15" height="15" rx="3"/>')
        parts.append(f'<text class="on" x="{x + 7.5}" y="{top + 11.5}">{LETTERS[route]}</text></g><text x="{x + 20}" y="{top + 11.5}">{text}</text>')
        x += 34 + int(_text_width(text))
    return parts, x


def _label_width(labels: Sequence[str], most: int = MAX_LABEL) -> int:
    return 16 + int(max((_text_width(label[:most]) for label in labels), default=0))


def _text_width(text: str) -> float:
    return sum(WIDE_CHARACTER if character.isupper() or ord(character) > 0x2E7F else CHARACTER for character in text)
