"""The Dagster instance that the command and the UI share, and running a job on it in this process.

Belongs here: where the instance lies, its settings, executing, and what a run came to as plain values. Does not: which jobs run, or what is printed.
"""

import ast
import logging
import os
import re
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.plan.objects import UserFailureData
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from resources.files import write_atomically
from resources.instance_claim import claim_instance
from resources.output_lock import COMMAND_TAG, OutputError

HOME_VARIABLE = "DAGSTER_HOME"
LOG_FILE = "switchyard.log"
LOGGER = "switchyard"
OUTPUT_TAG = "switchyard/output"
_FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
GPU_POOL = "gpu"
LOCATION = "switchyard"
WORKSPACE_FILE = "switchyard_workspace.yaml"
# By this tag the UI counts a run among those of a job of the code location; Dagster sets it on runs that the UI launches, and not on runs of a process.
REPOSITORY_TAG = {".dagster/repository": f"__repository__@{LOCATION}"}
WORKSPACE_YAML = f"""\
# Written by switchyard: the code location that `switchyard ui` serves.
load_from:
  - python_module:
      module_name: routing_assets.definitions
      location_name: {LOCATION}
"""
INSTANCE_YAML = """\
# Written by switchyard where there was none; edit freely.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    granularity: op
    default_limit: 1
run_monitoring:
  enabled: true
  poll_interval_seconds: 30
  free_slots_after_run_end_seconds: 60
retention:
  sensor:
    purge_after_days: {skipped: 7, failure: 30, success: 90}
  auto_materialize:
    purge_after_days: {skipped: 7, failure: 30, success: 90}
"""

# Seconds after which a kept connection is made anew: short, so that none outlives an idle limit on the way to the database.
CONNECTION_SECONDS = 30
STATEMENT_MILLISECONDS = 600_000

Listener = Callable[[str, str, str], None]
"""Called with (kind, step, message); kind is a Dagster event type, LOG for a message of ours, or STEPS, with their number, as a run begins."""


class StorageError(RuntimeError):
    """The database of the instance cannot be used; what was finished is saved, and the message says what to do."""


@dataclass(frozen=True)
class RunProblem:
    """Why a step failed, or its run outside of any step: the first error's class and message, its traceback, and what a `dagster.Failure` told about.

    `step` : the step that failed; the job where none did, as when a resource could not be made or put away.
    """

    step: str
    error_class: str
    message: str
    traceback: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class RunResult:
    """What a run came to; where it is no success there is a problem at least. `failed_checks` holds, by `asset:check`, what each that failed says;
    `metadata`, by asset, the metadata of its materializations, partition keys under `partition`."""

    run_id: str
    success: bool
    problems: tuple[RunProblem, ...]
    failed_checks: Mapping[str, str]
    metadata: Mapping[str, Sequence[Mapping[str, Any]]]


def instance_home(output_dir: Path) -> Path:
    """Folder of the instance: `DAGSTER_HOME` where it is set, else `.dagster` in the output folder."""
    named = os.environ.get(HOME_VARIABLE)
    return Path(named) if named else output_dir.resolve() / ".dagster"


@contextmanager
def open_instance(output_dir: Path) -> Iterator[dg.DagsterInstance]:
    """The instance, made on first use: SQLite, no telemetry, one run in the GPU pool at a time.

    Raises
    ------
    OutputError
        Its folder cannot be written, or it serves another output folder.
    StorageError
        Its database cannot be reached or written, on opening or at any time in the block.
    """
    home = instance_home(output_dir)
    if not (home / "dagster.yaml").exists():
        try:
            write_atomically(home / "dagster.yaml", INSTANCE_YAML)
        except OSError as error:
            raise OutputError(f"the folder of runs {home} cannot be written: {error.strerror}; name another with --output-dir, or {HOME_VARIABLE}") from None
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            # Without its own entry the pool's limit is not in force before the first run has registered it.
            if not any(pool.name == GPU_POOL for pool in instance.event_log_storage.get_pool_limits()):
                instance.event_log_storage.set_concurrency_slots(GPU_POOL, 1)
            claim_instance(instance, output_dir)
            yield instance
    except _storage_errors() as error:
        raise StorageError(
            f"the run storage of {home / 'dagster.yaml'} cannot be used: {_told_by_storage(error)}; mend it, and the same command goes on from here"
        ) from error


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let a process that writes an event a job keep its database connections between events; of use on PostgreSQL, without effect on SQLite.

    Dagster's storage connects anew for each of an event's two writes otherwise, which takes half of the time of an event.
    """
    instance.optimize_for_webserver(statement_timeout=STATEMENT_MILLISECONDS, pool_recycle=CONNECTION_SECONDS, max_overflow=1)


def _told_by_storage(error: Exception) -> str:
    """The first line of what the database's driver says; words about an address that is none may hold a password, and are not told."""
    if isinstance(error, SQLAlchemyError) and not isinstance(error, DBAPIError):
        return type(error).__name__
    return next(iter(str(getattr(error, "orig", error)).strip().splitlines()), type(error).__name__)


