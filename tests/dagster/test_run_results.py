"""What a run in this process is said to have come to."""

from pathlib import Path

import dagster as dg

from resources.instance import open_instance, run_job, run_logger


@dg.asset
def prices() -> None:
    """Prices that its checks look at."""


@dg.asset_check(asset=prices)
def says_why() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, description="3 rows of `close` outside (0, inf)", metadata={"rows": [1, 2, 3]})


@dg.asset_check(asset=prices)
def says_nothing() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False)


@dg.asset_check(asset=prices)
def passes() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, description="all is well")


def test_a_run_tells_of_each_check_that_failed_why_in_words(tmp_path: Path) -> None:
    definitions = dg.Definitions(
        assets=[prices],
        asset_checks=[says_why, says_nothing, passes],
        jobs=[dg.define_asset_job("all", executor_def=dg.in_process_executor)],
        loggers={"switchyard": run_logger(tmp_path / "log", lambda *_: None)},
    )
    with open_instance(tmp_path) as instance:
        result = run_job(definitions, "all", instance)
    assert result.success
    assert result.failed_checks == {"prices:says_why": "3 rows of `close` outside (0, inf)", "prices:says_nothing": "its metadata in the UI says why"}
