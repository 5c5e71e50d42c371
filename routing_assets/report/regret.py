"""What the routes were worth on the holdout, held against the same choice for every pair and against the best choice in hindsight.

Belongs here: means over pairs with their intervals. Does not: the scores (`holdout_scores`), or text (`report`).

Scores of different metrics are averaged as *skill*, the distance from the null as a share of the distance to a perfect score. Pairs are not independent:
they live through the same days. A mean's error therefore sums the influence of all pairs at a time first, and takes the variance over time
(Bartlett weights over the longest label), so that twenty symbols in one falling week count as one falling week. The interval says how the
mean would differ over another stretch of time like this one. Best in hindsight is the maximum of three noisy numbers: regret is above zero even
where nothing is left to gain, the more so the shorter the holdout. Differences from a fixed choice have no such bias.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from config.sections.scoring import ScoringConfig
from routing_assets.contracts import ROUTES, STATES, Decisions
from routing_assets.evidence.holdout_scores import SIDES, HoldoutScores
from training_assets.contracts import Route
from training_assets.contributions import MIN_ROWS_A_SEGMENT
from training_assets.uncertainty import table_from_influence

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

# The side whose score a route gets; the experimental lane trains the local model, and a blocked pair gets nothing.
SIDE_OF_ROUTE = {Route.CROSS_SECTIONAL: 0, Route.SYMBOL_SPECIFIC: 1, Route.BOTH: 2, Route.EXPERIMENTAL_ONLY: 1, Route.BLOCKED: -1}
FIXED = ("pooled", "local", "both")  # the fixed choices, in the order of `SIDES`
MEAN_COLUMNS = ("group_kind", "group", "quantity", "mean", "ci_low", "ci_high", "n_pairs")
CONTRAST = "STRONG minus WEAK_BUT_OK"
MAX_TIME_BLOCKS = 4096


@dataclass(frozen=True)
class Mean:
    """A mean over pairs, in skill, with its interval; NaN where not computed, `n_pairs` 0 where there are none."""

    value: float
    low: float
    high: float
    n_pairs: int

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies on that side of zero, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def text(self) -> str:
        """As `+0.0123 (+0.0010 to +0.0236)`, as far as it is known."""
        if not np.isfinite(self.value):
            return "not computed"
        if not (np.isfinite(self.low) and np.isfinite(self.high)):
            return f"{self.value:+.4f} (too little time for an interval)"
        return f"{self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


@dataclass(frozen=True)
class RoutingResults:
    """The holdout by pair, and means over pairs.

    Attributes
    ----------
    pairs : one row a pair of the decisions, in their order; see `routing_assets.report.report.REPORT_COLUMNS`.
    means : columns `MEAN_COLUMNS`; group kinds `all`, `route`, `target` over routed pairs on which all three sides have a score, `blocked` over blocked
        ones, and `cs_state`, `local_state` over pairs of a state. `mean` in skill; interval null where there is too little time to tell.
    """

    pairs: pd.DataFrame
    means: pd.DataFrame


def mean_of(means: pd.DataFrame, kind: str, group: str, quantity: str) -> Mean:
    """One row of `RoutingResults.means`."""
    found = means[(means["group_kind"] == kind) & (means["group"] == group) & (means["quantity"] == quantity)]
    if found.empty:
        return Mean(np.nan, np.nan, np.nan, 0)
    row = found.to_dict("records")[0]
    return Mean(row["mean"], row["ci_low"], row["ci_high"], row["n_pairs"])


@dataclass
class _Running:
    """Sum over pairs so far of a quantity and of its influence by block of time; `reach` is the longest label in blocks."""

    by_time: Floats
    present: NDArray[np.bool_]
    total: float = 0.0
    n_pairs: int = 0
    reach: int = 1


@dataclass
class _Ledger:
    """Every running mean, and how holdout time is cut into blocks."""

    first_code: int
    n_times: int
    groups: dict[tuple[str, str, str], _Running] = field(default_factory=dict)

    @property
    def width(self) -> int:
        return -(-self.n_times // MAX_TIME_BLOCKS)

    def add(self, group: "_Group", total: float, by_time: Floats, present: NDArray[np.bool_], horizon_bars: int) -> None:
        """Count the pairs of a target that belong to a group, with their influence by block."""
        key = (group.kind, group.name, group.quantity)
        one = self.groups.setdefault(key, _Running(np.zeros(by_time.size), np.zeros(by_time.size, bool)))
        one.by_time += by_time
        one.present |= present
        one.total += total
        one.n_pairs += int(group.mask.sum())
        one.reach = max(one.reach, -(-horizon_bars // self.width))

    @property
    def n_blocks(self) -> int:
        return -(-self.n_times // self.width)


@dataclass(frozen=True)
class _Group:
    """The symbols of a target (`mask`) that enter one mean, and the weights of the three sides that make its quantity, shape (3, n_symbols)."""

    kind: str
    name: str
    quantity: str
    weights: Floats
    mask: NDArray[np.bool_]


def measure_routing(
    decisions: Decisions, holdout: Iterable[HoldoutScores], symbols: tuple[str, ...], span: tuple[int, int], scoring: ScoringConfig
) -> RoutingResults:
    """Hold every pair's route against the alternatives on the holdout.

    Parameters
    ----------
    holdout : scores by target; a target of the decisions that is not among them has nulls.
    symbols : names of the panel, in the order of the scores.
    span : first time code of the holdout and the one after its last.
    """
    ledger = _Ledger(span[0], max(span[1] - span[0], 1))
    candidates = decisions.candidates
    pair_targets = candidates.target_codes[decisions.rows]
    position = {name: code for code, name in enumerate(symbols)}
    place_of = np.array([position.get(name, -1) for name in candidates.symbols], np.int64)
    pair_symbols = place_of[candidates.symbol_codes[decisions.rows]] if decisions.n_pairs else np.zeros(0, np.int64)
    frame = _empty_pairs(decisions)
    for scores in holdout:
        if scores.info.name not in candidates.targets:
            continue
        pairs = np.flatnonzero((pair_targets == candidates.targets.index(scores.info.name)) & (pair_symbols >= 0))
        target = _Target(scores, decisions, pairs, pair_symbols[pairs])
        target.write(frame)
        target.count(ledger)
    return RoutingResults(pd.DataFrame(frame), _means(ledger, scoring))


class _Target:
    """One target's pairs on the holdout, as arrays over the panel's symbols."""

    def __init__(self, scores: HoldoutScores, decisions: Decisions, pairs: Codes, places: Codes) -> None:
        n_symbols = scores.score.shape[1]
        side_of_route = np.array([SIDE_OF_ROUTE[Route(route)] for route in ROUTES])
        self.scores, self.pairs, self.places = scores, pairs, places
        self.route, self.cs_state, self.local_state = (np.full(n_symbols, -1, np.int64) for _ in range(3))
        self.route[places], self.cs_state[places], self.local_state[places] = (
            decisions.routes[pairs],
            decisions.cs_states[pairs],
            decisions.local_states[pairs],
        )
        self.routed = np.where(self.route >= 0, side_of_route[self.route], -1)
        self.best = np.where(np.isfinite(scores.score).any(axis=0), np.nan_to_num(scores.score, nan=-np.inf).argmax(axis=0), -1)

    def write(self, frame: dict[str, NDArray[np.generic]]) -> None:
        """Fill this target's pairs into the columns of the table."""
        scores, places = self.scores, self.places
        routed, best = _picked(scores.score, self.routed), _picked(scores.score, self.best)
        n_rows = scores.n_rows.max(axis=0)
        columns: dict[str, NDArray[np.generic]] = {
            "n_rows": n_rows.astype(float),
            "n_effective": np.where(n_rows > 0, _largest(scores.n_effective), np.nan),
            "score_pooled": scores.score[0],
            "score_local": scores.score[1],
            "score_both": scores.score[2],
            "score_routed": routed,
            "score_routed_ci_low": _picked(scores.ci_low, self.routed),
            "score_routed_ci_high": _picked(scores.ci_high, self.routed),
            "score_best": best,
            "regret": best - routed,
        }
        for name, values in columns.items():
            frame[name][self.pairs] = values[places]
        frame["score_null"][self.pairs] = scores.null
        frame["best"][self.pairs] = np.array([None, *SIDES], object)[self.best[places] + 1]

    def count(self, ledger: _Ledger) -> None:
        """Add this target's pairs to every mean they belong to.

        A quantity is a weighted sum of the three sides, so its influence is the same sum of theirs: one sparse product a side for all groups.
        """
        scores = self.scores
        skill = (scores.score - scores.null) / (1.0 - scores.null)
        groups = [group for group in self._groups(skill) if group.mask.any()]
        if not groups:
            return
        blocks = (scores.time_codes - ledger.first_code) // ledger.width
        shape = (scores.score.shape[1], ledger.n_blocks)
        by_time = np.zeros((len(groups), ledger.n_blocks))
        for side in range(len(SIDES)):
            weights = np.stack([group.weights[side] * group.mask for group in groups]) / np.maximum(scores.n_rows[side], 1) / (1.0 - scores.null)
            by_time += weights @ sparse.csr_array((scores.influence[side], (scores.symbol_codes, blocks)), shape=shape)
        masks = np.stack([group.mask for group in groups]).astype(float)
        present = masks @ sparse.csr_array((np.ones(blocks.size), (scores.symbol_codes, blocks)), shape=shape) > 0
        for number, group in enumerate(groups):
            total = float((group.weights * np.nan_to_num(skill))[:, group.mask].sum())
            ledger.add(group, total, by_time[number], present[number], scores.info.horizon_bars)

    def _groups(self, skill: Floats) -> list[_Group]:
        comparable = np.isfinite(skill).all(axis=0)
        chosen, best = _one_hot(self.routed), _one_hot(self.best)
        fixed = [_one_hot(np.full(self.routed.size, side)) for side in range(len(SIDES))]
        quantities = {"regret": best - chosen, "skill_routed": chosen}
        for one, name in zip(fixed, FIXED, strict=True):
            quantities |= {f"skill_{name}": one, f"regret_{name}": best - one, f"routed_minus_{name}": chosen - one}
        routed = comparable & (self.routed >= 0)
        groups = []
        for quantity, weights in quantities.items():
            groups += [_Group("all", "all", quantity, weights, routed), _Group("target", self.scores.info.name, quantity, weights, routed)]
            groups += [_Group("route", str(route), quantity, weights, routed & (self.route == code)) for code, route in enumerate(ROUTES)]
        blocked = comparable & (self.route == ROUTES.index(Route.BLOCKED))
        groups += [_Group("blocked", str(Route.BLOCKED), f"skill_{name}", one, blocked) for one, name in zip(fixed, FIXED, strict=True)]
        for kind, states, side in (("cs_state", self.cs_state, 0), ("local_state", self.local_state, 1)):
            known = np.isfinite(skill[side])
            groups += [_Group(kind, str(state), f"skill_{FIXED[side]}", fixed[side], known & (states == code)) for code, state in enumerate(STATES)]
        return groups