def _storage_errors() -> tuple[type[Exception], ...]:
    """What a database raises, and what Dagster's PostgreSQL storage, where it is in use, makes of that after its retries."""
    postgres = sys.modules.get("dagster_postgres.utils")
    return (SQLAlchemyError,) if postgres is None else (SQLAlchemyError, postgres.DagsterPostgresException)


def written_workspace(output_dir: Path) -> Path:
    """The file that names the code location to `dagster dev`, written beside the instance's settings."""
    path = instance_home(output_dir) / WORKSPACE_FILE
    write_atomically(path, WORKSPACE_YAML)
    return path


def command_tags(output_dir: Path) -> dict[str, str]:
    """Tags of runs that this process executes for an output folder whose lock it holds."""
    return {COMMAND_TAG: str(os.getpid()), OUTPUT_TAG: str(output_dir.resolve()), **REPOSITORY_TAG}


def end_abandoned_runs(instance: dg.DagsterInstance, output_dir: Path) -> tuple[str, ...]:
    """Mark unfinished runs that commands executed for this output folder as failed and return their ids; call it under the folder's lock.

    Whoever holds the lock is the only command at work there, so such a run belongs to a process that is gone. Left as they are, these runs would
    seem in flight for good, and hold back the deletion of their partitions. Their places in pools are freed, and those of any run that has ended:
    a pool counts a place as taken until it is given back, and whoever comes next would wait for good.
    """
    unfinished = [status for status in dg.DagsterRunStatus if status not in _FINISHED]
    abandoned = instance.get_runs(dg.RunsFilter(statuses=unfinished, tags={OUTPUT_TAG: str(output_dir.resolve())}))
    for run in abandoned:
        instance.report_run_failed(run, "the process of this run is gone; the next command on the output folder goes on from what it finished")
    _free_places_of_ended_runs(instance)
    return tuple(run.run_id for run in abandoned)


def _free_places_of_ended_runs(instance: dg.DagsterInstance) -> None:
    holders = list(instance.event_log_storage.get_concurrency_run_ids())
    if not holders:
        return
    for run in instance.get_runs(dg.RunsFilter(run_ids=holders, statuses=list(_FINISHED))):
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def last_seconds(instance: dg.DagsterInstance, output_dir: Path, n_runs: int = 10) -> dict[str, float]:
    """Seconds that each step took when it last succeeded in a command's run on this output folder."""
    found: dict[str, float] = {}
    for run in instance.get_runs(dg.RunsFilter(tags={OUTPUT_TAG: str(output_dir.resolve())}), limit=n_runs):
        for step in instance.get_run_step_stats(run.run_id):
            if step.status is not None and step.status.value == "SUCCESS" and step.start_time and step.end_time:
                found.setdefault(step.step_key, step.end_time - step.start_time)
    return found


