"""The code location on an instance of its own, driven through Dagster's GraphQL and daemons in this process; only the launcher is one for tests."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.instance_for_test import instance_for_test
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import InProcessTestWorkspaceLoadTarget
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._daemon.backfill import execute_backfill_iteration
from dagster_graphql.test.utils import execute_dagster_graphql

from resources.settings import Settings

LOGGER = logging.getLogger("dagster.test")


@dataclass(frozen=True)
class Site:
    """A running code location over an output folder."""

    settings: Settings
    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext

    def ask(self, query: str, **variables: object) -> dict[str, object]:
        result = execute_dagster_graphql(self.workspace.create_request_context(), query, variables)
        assert not result.errors, result.errors
        return dict(result.data)

    def select(self, job: str, *assets: str) -> dict[str, object]:
        context = self.workspace.create_request_context()
        (location,) = context.code_locations
        (name,) = location.get_repositories()
        chosen = {"assetSelection": [{"path": [asset]} for asset in assets], "assetCheckSelection": []} if assets else {}
        return {"repositoryLocationName": location.name, "repositoryName": name, "jobName": job, **chosen}

    def launch(self, selector: dict[str, object], tags: dict[str, str], run_config: dict[str, object] | None = None) -> None:
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": listed}, "runConfigData": run_config or {}}
        answer = self.ask("mutation($p: ExecutionParams!) {launchRun(executionParams: $p) {__typename ... on PythonError {message}}}", p=params)
        assert answer["launchRun"]["__typename"] == "LaunchRunSuccess", answer

    def backfill(self, *keys: str) -> None:
        """Launch a backfill of local models of these pairs, all when none is named, and let the daemon look at it once."""
        chosen = {"partitionNames": list(keys)} if keys else {"allPartitions": True}
        params = {"assetSelection": [{"path": ["symbol_models"]}], **chosen}
        query = "mutation($p: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $p) {__typename ... on PythonError {message}}}"
        answer = self.ask(query, p=params)
        assert answer["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess", answer
        list(execute_backfill_iteration(self.workspace, LOGGER))

    def start_sensor(self, name: str) -> None:
        (location,) = self.workspace.create_request_context().code_locations
        (repository,) = location.get_repositories().values()
        self.instance.start_sensor(repository.get_sensor(name))

    def said(self) -> str:
        """Everything the logs of all runs hold."""
        records = [record for run in self.instance.get_runs() for record in self.instance.all_logs(run.run_id)]
        return "\n".join(f"{record.message} {record.dagster_event}" for record in records)


@contextmanager
def site_over(settings: Settings) -> Iterator[Site]:
    """A site over these settings, which have to stand in the environment too."""
    # Dagster keeps the code location that this process loaded last, and with it the settings of the test before.
    ReconstructableJob.get_definition.cache_clear()
    ReconstructableJob.get_repository_definition.cache_clear()
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="routing_assets.definitions"))
    with (
        instance_for_test(synchronous_run_launcher=True, synchronous_run_coordinator=True) as instance,
        WorkspaceProcessContext(instance, InProcessTestWorkspaceLoadTarget(origin)) as workspace,
    ):
        yield Site(settings, instance, workspace)