def _means(ledger: _Ledger, scoring: ScoringConfig) -> pd.DataFrame:
    rows: list[tuple[object, ...]] = []
    for (kind, group, quantity), one in ledger.groups.items():
        mean = one.total / one.n_pairs
        low, high = _interval(mean, one.by_time / one.n_pairs, one.present, one.reach, scoring)
        if quantity.startswith("regret"):
            low = np.maximum(low, 0.0)  # hindsight never does worse
        rows.append((kind, group, quantity, mean, low, high, one.n_pairs))
    for kind, quantity in (("cs_state", "skill_pooled"), ("local_state", "skill_local")):
        both = [ledger.groups.get((kind, state, quantity)) for state in CONTRAST.split(" minus ")]
        strong, weak = both
        if strong is not None and weak is not None:
            difference = strong.total / strong.n_pairs - weak.total / weak.n_pairs
            by_time = strong.by_time / strong.n_pairs - weak.by_time / weak.n_pairs
            interval = _interval(difference, by_time, strong.present | weak.present, max(strong.reach, weak.reach), scoring)
            rows.append((kind, CONTRAST, quantity, difference, *interval, strong.n_pairs + weak.n_pairs))
    return pd.DataFrame(rows, columns=list(MEAN_COLUMNS)).astype({"mean": float, "ci_low": float, "ci_high": float, "n_pairs": "int64"})


