"""Asset values on disk, each where the output tree says, written whole.

Belongs here: how a value becomes a file or a folder and comes back, by its type. Does not: what a value means, or the plan documents,
which have writers of their own. An asset names its place in its metadata under `PATH_KEY`, relative to the output folder.

Tables are Parquet with fixed writer settings, so that equal values give equal bytes. Objects with `write(folder)` and `read(folder)` are folders.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from resources.files import folder_written_atomically, write_atomically
from resources.output_lock import held_for_run, pen_held
from resources.process_limits import release_unused_memory
from resources.remote_store import remote_store, tree_in_step
from resources.settings import Settings

PATH_KEY = "switchyard/path"


@runtime_checkable
class FolderValue(Protocol):
    """A value that writes itself into an empty folder; its class reads it back with `read(folder)`."""

    def write(self, folder: Path) -> None: ...


class ArtifactError(RuntimeError):
    """A stored value that cannot be read; the message says which, where, and what to do."""


class ArtifactStore(dg.ConfigurableIOManager):
    """IO manager over the output tree; values are read back by the type that the asset asks for."""

    settings: dg.ResourceDependency[Settings]
    training_steps: list[str] = Field(default_factory=list, description="Steps that write models and no table or plan of the tree.")

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["ArtifactStore"]:
        """Hold the output folder while a run that the UI or a daemon started is at work, so that no command changes it meanwhile; and, where the run
        does more than train, the pen besides.

        A run that writes tables holds the pen from its first step to its last, so that the tables of one plan are of one plan; and what a store holds is
        here from then on, and there again at its end. Of runs that only train as many are at work at once as there are, beside one that plans too.

        The folder is held before any step takes its place in a pool, as the command does it: the other way round a run could keep the place that the
        command waits for, and wait for the command's folder. Dagster makes this manager for every run that trains, since models depend on the panel.
        """
        if context.run is None:
            yield self
            return
        output, tell = self.settings.output, dg.get_dagster_logger("switchyard").info
        with held_for_run(output, context.run.tags, tell) as shared:
            if self._only_trains(context):
                yield self
                return
            store = remote_store(self.settings.load().resources.store, output)
            with pen_held(output, tell) if shared else nullcontext(), tree_in_step(store):
                yield self

    def _only_trains(self, context: dg.InitResourceContext) -> bool:
        run = context.run
        if run is None or context.instance is None or run.execution_plan_snapshot_id is None:
            return False
        return set(context.instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute) <= set(self.training_steps)

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Write one asset's value; None is written nowhere (the asset wrote its documents itself)."""
        if obj is None:
            return
        path = self.settings.output / str(context.definition_metadata[PATH_KEY])
        write_value(path, obj)
        context.add_output_metadata({"path": dg.MetadataValue.path(str(path))})
        release_unused_memory()  # the next step is another kind of work, and would find this one's memory still held

    def load_input(self, context: dg.InputContext) -> Any:
        """Read one asset's value as the annotated type of the input."""
        upstream = context.upstream_output
        if upstream is None or PATH_KEY not in upstream.definition_metadata:
            raise ArtifactError(f"{context.asset_key.to_user_string()} stores no value; depend on it by `deps`")
        path = self.settings.output / str(upstream.definition_metadata[PATH_KEY])
        return read_value(path, context.dagster_type.typing_type)


def write_value(path: Path, value: object) -> None:
    """Write a table, a frame, or an object with `write(folder)` under a temporary name and rename it into place.

    Raises
    ------
    TypeError
        For a value of another type.
    """
    if isinstance(value, pd.DataFrame | pa.Table):
        write_atomically(path, table_bytes(value))
    elif isinstance(value, FolderValue):
        with folder_written_atomically(path) as folder:
            value.write(folder)
    else:
        raise TypeError(f"{path}: a {type(value).__name__} has no stored form; return a DataFrame, a pyarrow Table or an object with write(folder)")


def read_value(path: Path, wanted: Any) -> Any:
    """Read what `write_value` wrote, as the type `wanted`: `pandas.DataFrame`, `pyarrow.Table`, or a class with `read(folder)`.

    Raises
    ------
    ArtifactError
        Nothing is there, or it cannot be read as that type.
    """
    if not path.exists():
        raise ArtifactError(f"{path} does not exist; materialize the asset that writes it first (`switchyard plan` makes all up to the training plan)")
    if wanted is pd.DataFrame:
        return _read_table(path).to_pandas()
    if wanted is pa.Table:
        return _read_table(path)
    if not hasattr(wanted, "read"):
        raise TypeError(f"{path}: cannot be read as {wanted}; annotate the input as DataFrame, pyarrow Table or a class with read(folder)")
    try:
        return wanted.read(path)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path}: cannot be read as {wanted.__name__}: {error}; materialize it again") from error


def table_bytes(value: pd.DataFrame | pa.Table) -> bytes:
    """One table as Parquet, without anything that differs between equal tables; a column that holds no value at all is one of text."""
    table = pa.Table.from_pandas(value, preserve_index=False) if isinstance(value, pd.DataFrame) else value
    table = table.cast(pa.schema([field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in table.schema]))
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), buffer, compression="zstd", use_dictionary=True, write_statistics=True)
    return buffer.getvalue()


def content_version(value: pd.DataFrame | pa.Table | str) -> str:
    """Data version of a value: 16 hexadecimal digits of its content."""
    data = value.encode() if isinstance(value, str) else table_bytes(value)
    return hashlib.sha256(data).hexdigest()[:16]


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, UnicodeError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: not a readable Parquet file: {error}; materialize it again") from error
