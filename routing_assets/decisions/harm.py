"""Where a pooled model harms a symbol: its score there is below the null with confidence.

Belongs here: the upper bound of the pooled score on a symbol, and the null it is held against, for tables that state them and for tables that state
only what they follow from. Does not: what a harmful pooled side means for the route (`policy`).
"""

import numpy as np
from scipy import special

from config.sections.base import TaskType
from config.sections.routing import RoutingConfig
from routing_assets.contracts import VOCABULARIES, BoolArray, Candidates, FloatArray
from training_assets.metrics import SCORE_NULLS

UPPER_BOUND = "pooled_score_on_symbol_ci_high"
TABLE_CONFIDENCE = 0.95  # of the two-sided intervals in somebody else's table


def pooled_upper_bounds(candidates: Candidates, config: RoutingConfig) -> FloatArray:
    """One-sided upper bound of the pooled score on each row's symbol, at `routing.harmful_confidence`.

    The table's own where it has one. Else from `pooled_score_on_symbol`, with the standard error of the row's own score, which is of the same metric on
    the same rows; where the row has no interval, with the error that a score of chance has over `n_effective` rows.

    Returns
    -------
    shape (n_rows,), in units of the row's score; NaN where the pooled score on the symbol, or both its sources of error, are not known.
    """
    level = float(special.ndtri(config.harmful_confidence))
    half_width = 0.5 * (candidates.numbers("score_ci_high") - candidates.numbers("score_ci_low"))
    errors = half_width / float(special.ndtri(0.5 + 0.5 * TABLE_CONFIDENCE))
    with np.errstate(divide="ignore"):
        at_chance = 1.0 / np.sqrt(np.where(_is_regression(candidates), 1.0, 3.0) * candidates.numbers("n_effective"))
    derived = candidates.numbers("pooled_score_on_symbol") + level * np.where(np.isnan(errors), at_chance, errors)
    stated = candidates.numbers(UPPER_BOUND)
    return np.asarray(np.where(np.isnan(stated), derived, stated))


def score_nulls(candidates: Candidates) -> FloatArray:
    """The score of no skill, shape (n_rows,): the table's, else that of the row's task; NaN where neither is stated."""
    tasks = VOCABULARIES["task_type"]
    of_task = np.array([SCORE_NULLS[TaskType(task)] for task in tasks] + [np.nan])
    stated = candidates.numbers("score_null")
    return np.asarray(np.where(np.isnan(stated), of_task[candidates.words("task_type")], stated))


def harmful_rows(candidates: Candidates, config: RoutingConfig) -> BoolArray:
    """Shape (n_rows,), True on the rows of pairs whose pooled score is below the null with confidence.

    The null is the pair's own, since the pooled score on a symbol is measured as the local one is.
    """
    return np.asarray(candidates.local & (pooled_upper_bounds(candidates, config) < score_nulls(candidates)))


def _is_regression(candidates: Candidates) -> BoolArray:
    return np.asarray(candidates.words("task_type") == VOCABULARIES["task_type"].index(TaskType.REGRESSION))