def _interval(mean: float, by_time: Floats, present: NDArray[np.bool_], reach: int, scoring: ScoringConfig) -> tuple[float, float]:
    """Interval of a mean whose influence by block of time is `by_time`; NaN where fewer blocks have rows than a score needs."""
    influence = by_time[present] * present.sum()
    if influence.size < MIN_ROWS_A_SEGMENT:
        return np.nan, np.nan
    table = table_from_influence(
        np.array([mean]), influence, np.ones(influence.size, bool), np.zeros(influence.size, np.int64), 1, reach, 0.0, scoring.confidence, scoring.hac_horizons
    )
    return float(table.ci_low[0]), float(table.ci_high[0])


def _empty_pairs(decisions: Decisions) -> dict[str, NDArray[np.generic]]:
    numbers = ("score_null", "score_pooled", "score_local", "score_both", "score_routed", "score_routed_ci_low", "score_routed_ci_high", "score_best")
    frame: dict[str, NDArray[np.generic]] = {"n_rows": np.full(decisions.n_pairs, np.nan), "n_effective": np.full(decisions.n_pairs, np.nan)}
    frame |= {name: np.full(decisions.n_pairs, np.nan) for name in (*numbers, "regret")}
    frame["best"] = np.full(decisions.n_pairs, None, object)
    return frame


def _one_hot(codes: Codes) -> Floats:
    """Shape (3, n): one in the row of each code, nothing for -1."""
    hot: Floats = (codes[None, :] == np.arange(len(SIDES))[:, None]).astype(float)
    return hot


def _picked(values: Floats, codes: Codes) -> Floats:
    """Shape (n,): the value of the coded side, NaN for -1."""
    picked: Floats = np.where(codes >= 0, np.take_along_axis(values, np.maximum(codes, 0)[None, :], axis=0)[0], np.nan)
    return picked


def _largest(values: Floats) -> Floats:
    return np.asarray(np.nan_to_num(values, nan=-np.inf).max(axis=0))
