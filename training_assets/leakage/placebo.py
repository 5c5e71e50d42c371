"""Placebos: labels and bars at other times, and labels shuffled in time. What is right at a wrong time is a leak.

Belongs here: lead-lag profiles and the block permutation. Does not: skill at the right time (`skill`).
"""

import numpy as np
from numpy.typing import NDArray

from config.sections.base import LeakageStatus
from training_assets.leakage.base import OR_ACCEPT, AuditContext, Detector, Finding, Scope, Taxonomy, Verdict, always, blocked
from training_assets.leakage.evidence import standard_ranks
from training_assets.leakage.skill import has_unproven, quick_model

MAX_LAGS = 12
SHORTEST_LEAD = 5
# A difference of two correlations counts from so many standard errors of one on.
LAG_ERRORS = 4.0
LEAD_LAG_ERRORS = 6.0
# A profile that never rises above this is noise, wherever its peak.
MIN_PEAK = 0.2
PAST_BARS = 5
PERMUTATION_ERRORS = 4.0
N_BLOCKS = 40


def lead_lag(context: AuditContext) -> Verdict:
    """How much better a feature tells the label of other rows, not yet known at its own, than that of its row and those already known.

    An honest feature is nearest to labels that are known (it is made of the same bars) or to the label of its own row (it has skill). Persistent
    features and volatility have flat profiles, whose peak exceeds neither by much.
    """
    of_target, evidence = context.of_target, context.evidence
    horizon = of_target.info.horizon_bars
    bound = context.config.leakage.lead_lag_excess
    known = _lags(-2 * horizon, -horizon)
    unknown = np.unique(np.r_[_lags(1 - horizon, -1) if horizon > 1 else [], _lags(1, max(horizon, SHORTEST_LEAD))]).astype(int)
    lags = [*known.tolist(), 0, *unknown.tolist()]
    columns = evidence.lagged(of_target.own_labels, lags)
    profile = np.abs(evidence.correlations(columns, own=True))
    # Part of a label of an earlier row may be known: what trailing moves say of it any honest feature may say.
    honest = np.maximum(
        profile[:, : known.size + 1].max(axis=1)[:, None], evidence.trend_correlations(columns[:, known.size + 1 :], of_target.n_effective)[None, :]
    )
    ahead = profile[:, known.size + 1 :]
    # On Fisher's scale the error of a correlation does not depend on its size.
    errors = (np.arctanh(np.minimum(ahead, 0.999)) - np.arctanh(np.minimum(honest, 0.999))) * np.sqrt(max(of_target.n_effective, 1.0))
    table = np.where((ahead >= MIN_PEAK) & context.unproven[:, None] & (errors >= LEAD_LAG_ERRORS), ahead - honest, 0.0)
    at = table.argmax(axis=1)
    excess = table.max(axis=1)
    findings = []
    for feature in np.flatnonzero(excess >= bound):
        peak, fair = ahead[feature, at[feature]], honest[feature, at[feature]]
        message = (
            f"|rank correlation| {peak:.3f} with the label {_when(int(unknown[at[feature]]))}, not yet known at the row, exceeds the {fair:.3f} of what may be "
            f"known or predicted by {excess[feature]:.3f} >= {bound:.3f}: it reads the future; leave it out, {OR_ACCEPT}"
        )
        findings.append(blocked(context.panel.feature_names[feature], excess[feature], bound, message))
    return Verdict(findings, float(excess.max(initial=0.0)), bound, len(context.panel.feature_names))


