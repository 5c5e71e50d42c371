"""One output tree to an instance: its partition sets and asset keys have no place for a second.

Belongs here: whose an instance is. Does not: opening it (`resources.instance`), or the lock on the tree (`resources.output_lock`).
"""

from pathlib import Path

import dagster as dg
from dagster._core.storage.runs.sqlite import SqliteRunStorage

from resources.output_lock import OutputError

CLAIM_KEY = "switchyard/output"


def claim_instance(instance: dg.DagsterInstance, output: Path) -> None:
    """Note in the instance that it serves this output tree. One whose tree is gone is free, and SQLite inside a tree goes with that tree.

    Raises
    ------
    OutputError
        The instance serves another tree: the plan of either would retire the partitions of the other.
    """
    tree = output.resolve()
    holder = instance.run_storage.get_cursor_values({CLAIM_KEY}).get(CLAIM_KEY)
    if holder == str(tree):
        return
    if holder is not None and Path(holder).is_dir() and not _lies_in(instance, tree):
        raise OutputError(
            f"{output}: its Dagster instance serves {holder}, and one instance holds the partitions of one output tree; give this one its own "
            "(a DAGSTER_HOME, and on PostgreSQL a database), or delete the other tree"
        )
    instance.run_storage.set_cursor_values({CLAIM_KEY: str(tree)})


def _lies_in(instance: dg.DagsterInstance, tree: Path) -> bool:
    return instance.is_persistent and isinstance(instance.run_storage, SqliteRunStorage) and Path(instance.root_directory).resolve().is_relative_to(tree)
