"""The nearest change that would flip each pair's route, for all pairs at once.

Belongs here: the columnar form of what `routing_assets.decisions.explain` says of one pair. Does not: text, or any rule of its own: both ask the gates'
states and the policy's table, and a test holds them against each other.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.sections.routing import RoutingConfig
from routing_assets.contracts import REASONS, ROUTES, BoolArray, CodeArray, Decisions, FloatArray, Measure, Mode, ReasonCode, RowArray
from routing_assets.decisions.gates import states_of
from routing_assets.decisions.policy import combine, difference_interval
from routing_assets.decisions.routing_plan import UNWRITTEN
from training_assets.contracts import Route


@dataclass(frozen=True)
class NearestFlips:
    """For each pair the nearest single change of one number that changes its route.

    Attributes
    ----------
    sides : shape (n_pairs,), 0 pooled, 1 local, -1 where no single change flips the pair.
    names : names of measures. measures : shape (n_pairs,), positions in `names`, -1 where there is none.
    outcomes : shape (n_pairs,), positions in `ROUTES` of the route it would be, -1 where there is none.
    distances : shape (n_pairs,), the change over the bound; infinite for words and for numbers that were not computed.
    """

    sides: CodeArray
    names: tuple[str, ...]
    measures: CodeArray
    outcomes: CodeArray
    distances: FloatArray


def nearest_flips(decisions: Decisions, config: RoutingConfig) -> NearestFlips:
    """The first of `explain(...).flips` of every pair, in columns.

    Parameters
    ----------
    config : the settings the decisions were made with.
    """
    n_pairs = decisions.n_pairs
    names = tuple(sorted({measure.name for measure in _measures(decisions)}))
    sides, chosen, results = (np.full(n_pairs, -1, np.int8) for _ in range(3))
    nearest = np.full(n_pairs, np.inf)
    interval = difference_interval(decisions.candidates, decisions.rows)
    leaks = decisions.policy_reasons == REASONS.index(ReasonCode.PAIR_LEAKS)
    harmful = decisions.cs_reasons == REASONS.index(ReasonCode.POOLED_HARMFUL)
    for side, (mode, rows) in enumerate(((Mode.CROSS_SECTIONAL, decisions.pooled_rows), (Mode.SYMBOL_SPECIFIC, decisions.rows))):
        pairs = np.flatnonzero((rows >= 0) & ~leaks & ~(harmful & (mode is Mode.CROSS_SECTIONAL)))
        outcomes = sorted(_one_step_states(decisions, rows[pairs]), key=lambda item: item[0].name)
        for measure, applies, states in outcomes:
            pooled, local = (states, decisions.local_states[pairs]) if side == 0 else (decisions.cs_states[pairs], states)
            routes = combine(pooled, local, config.both_strong_behavior, interval[0][pairs], interval[1][pairs])[0]
            capped = (routes == ROUTES.index(Route.EXPERIMENTAL_ONLY)) & (decisions.policy_reasons[pairs] >= 0)
            distances = _distances(measure, rows[pairs])
            flips = applies & (routes != decisions.routes[pairs]) & ~capped & ((distances < nearest[pairs]) | (results[pairs] < 0))
            nearer = pairs[flips]
            sides[nearer], chosen[nearer] = side, names.index(measure.name)
            results[nearer], nearest[nearer] = routes[flips], distances[flips]
    return NearestFlips(sides, names, chosen, results, nearest)


def _measures(decisions: Decisions) -> Iterator[Measure]:
    for result in decisions.side.gates:
        yield from (measure for measure in result.measures if measure.name != UNWRITTEN)
    yield from decisions.side.lane


def _one_step_states(decisions: Decisions, rows: RowArray) -> list[tuple[Measure, BoolArray, CodeArray]]:
    """Each measure, where it asks anything, and the state a side would have if that one measure came out the other way; shapes (n_rows,)."""
    side = decisions.side
    refusals = side.refusals[:, rows]
    shut = np.stack([~result.lane_open[rows] for result in side.gates])
    steps = []
    for place, result in enumerate(side.gates):
        for measure in result.measures:
            if measure.name == UNWRITTEN:
                continue
            others = np.ones(rows.size, bool)
            for other in result.measures:
                others &= other.passed[rows] | (other is measure)
            changed = refusals.copy()
            changed[place] = measure.passed[rows] | ~others
            asked = np.ones(rows.size, bool) if measure.words else ~np.isnan(measure.bounds[rows])
            states = states_of(np.asarray(changed.any(axis=0)), np.asarray((changed & shut).any(axis=0)), side.in_lane_bounds[rows], side.strong.passed[rows])
            steps.append((measure, asked, states))
    missed = np.stack([~measure.passed[rows] for measure in side.lane])
    one_missed = refusals.any(axis=0) & side.in_lane_reach[rows] & (missed.sum(axis=0) == 1)
    entered = states_of(*(np.full(rows.size, flag) for flag in (True, False, True, False)))
    return steps + [(measure, np.asarray(one_missed & missed[number]), entered) for number, measure in enumerate(side.lane)]


def _distances(measure: Measure, rows: RowArray) -> FloatArray:
    if measure.words:
        return np.full(rows.size, np.inf)
    bounds: NDArray[np.float64] = np.asarray(measure.bounds[rows], float)
    return np.nan_to_num(np.abs(measure.values[rows] - bounds) / np.maximum(np.abs(bounds), 1e-12), nan=np.inf)
