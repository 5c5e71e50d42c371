"""Standard indicators from TA-Lib, one symbol after the other.

Belongs here: the way from bars to TA-Lib and back. Does not: which indicators are features (`trend`, `oscillators`, `volatility`).
"""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from training_assets.panel.features.rolling import FloatVector
from training_assets.panel.features.view import BarView

# Weight below which a bar counts as forgotten by TA-Lib's recursive smoothing, whose windows never end. Ten times smaller than where our own end,
# so that a wild bar before the stated look-back does not show in float32's leading digits.
RECURSION_FORGOTTEN = 1e-5


def indicator(
    function: str, inputs: tuple[str, ...], *, output: int = 0, scale: float = 1.0, centre: float = 0.0, flat_bars: int | None = None, **params: int
) -> Callable[[BarView], FloatVector]:
    """A formula that applies one TA-Lib function to every symbol.

    Parameters
    ----------
    function : its name, for instance `RSI`.
    inputs : bar columns in the order of its arguments.
    output : which result, where it has several.
    scale, centre : the value becomes `(value - centre) / scale`.
    flat_bars : over a window of so many bars without any range the function divides zero by zero and TA-Lib answers 0, which would
        read as an extreme; the value is NaN there.
    params : its own parameters, in bars.
    """

    def compute(view: BarView) -> FloatVector:
        values = (_by_symbol(view, function, inputs, output, params) - centre) / scale
        if flat_bars is not None:
            values[view.maximum(view.high, flat_bars) <= view.minimum(view.low, flat_bars)] = np.nan
        return values

    return compute


def recursion_bars(decay: float, times: int = 1) -> int:
    """Age at which a bar's share in an exponential mean taken `times` times over has fallen below `RECURSION_FORGOTTEN`.

    The weights of the mean of a mean are negative binomial; what lies beyond the age is their tail, summed.
    """
    remaining, age = 1.0, 0
    while remaining >= RECURSION_FORGOTTEN:
        remaining -= math.comb(age + times - 1, times - 1) * decay**age * (1.0 - decay) ** times
        age += 1
    return age


def _by_symbol(view: BarView, function: str, inputs: tuple[str, ...], output: int, params: dict[str, int]) -> FloatVector:
    import talib

    apply = getattr(talib, function)
    columns = [view.column(name) for name in inputs]
    values = np.full(view.bars.n_rows, np.nan)
    offsets = view.bars.symbol_offsets
    for start, stop in pairwise(offsets):
        result = apply(*(np.ascontiguousarray(column[start:stop]) for column in columns), **params)
        values[start:stop] = result[output] if isinstance(result, tuple) else result
    return values
