"""The process's own means: workers, caches (`config/resources.yaml`)."""

from pydantic import Field

from config.sections.base import PositiveInt, Section


class ResourcesConfig(Section):
    """How much of the machine is used; none of it changes a result."""

    workers: PositiveInt | None = Field(None, description="Worker processes of the CPU stage; null means one a core.")
    force_refresh: bool = Field(False, description="Compute and train again what is already there under the same content key.")
    models_per_run: PositiveInt = Field(100, description="Jobs a Dagster run of a backfill holds.")
