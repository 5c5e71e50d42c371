"""What the daemon does about runs that ended without putting things in order, on an instance as the command makes it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.daemon import MonitoringDaemon
from dagster._daemon.monitoring.concurrency import execute_concurrency_slots_iteration
from dagster._time import datetime_from_timestamp, get_current_timestamp

from resources.instance import GPU_POOL, open_instance


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(tmp_path) as made:
        yield made


def test_the_daemon_watches_runs_of_an_instance_that_the_command_made(instance: dg.DagsterInstance) -> None:
    assert MonitoringDaemon.daemon_type() in instance.get_required_daemon_types()


def test_the_daemon_frees_the_place_in_the_gpu_pool_that_an_ended_run_left_taken(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)
    storage = instance.event_log_storage
    assert storage.claim_concurrency_slot(GPU_POOL, run.run_id, "symbol_sequence_models").is_claimed
    instance.report_run_failed(run, "killed")
    logger = logging.getLogger("monitoring")
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace:
        list(execute_concurrency_slots_iteration(workspace, logger))
        assert storage.get_concurrency_info(GPU_POOL).active_slot_count == 1  # it may be about to give it back itself
        later = datetime_from_timestamp(get_current_timestamp() + 90)
        monkeypatch.setattr("dagster._daemon.monitoring.concurrency.get_current_datetime", lambda: later)
        list(execute_concurrency_slots_iteration(workspace, logger))
    assert storage.get_concurrency_info(GPU_POOL).active_slot_count == 0
