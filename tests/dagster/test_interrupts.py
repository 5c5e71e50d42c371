"""An interrupt ends a run even where Python raises it into nothing, as in a finalizer that happens to be at work."""

import os
import signal
import time
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import open_instance, run_job, run_logger

begun: list[str] = []


class Finalizer:
    """Is interrupted while it is collected: what the handler raises there is printed and forgotten."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)


@dg.asset
def interrupted_in_a_finalizer() -> None:
    begun.append("first")
    Finalizer()


@dg.asset(deps=[interrupted_in_a_finalizer])
def never_begun() -> None:
    begun.append("second")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_step_begins_after_an_interrupt_that_was_raised_into_nothing(tmp_path: Path) -> None:
    begun.clear()
    definitions = dg.Definitions(
        assets=[interrupted_in_a_finalizer, never_begun],
        jobs=[dg.define_asset_job("both", executor_def=dg.in_process_executor)],
        loggers={"switchyard": run_logger(tmp_path / "log", lambda *_: None)},
    )
    with open_instance(tmp_path) as instance:
        with pytest.raises(KeyboardInterrupt):
            run_job(definitions, "both", instance)
        assert begun == ["first"]
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]
