"""The course of a net's training as a picture: loss by epoch, on the fitted rows and on the inner rows that stop it.

Belongs here: reading the curves of a model's fit details, and drawing them. Does not: training, or any other picture.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 460, 170, 58, 26, 34
COLOURS = ("#1f66ad", "#c2571a", "#0b7a53", "#6a3fb5")
DASHED = " stroke-dasharray='5 3'"


def loss_curves(fit_details: Mapping[str, Any]) -> dict[str, list[float]]:
    """Curve's name to its loss at each epoch: `inner`, and one a player of the net; empty for a model that has no epochs."""
    inner, players = fit_details.get("inner_loss"), fit_details.get("train_loss")
    if not isinstance(inner, list) or not isinstance(players, Mapping):
        return {}
    single = len(players) == 1
    trained = {"train" if single else f"train {name}": list(values) for name, values in players.items() if values}
    return {"inner": inner, **trained}


def loss_curves_svg(curves: Mapping[str, Sequence[float]], title: str, best_epoch: int = 0) -> str:
    """The curves as lines over epochs, the inner one whole and the others dashed; a rule at the epoch whose weights were kept."""
    n_epochs = max(len(values) for values in curves.values())
    known = np.concatenate([np.asarray(values, float) for values in curves.values()])
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    high = high if high > low else low + 1.0
    parts = [f"<text x='{LEFT}' y='15' font-weight='600'>{escape(title)}</text>"]
    for value in (low, high):
        y = _y(value, low, high)
        parts.append(f"<line x1='{LEFT}' x2='{WIDTH - 10}' y1='{y:.1f}' y2='{y:.1f}' stroke='#cfd5df'/>")
        parts.append(f"<text x='{LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{value:.4g}</text>")
    if best_epoch:
        x = _x(best_epoch, n_epochs)
        parts.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{TOP}' y2='{HEIGHT - BOTTOM}' stroke='#8a93a3' stroke-dasharray='2 3'/>")
    for place, (name, values) in enumerate(curves.items()):
        colour = COLOURS[place % len(COLOURS)]
        points = " ".join(f"{_x(epoch, n_epochs):.1f},{_y(value, low, high):.1f}" for epoch, value in enumerate(values, start=1) if np.isfinite(value))
        parts.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'{'' if name == 'inner' else DASHED}/>")
        parts.append(f"<text x='{LEFT + 90 * place}' y='{HEIGHT - 6}' fill='{colour}'>{escape(name)}</text>")
    parts.append(f"<text x='{WIDTH - 10}' y='{HEIGHT - 6}' text-anchor='end'>{n_epochs} epochs, kept {best_epoch or 'none'}</text>")
    head = f"<svg xmlns='http://www.w3.org/2000/svg' role='img' aria-label='{escape(title, quote=True)}' width='{WIDTH}' height='{HEIGHT}'"
    return f"{head} font-family='system-ui,sans-serif' font-size='11'><rect width='100%' height='100%' fill='#fff'/>{''.join(parts)}</svg>"


def _x(epoch: int, n_epochs: int) -> float:
    return LEFT + (WIDTH - 10 - LEFT) * (epoch - 1) / max(n_epochs - 1, 1)


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value - low) / (high - low)
