"""Which features tell the state of the market: past returns and volatility, known by their names.

Belongs here: the one rule by which GMMRegime and ChangePoint pick their inputs. Does not: how features are computed.
"""

import re
from collections.abc import Sequence

from training_assets.families.base import FitError

VOLATILITY_PATTERN = re.compile(r"volatil|vol_|atr|range|parkinson|garman|rogers|yang|sigma|std|variance|drawdown|width", re.IGNORECASE)
RETURN_PATTERN = re.compile(r"ret|mom|roc|gap", re.IGNORECASE)
NEITHER_PATTERN = re.compile(r"corr|rank|volume", re.IGNORECASE)
"""A correlation of returns, a rank among symbols or a share of volume is not the state of the market."""


def tells_state(feature_names: Sequence[str]) -> bool:
    """Whether any of the features looks like a past return or a volatility."""
    candidates = [name for name in feature_names if not NEITHER_PATTERN.search(name)]
    return any(VOLATILITY_PATTERN.search(name) or RETURN_PATTERN.search(name) for name in candidates)


def state_columns(family: str, feature_names: Sequence[str], wanted: Sequence[str], max_columns: int) -> list[int]:
    """Columns that describe the market's state, volatility first, in the order of the features.

    Parameters
    ----------
    wanted : exact names; empty picks by pattern.
    max_columns : at most so many picked by pattern, at least half of them volatility where there are enough.

    Raises
    ------
    FitError
        A wanted feature is not among the job's, or no feature looks like a past return or a volatility.
    """
    position = {name: column for column, name in enumerate(feature_names)}
    if wanted:
        missing = [name for name in wanted if name not in position]
        if missing:
            raise FitError(
                f"{family}: state feature '{missing[0]}' is not among the {len(position)} features; mend training.hyperparameters.{family}.state_features"
            )
        return [position[name] for name in wanted]
    candidates = {name: column for name, column in position.items() if not NEITHER_PATTERN.search(name)}
    volatility = [column for name, column in candidates.items() if VOLATILITY_PATTERN.search(name)]
    returns = [column for name, column in candidates.items() if RETURN_PATTERN.search(name) and column not in volatility]
    n_returns = min(len(returns), max(max_columns // 2, max_columns - len(volatility)))
    picked = volatility[: max_columns - n_returns] + returns[:n_returns]
    if not picked:
        raise FitError(
            f"{family}: 0 of {len(position)} features look like a past return or a volatility, it needs 1; "
            f"name them in training.hyperparameters.{family}.state_features or leave the family out"
        )
    return sorted(picked)
