"""What a number of models asks of a deployment: events, rows, store, hours by cores; the table of docs/deploy.md.

    python docs/deploy_sizes.py

A formula over measured costs of one job, no simulation: every cost below grows with the number of jobs and with nothing else, as long as runs hold
`resources.models_per_run` jobs. Costs of a fit depend on rows, features and families; the one here is said in `FIT_SECONDS`.
"""

import math
from dataclasses import dataclass

JOBS = (1_000, 10_000, 100_000, 1_000_000)
CORES = (2, 16, 64, 512)
MODELS_PER_RUN = 100
EVENTS_PER_JOB = 2
"""Materializations: the slice of the plan, and the model."""
ROWS_PER_JOB = 12
"""Rows that one job adds to all tables, from its plan to its models: partition, slice, run events, tags (counted on SQLite, 20 and 60 jobs)."""
STORE_BYTES_PER_JOB = 20_000
"""Growth of the instance's folder a job (counted as above)."""
MODEL_BYTES = 540_000
"""A LightGBM on 4,000 rows with its card and its out-of-sample predictions; an XGBoost takes 460,000, a Ridge 18,000."""
FIT_SECONDS = 0.45
"""One job of one LightGBM on 4,000 rows of 20 features: scored out of sample, fitted for keeps and saved, on one core; an XGBoost takes 0.3, a Ridge 0.01."""
EVENT_SECONDS = 0.02
"""One materialization on the default SQLite of a quiet machine (7 to 50 ms were measured, by load; about 20 on PostgreSQL with batched events)."""
RUN_SECONDS = 6.0
"""Process start, imports and queue of a run."""
CONCURRENT_RUNS_CORES = 8
"""Cores that one run's process pool is given; the runs of a backfill share the rest."""


@dataclass(frozen=True)
class Size:
    """What so many jobs of one model each ask for."""

    n_jobs: int
    n_runs: int
    n_events: int
    n_rows: int
    store_bytes: int
    model_bytes: int

    def hours(self, cores: int) -> float:
        """Wall hours on so many cores: fits in parallel, events one after the other within a run, and runs side by side."""
        runs_at_once = max(1, min(self.n_runs, cores // CONCURRENT_RUNS_CORES))
        bookkeeping = (self.n_events / 2 * EVENT_SECONDS + self.n_runs * RUN_SECONDS) / runs_at_once
        return (self.n_jobs * FIT_SECONDS / cores + bookkeeping) / 3600.0


def size_of(n_jobs: int) -> Size:
    """The size of a deployment that trains so many jobs once."""
    n_runs = math.ceil(n_jobs / MODELS_PER_RUN)
    return Size(n_jobs, n_runs, n_jobs * EVENTS_PER_JOB, n_jobs * ROWS_PER_JOB, n_jobs * STORE_BYTES_PER_JOB, n_jobs * MODEL_BYTES)


def table() -> str:
    """The table in Markdown."""
    hours = " | ".join(f"hours on {cores} cores" for cores in CORES)
    lines = [f"| models | runs | events | database rows | instance | models on disk | {hours} |", "| ---: |" + " ---: |" * (5 + len(CORES))]
    for n_jobs in JOBS:
        size = size_of(n_jobs)
        spent = " | ".join(_hours(size.hours(cores)) for cores in CORES)
        places = f"{_bytes(size.store_bytes)} | {_bytes(size.model_bytes)}"
        lines.append(f"| {n_jobs:,} | {size.n_runs:,} | {size.n_events:,} | {size.n_rows:,} | {places} | {spent} |")
    return "\n".join(lines)


def _bytes(number: float) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"


def _hours(number: float) -> str:
    return f"{number:.2f}" if number < 10 else f"{number:,.0f}"


if __name__ == "__main__":
    print(table())  # noqa: T201 - the program's answer
