"""Calls into a family's code, which may raise anything and take for ever: an answer, or the error in words.

Belongs here: the boundary around fits and predictions. Does not: what is fitted (`training_assets.fitting`), or what becomes of an error.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from resources.process_limits import TimeLimitError, time_limit
from training_assets.families.base import Family, FitError, FitRequest, FittedModel

Answer = TypeVar("Answer")


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
        return [guarded(partial(family.fit, request), limit_seconds) for request in requests]
    together = guarded(lambda: fit_many(requests), limit_seconds * len(requests))
    if not isinstance(together, str):
        return [str(answer) if isinstance(answer, FitError) else answer for answer in together]
    if len(requests) == 1:
        return [guarded(partial(family.fit, requests[0]), limit_seconds)]
    return [answer for request in requests for answer in guarded_fits(family, [request], limit_seconds, stacked)]


def guarded(action: Callable[[], Answer], limit_seconds: float) -> Answer | str:
    """What a family's code returns, or the error in words when it raises or runs past the limit."""
    try:
        with time_limit(limit_seconds):
            return action()
    except (FitError, TimeLimitError) as error:
        return str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - boundary to a family's library, which may raise anything: recorded for the pair, the rest go on
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
