"""The leakage lock shuts for findings that concern a job, and for those only."""

import pandas as pd
import pytest

from training_assets.leakage.lock import leakage_lock

READ_COLUMNS = ("target", "symbol", "feature", "detector", "statistic", "threshold", "status", "accepted", "message")  # what the lock reads of an audit
SAFE = ("t", None, None, "near_copy", 0.1, 0.9, "SAFE", False, "nothing found")


def audit(*findings: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame([SAFE, *findings], columns=list(READ_COLUMNS))


def finding(
    target: str | None = "t", symbol: str | None = None, feature: str | None = None, status: str = "BLOCKED", accepted: bool = False
) -> tuple[object, ...]:
    return (target, symbol, feature, "near_copy", 0.99, 0.98, status, accepted, "a copy of the target")


def test_the_lock_is_open_for_an_audited_target_without_findings() -> None:
    assert leakage_lock(audit(), "t", ("A",), ("f",)).is_open


@pytest.mark.parametrize("found", [finding(), finding(symbol="A"), finding(feature="f"), finding(target=None, feature="f"), finding(status="UNKNOWN")])
def test_a_finding_that_concerns_the_job_shuts_the_lock(found: tuple[object, ...]) -> None:
    verdict = leakage_lock(audit(found), "t", ("A", "B"), ("f", "g"))
    assert not verdict.is_open
    assert verdict.reasons == ("LEAKAGE: near_copy: a copy of the target",)


@pytest.mark.parametrize(
    "found",
    [finding(target="other"), finding(symbol="Z"), finding(feature="unused"), finding(status="SUSPECT"), finding(status="SAFE"), finding(accepted=True)],
)
def test_a_finding_that_does_not_concern_the_job_leaves_the_lock_open(found: tuple[object, ...]) -> None:
    assert leakage_lock(audit(found), "t", ("A", "B"), ("f", "g")).is_open


def test_a_target_that_nobody_audited_is_shut() -> None:
    verdict = leakage_lock(audit(), "never audited", ("A",), ("f",))
    assert not verdict.is_open
    assert "no audit of target never audited" in verdict.reasons[0]


def test_unknown_passes_only_where_it_is_allowed() -> None:
    unknown = audit(finding(status="UNKNOWN"))
    assert leakage_lock(unknown, "t", ("A",), ("f",), allow_unknown=True).is_open
    assert not leakage_lock(audit(finding()), "t", ("A",), ("f",), allow_unknown=True).is_open


def test_without_blocking_the_lock_stays_open() -> None:
    assert leakage_lock(audit(finding()), "t", ("A",), ("f",), block=False).is_open
