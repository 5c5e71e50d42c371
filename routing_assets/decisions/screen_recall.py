"""How many of the pairs that full evidence would pass the closed-form screen kept.

Belongs here: the estimate from the random part of the refused pairs that was carried through all the same. Does not: the screen or the draw
(`evidence.screening`), or what passes (`gates`).
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from routing_assets.contracts import STATES, VOCABULARIES, Decisions, ScreenOutcome, SignalState


@dataclass(frozen=True)
class ScreenRecall:
    """Pairs by what the screen made of them, and the share it kept of those that pass; a pair passes whose local side is not DISALLOWED.

    Attributes
    ----------
    n_refused : pairs that the screen refused; `n_audited` of them were drawn at random and scored in full.
    recall, ci_low, ci_high : None where the draw is empty, or where nothing is seen to pass.
    """

    n_kept: int
    n_kept_passed: int
    n_refused: int
    n_audited: int
    n_audited_passed: int
    recall: float | None
    ci_low: float | None
    ci_high: float | None

    def text(self) -> str:
        """The estimate in one sentence."""
        if not self.n_kept + self.n_refused:
            return "No pair was screened: all have the evidence that was asked for."
        if not self.n_refused:
            return f"The screen refused none of {self.n_kept:,} pairs."
        drawn = f"{self.n_audited_passed:,} of {self.n_audited:,} drawn from the {self.n_refused:,} that it refused passed in full"
        if self.recall is None or self.ci_low is None or self.ci_high is None:
            why = drawn if self.n_audited else f"none of the {self.n_refused:,} that it refused was drawn to be scored in full"
            return f"The screen's recall is not known: {self.n_kept_passed:,} of {self.n_kept:,} that it kept passed, and {why}."
        return f"The screen kept {self.recall:.0%} ({self.ci_low:.0%} to {self.ci_high:.0%}) of the pairs that pass: {self.n_kept_passed:,} kept, and {drawn}."


def screen_recall(decisions: Decisions, confidence: float) -> ScreenRecall:
    """The screen's recall over all pairs of a table, with an interval of the given confidence."""
    outcomes = decisions.candidates.words("screen_outcome")[decisions.rows]
    passed = decisions.local_states != STATES.index(SignalState.DISALLOWED)
    kept, audited, refused = (outcomes == VOCABULARIES["screen_outcome"].index(word) for word in ScreenOutcome)
    parts = (kept, kept & passed, audited | refused, audited, audited & passed)
    n_kept, n_kept_passed, n_refused, n_audited, n_audited_passed = (int(one.sum()) for one in parts)
    return recall_of(n_kept, n_kept_passed, n_refused, n_audited, n_audited_passed, confidence)


def recall_of(n_kept: int, n_kept_passed: int, n_refused: int, n_audited: int, n_audited_passed: int, confidence: float) -> ScreenRecall:
    """The recall that counts speak for; see `ScreenRecall`.

    The share that passes of all refused pairs is bounded from the draw (Clopper & Pearson 1934), and by what the draw itself leaves possible.
    """
    counts = (n_kept, n_kept_passed, n_refused, n_audited, n_audited_passed)
    if not n_kept_passed + n_audited_passed or (n_refused and not n_audited):
        return ScreenRecall(*counts, None, None, None)
    tail, failed = 0.5 * (1.0 - confidence), n_audited - n_audited_passed
    low = float(special.betaincinv(n_audited_passed, failed + 1, tail)) if n_audited_passed else 0.0
    high = float(special.betaincinv(n_audited_passed + 1, failed, 1.0 - tail)) if failed else 1.0
    missed = n_refused * np.array([n_audited_passed / max(n_audited, 1), high, low])
    recall, worst, best = (n_kept_passed / (n_kept_passed + np.clip(missed, n_audited_passed, n_refused - failed))).tolist()
    return ScreenRecall(*counts, recall, worst, best)
