"""What every picture of a routing shares: its colours, the names of routes, and the frame that says what is seen.

Belongs here: SVG text around a drawing. Does not: drawing (`plots`, `route_map`). Every picture names itself for a screen reader, follows the reader's light
or dark scheme, carries a letter or a word where it carries a colour, and escapes every name.
"""

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
MAX_LABEL = 34

# One sheet for every picture. Five hues that differ in lightness too; text on each keeps a contrast of 4.5 to 1.
STYLE = (
    ".sy{font:11px ui-sans-serif,system-ui,sans-serif;--ink:#1d2433;--faint:#5d6779;--line:#cfd5df;--ground:#fff;--pooled:#1f66ad;--local:#0b7a53;"
    "--both:#6a3fb5;--experimental:#f0b429;--blocked:#e6e9ee;--on:#fff}"
    "@media(prefers-color-scheme:dark){.sy{--ink:#e8ecf3;--faint:#a3adbd;--line:#3a4353;--ground:#12161d;--pooled:#6db1f2;--local:#4ecb9a;--both:#b99cf5;"
    "--experimental:#f2c14e;--blocked:#2a313d;--on:#10141b}}"
    ".sy text:not([fill]){fill:var(--ink)}.sy text.faint{fill:var(--faint)}.sy text.on{fill:var(--on);font-weight:600;text-anchor:middle}"
    ".sy .sy-experimental+text.on{fill:#10141b}.sy .sy-blocked+text.on{fill:var(--faint)}.sy .ground{fill:var(--ground)}"
    ".sy .sy-pooled{fill:var(--pooled)}.sy .sy-local{fill:var(--local)}.sy .sy-both{fill:var(--both)}.sy .sy-experimental{fill:var(--experimental)}"
    ".sy .sy-blocked{fill:var(--blocked)}"
)


def framed(width: float, height: float, drawing: str, title: str, described: str) -> str:
    """A drawing as a whole SVG document: `title` and `described` are what a screen reader says of it."""
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="sy" role="img" aria-label="{clean(title)}: {clean(described)}" {size}>'
    return f'{head}<style>{STYLE}</style><rect class="ground" width="100%" height="100%"/>{drawing}</svg>'


def counted(routes: NDArray[np.int8]) -> str:
    """Pairs by route in words; `routes` holds positions in `ROUTES`, -1 for none."""
    return ", ".join(f"{ROUTE_NAMES[route]} {int((routes == code).sum()):,}" for code, route in enumerate(ROUTES))


def short(text: str, most: int = MAX_LABEL) -> str:
    """Text for a label, cut in its middle."""
    return printable(text if len(text) <= most else f"{text[: most - 9]}…{text[-8:]}")


def printable(text: str) -> str:
    """Text without characters that XML forbids or that cannot be seen; each is shown as a replacement."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def clean(text: str) -> str:
    """Printable text, escaped for XML."""
    return escape(printable(text))