def bars_ahead(context: AuditContext) -> Verdict:
    """How much better a feature tells returns, or sizes of returns, of bars to come than of the row's own and past bars."""
    evidence = context.evidence
    longest = max((info.horizon_bars for info in context.panel.target_infos), default=1)
    bound = max(context.config.leakage.bars_ahead_excess, LAG_ERRORS / np.sqrt(max(evidence.effective_times(1), 1.0)))
    lags = _lags(1, max(longest, SHORTEST_LEAD))
    past = np.arange(-PAST_BARS, 1)
    findings: dict[str, Finding] = {}
    worst = 0.0
    for what, values in (("returns", evidence.bar_returns), ("sizes of returns", np.abs(evidence.bar_returns))):
        series = evidence.within_symbols(standard_ranks(values))
        profile = np.abs(evidence.correlations(evidence.lagged(series, [*past.tolist(), *lags.tolist()]), own=True))
        before, ahead = profile[:, : past.size].max(axis=1), profile[:, past.size :]
        excess = (ahead.max(axis=1) - before) * context.unproven
        worst = max(worst, float(excess.max(initial=0.0)))
        for feature in np.flatnonzero(excess >= bound):
            name, lead = context.panel.feature_names[feature], int(lags[ahead[feature].argmax()])
            message = (
                f"|rank correlation| {ahead[feature].max():.3f} with {what} {lead} bars later exceeds the {before[feature]:.3f} with present and past ones by "
                f"{excess[feature]:.3f} >= {bound:.3f}: it is made of bars that had not happened; leave it out, {OR_ACCEPT}"
            )
            findings.setdefault(name, blocked(name, excess[feature], bound, message))
    return Verdict(list(findings.values()), worst, bound, len(context.panel.feature_names))


def permuted_target(context: AuditContext) -> Verdict:
    """Mean out-of-sample score of a ridge model on labels whose blocks of time were shuffled: above chance, the split itself leaks.

    One order of blocks for all symbols keeps the labels' own dependence and the cross-section, and breaks their tie to the features.
    """
    shuffled = shuffled_labels(context, context.config.leakage.n_permutations)
    scores = quick_model(context, shuffled).scores()[1:]
    scores = scores[np.isfinite(scores)]
    if scores.size < 2:
        return Verdict.unable("no fold has rows enough to score permuted labels; supply more history")
    mean, error = float(scores.mean()), float(scores.std(ddof=1) / np.sqrt(scores.size))
    bound = max(context.config.leakage.permuted_score, PERMUTATION_ERRORS * error)
    message = (
        f"labels shuffled in blocks of time score {mean:.3f} out of sample on average over {scores.size} shuffles >= {bound:.3f}: chance is 0, so training and "
        "test rows are not apart; look at the splits (config/training.yaml) and at duplicate rows"
    )
    return Verdict([blocked(None, mean, bound, message)] if mean >= bound else [], mean, bound, int(scores.size))


def shuffled_labels(context: AuditContext, n_shuffles: int) -> NDArray[np.float32]:
    """Shape (n, n_shuffles): labels of the audited rows with blocks of time in another order; NaN where the symbol has no label there."""
    rows, panel = context.evidence.rows, context.panel
    label = context.of_target.own_labels[rows]
    codes, position = np.unique(panel.time_codes[rows], return_inverse=True)
    symbols = context.evidence.symbol_codes
    grid = np.full((len(panel.symbols), codes.size), np.nan, np.float32)
    grid[symbols, position] = label
    generator = np.random.default_rng([context.config.seed, context.of_target.code, 23])
    blocks = np.array_split(np.arange(codes.size), min(N_BLOCKS, codes.size))
    orders = [np.concatenate([blocks[place] for place in generator.permutation(len(blocks))]) for _ in range(n_shuffles)]
    return np.stack([grid[symbols, order[position]] for order in orders], axis=1)


def _lags(first: int, last: int) -> NDArray[np.int64]:
    """All lags of a range, or `MAX_LAGS` of them evenly where there are more."""
    every = np.arange(first, last + 1)
    return every if every.size <= MAX_LAGS else np.unique(np.linspace(first, last, MAX_LAGS).round().astype(np.int64))


def _when(lag: int) -> str:
    return f"{abs(lag)} bars {'later' if lag > 0 else 'earlier'}"


LEAD_LAG = Detector(
    "lead_lag", "a feature tells labels of other rows that are not yet known", Taxonomy.TEMPORAL, Scope.TARGET, LeakageStatus.BLOCKED, lead_lag, has_unproven
)
BARS_AHEAD = Detector("bars_ahead", "a feature is made of later bars", Taxonomy.TEMPORAL, Scope.PANEL, LeakageStatus.BLOCKED, bars_ahead, has_unproven)
PERMUTED_TARGET = Detector(
    "permuted_target",
    "shuffled labels score above chance",
    Taxonomy.DEPENDENCE,
    Scope.TARGET,
    LeakageStatus.BLOCKED,
    permuted_target,
    always,
)
