"""The process's own means: workers, caches (`config/resources.yaml`)."""

from typing import Literal

from pydantic import Field, field_validator

from config.addresses import has_user_info
from config.sections.base import Count, PositiveInt, Section


class ResourcesConfig(Section):
    """How much of the machine is used; none of it changes a result."""

    workers: PositiveInt | None = Field(None, description="Worker processes of the CPU stage; null means one a core.")
    backend: Literal["local", "ray"] = Field(
        "local", description="Where the CPU stage's workers are: processes of this machine, or actors of a Ray cluster (extra `ray`; `RAY_ADDRESS` names it)."
    )
    store: str | None = Field(
        None,
        description="Address of a store that holds the output tree (`s3://bucket/folder`, any address of fsspec); the output folder is then its cache. "
        "It names no user and no password. Null means that the output folder is all there is.",
    )
    force_refresh: bool = Field(False, description="Compute and train again what is already there under the same content key.")
    models_per_run: PositiveInt = Field(100, description="Jobs a Dagster run of a backfill holds.")
    plan_fresh_days: PositiveInt = Field(
        7, description="Days after which a training plan that was not made again counts as stale in the UI; half of them warn."
    )
    models_fresh_days: PositiveInt = Field(31, description="The same for each model asset as a whole.")
    keep_event_days: PositiveInt = Field(90, description="Days after which `switchyard prune` deletes a finished run with its events.")
    keep_retired_days: Count = Field(30, description="Days a model of no job of the plan is kept, once `switchyard prune` has marked it retired.")

    @field_validator("store")
    @classmethod
    def store_holds_no_password(cls, value: str | None) -> str | None:
        """Refuse user-info: settings are written into the output folder and shown in the UI."""
        if value is not None and has_user_info(value):
            raise ValueError(
                "names a user or a password before the host, and settings are written down and shown; leave it out, and set the store's own variables "
                "or FSSPEC_<PROTOCOL>_USERNAME and FSSPEC_<PROTOCOL>_PASSWORD in the environment"
            )
        return value