def run_logger(log_file: Path, listen: Listener) -> dg.LoggerDefinition:
    """A logger for runs of the command: everything to a file, events to a listener, nothing to the terminal."""

    def build(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger(LOGGER, logging.DEBUG)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        to_file = logging.FileHandler(log_file, encoding="utf-8", delay=True)
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(to_file)
        logger.addHandler(_Listening(listen))
        return logger

    return dg.LoggerDefinition(build, description="The command's own log file and progress.")


def run_job(
    definitions: dg.Definitions,
    job_name: str,
    instance: dg.DagsterInstance,
    *,
    tags: Mapping[str, str] | None = None,
    run_config: Mapping[str, Any] | None = None,
    only_assets: Sequence[str] | None = None,
) -> RunResult:
    """Execute a job in this process on the instance, as a run like any other; a step that fails is told, not raised.

    Raises
    ------
    KeyboardInterrupt
        The run was interrupted. Dagster takes that for a failed step, or between two steps for nothing, and returns as ever.
    """
    run_id = str(uuid.uuid4())
    with _interrupts_raised() as interrupted:

        def begin_no_step_once_interrupted(record: dg.EventLogEntry) -> None:
            event = record.dagster_event
            if event is not None and event.event_type is dg.DagsterEventType.STEP_START and interrupted():
                raise KeyboardInterrupt

        instance.add_event_listener(run_id, begin_no_step_once_interrupted)
        result = definitions.resolve_job_def(job_name).execute_in_process(
            instance=instance,
            run_id=run_id,
            tags=dict(tags or {}),
            run_config={**(run_config or {}), "loggers": {LOGGER: {}}},
            asset_selection=None if only_assets is None else [dg.AssetKey(name) for name in only_assets],
            raise_on_error=False,
        )
    problems = _problems(result, job_name)
    metadata: dict[str, list[Mapping[str, Any]]] = {}
    for event in result.get_asset_materialization_events():
        written = event.materialization
        values = {name: getattr(value, "value", value) for name, value in written.metadata.items()}
        metadata.setdefault(written.asset_key.to_user_string(), []).append({**values, "partition": written.partition})
    failed = {
        f"{check.asset_key.to_user_string()}:{check.check_name}": check.description or "its metadata in the UI says why"
        for check in result.get_asset_check_evaluations()
        if not check.passed
    }
    return RunResult(result.run_id, result.success and not problems, problems, failed, metadata)


@contextmanager
def _interrupts_raised() -> Iterator[Callable[[], bool]]:
    """Raise KeyboardInterrupt at the end of the block where an interrupt came within it, whatever the block made of it; yields whether one came.

    Dagster has handlers of its own while a run is at work, and forgets what they caught; one that Python calls inside a finalizer raises into
    nothing. What the kernel delivers is noted in a pipe besides.
    """
    if threading.current_thread() is not threading.main_thread():  # no signal is delivered here
        yield lambda: False
        return
    heard, noted = os.pipe()
    os.set_blocking(heard, False)
    os.set_blocking(noted, False)
    signals: set[int] = set()

    def interrupted() -> bool:
        with suppress(BlockingIOError):
            signals.update(os.read(heard, 65_536))
        return bool({signal.SIGINT, signal.SIGTERM} & signals)

    before = signal.set_wakeup_fd(noted, warn_on_full_buffer=False)
    try:
        yield interrupted
        if interrupted():
            raise KeyboardInterrupt
    finally:
        signal.set_wakeup_fd(before)
        os.close(heard)
        os.close(noted)


class _Listening(logging.Handler):
    def __init__(self, listen: Listener) -> None:
        super().__init__(logging.DEBUG)
        self._listen = listen

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        if event is not None and event.is_engine_event and str(event.message).startswith("Executing"):
            steps = event.engine_event_data.metadata.get("step_keys")
            if steps is not None:
                self._listen("STEPS", "", str(len(ast.literal_eval(str(steps.value)))))
        kind = event.event_type_value if event is not None else "LOG"
        self._listen(kind, str(meta.get("step_key") or ""), str(meta.get("orig_message") or record.getMessage()))


def _problems(result: dg.ExecuteInProcessResult, job_name: str) -> tuple[RunProblem, ...]:
    """Why a run did not come through: steps that failed; resources that could not be put away, which Dagster takes for success; and where there is
    neither, what ended the run before its first step or between two. Output that could not be captured costs a run nothing."""
    found = []
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            found.append(_problem(str(event.step_key), event.message, failure.error, failure.user_failure_data))
        elif event.is_engine_event and event.engine_event_data.error is not None and "log capture" not in str(event.message):
            found.append(_problem(job_name, event.message, event.engine_event_data.error))
    if not found and not result.success:
        ended = [event for event in result.all_events if event.is_run_failure]
        found = [_problem(job_name, event.message, event.job_failure_data.error) for event in ended] or [_problem(job_name, "the run ended before it was done")]
    return tuple(found)


def _problem(place: str, told: str | None, error: SerializableErrorInfo | None = None, failure: UserFailureData | None = None) -> RunProblem:
    # Dagster's own wrappings are left aside; what an error of ours was raised from is in its words already.
    while error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    details = {name: getattr(value, "value", value) for name, value in failure.metadata.items()} if failure else {}
    message = error.message.strip() if error is not None else str(told)
    message = re.sub(r"^[\w.]+(Error|Failure|Exception|Interrupt\w*): ", "", message)
    if failure is not None and failure.description:
        message = failure.description
    return RunProblem(place, (error.cls_name or "") if error else "", message, error.to_string() if error else "", details)
