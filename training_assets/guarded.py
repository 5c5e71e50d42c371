"""Calls into a family's code, which may raise anything and take for ever: an answer, or the error in words.

Belongs here: the boundary around fits and predictions. Does not: what is fitted (`training_assets.fitting`), or what becomes of an error.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from resources.process_limits import TimeLimitError, ended_with_process, time_limit
from training_assets.families.base import Family, FitError, FitRequest, FittedModel

Answer = TypeVar("Answer")

LAST_LIMIT_SHARE = 3.0
"""A call that has not come back after this many times its limit is in a library that never will, and its process ends."""


def guarded_fits(family: Family, requests: Sequence[FitRequest], limit_seconds: float, stacked: bool) -> list[FittedModel | str]:
    """Fit each request; a fit that fails gives the error in words and stops no other.

    Parameters
    ----------
    stacked : the requests go to the family's stacked fit where it has one, a single one too: what a model becomes must not depend on how many
        others happened to be fitted with it. Should the stack fail as a whole, each is a stack by itself, and fitted plainly only where that fails;
        a request that the stack gave an error for is settled.
    """
    fit_many = family.fit_many
    if fit_many is None or not stacked:
        return [guarded(family.name, partial(family.fit, request), limit_seconds) for request in requests]
    together = guarded(family.name, lambda: fit_many(requests), limit_seconds * len(requests))
    if not isinstance(together, str):
        return [str(answer) if isinstance(answer, FitError) else answer for answer in together]
    if len(requests) == 1:
        return [guarded(family.name, partial(family.fit, requests[0]), limit_seconds)]
    return [answer for request in requests for answer in guarded_fits(family, [request], limit_seconds, stacked)]


def guarded(name: str, action: Callable[[], Answer], limit_seconds: float) -> Answer | str:
    """What the code of the family `name` returns, or the error in words when it raises or runs past the limit.

    A library that does not come back long after the limit takes the process with it: a worker, whose task is then that family's failure, or a run
    in one process, which would otherwise hang for ever.
    """
    last_seconds = limit_seconds * LAST_LIMIT_SHARE
    try:
        with ended_with_process(last_seconds, _lost(name, last_seconds)), time_limit(limit_seconds):
            return action()
    except (FitError, TimeLimitError) as error:
        return str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - boundary to a family's library, which may raise anything: recorded for the pair, the rest go on
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _lost(name: str, seconds: float) -> str:
    return (
        f"switchyard: {name} did not come back after {seconds:g} seconds and cannot be stopped, so its process ends; what is trained is saved. "
        "Run again without this family (--families), or raise training.fit_timeout_seconds (config/training.yaml)"
    )
