"""The sensor that asks for a new plan when market data changed and came to rest.

Belongs here: listing files and asking Dagster for a run. Does not: what changed (`training_assets.market_changes`).
"""

import time
from functools import partial

import dagster as dg

from resources.market_data.digest import whole_digest
from resources.market_data.records import DataError
from resources.market_data.sources import list_market_files
from resources.settings import Settings
from training_assets.market_changes import market_changes
from training_assets.partitions import DATA_VERSION_TAG

READ_SECONDS = 15.0
"""How long a look goes on to read files: a quarter of the minute that Dagster gives it, since the last file may be a large one."""


@dg.sensor(
    job_name="plan_only",
    minimum_interval_seconds=60,
    description="Watches the market data's files; once a batch of changes has come to rest (two looks see the same), asks for one new plan.",
)
def new_market_data_sensor(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult:
    try:
        data = settings.load().data
        files = list_market_files(data)
    except (DataError, OSError) as error:
        # A folder that cannot be read is not an empty one: the cursor stays, and nothing is asked for.
        return dg.SensorResult(skip_reason=f"market data cannot be listed: {error}")
    end = time.monotonic() + READ_SECONDS
    changes = market_changes(context.cursor, files, partial(whole_digest, max_bytes=data.max_file_bytes), lambda: time.monotonic() < end)
    cursor = changes.cursor.text()
    if not changes.any:
        waiting = f"; {changes.describe()}" if changes.held else ""
        return dg.SensorResult(skip_reason=f"{len(files)} files, nothing new{waiting}", cursor=cursor)
    if changes.unread:
        return dg.SensorResult(skip_reason=f"{changes.describe()}; {len(changes.unread)} of them left to read, the next look goes on", cursor=cursor)
    if not changes.settled:
        return dg.SensorResult(skip_reason=f"{changes.describe()}; waiting until a second look sees the same", cursor=cursor)
    context.log.info(f"{len(files)} files: {changes.describe()}; asking for a new plan")
    tags = {"switchyard/market_data": changes.batch_key, "switchyard/why": changes.describe()}
    observed = dg.AssetObservation("market_files", tags={DATA_VERSION_TAG: changes.cursor.version}, metadata={"n_files": len(files), "why": changes.describe()})
    request = dg.RunRequest(run_key=f"data:{changes.batch_key}", tags=tags)
    return dg.SensorResult(run_requests=[request], cursor=cursor, asset_events=[observed])
