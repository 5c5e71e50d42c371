"""Routed pairs that a training plan has no job for, and why.

Belongs here: which they are, and the words. Does not: jobs (`training_plan`), or routes (`routing_assets.decisions`).
"""

from collections.abc import Collection, Mapping
from typing import Any

from routing_assets.contracts import Mode, ReasonCode, RoutingPlan
from training_assets.contracts import Route

NOT_IN_DATA = "NOT_IN_DATA"
NO_TARGET = "the data have no such target, or no label of it before the holdout; its pairs are routed and not trained"
NO_SYMBOL = "the data have no such symbol; its pairs are routed and not trained"
Entry = Mapping[str, Any]


def targets_in_data(routing: RoutingPlan, targets: Collection[str], symbols: Collection[str] | None) -> tuple[dict[str, Entry], list[dict[str, Any]]]:
    """A routing plan less what the data lack, and what has no job.

    Parameters
    ----------
    targets, symbols : of the data; `symbols` None where everything that the plan names is there.

    Returns
    -------
    entries : the routing plan's targets, ascending, each with the pairs that the data have.
    left_out : `{code, target, symbol, reason}`, a null target or symbol for all of them: what the data lack, then pairs in the experimental lane
        whose local side may not be trained.
    """
    entries: dict[str, Entry] = dict(sorted(routing.targets.items()))
    left_out: list[dict[str, Any]] = []
    if symbols is not None:
        absent = sorted({symbol for entry in entries.values() for symbol in entry["symbols"]}.difference(symbols))
        left_out += [_item(NOT_IN_DATA, target, None, NO_TARGET) for target in entries if target not in targets]
        left_out += [_item(NOT_IN_DATA, None, symbol, NO_SYMBOL) for symbol in absent]
        gone = set(absent)
        entries = {
            target: {**entry, "symbols": {symbol: pair for symbol, pair in entry["symbols"].items() if symbol not in gone}}
            for target, entry in entries.items()
            if target in targets
        }
    for target, entry in entries.items():
        for symbol, pair in sorted(entry["symbols"].items()):
            if has_no_local_job(pair):
                refusals = [reason for reason in pair["reason"] if reason.startswith(Mode.SYMBOL_SPECIFIC)]
                why = f"{', '.join(refusals)}: only the pooled side is {pair['cs_state']}, and a local side so refused is not trained"
                left_out.append(_item(str(ReasonCode.NO_LOCAL_JOB), target, symbol, why))
    return entries, left_out


def has_no_local_job(pair: Entry) -> bool:
    """Whether an experimental pair of a routing plan has a local side that a gate refused for good."""
    return Route(pair["route"]) is Route.EXPERIMENTAL_ONLY and str(ReasonCode.NO_LOCAL_JOB) in pair["reason"]


def names_left_out(summary: Mapping[str, Any]) -> frozenset[tuple[str | None, str | None]]:
    """The (target, symbol) that a training plan's summary leaves out; None stands for all."""
    return frozenset((item["target"], item["symbol"]) for item in summary.get("left_out", ()))


def lines_not_in_data(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """A line for each target and symbol of the routing plan that the data lack."""
    absent = [item for item in summary.get("left_out", ()) if item["code"] == NOT_IN_DATA]
    named = (("target", item["target"]) if item["symbol"] is None else ("symbol", item["symbol"]) for item in absent)
    return tuple(f"{kind} {name}: {item['reason']}" for (kind, name), item in zip(named, absent, strict=True))


def _item(code: str, target: str | None, symbol: str | None, reason: str) -> dict[str, Any]:
    return {"code": code, "target": target, "symbol": symbol, "reason": reason}
