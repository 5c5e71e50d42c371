"""The training plan on disk: the master document, its mirrors and views, finding it, and reading it so that it fails closed.

Belongs here: files. Does not: what a job is (`training_plan`), or text layout (`plan_documents`).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from resources.files import encode_name, folder_written_atomically
from routing_assets.decisions.plan_documents import Line, PlanError, collector_paused, json_text, lay_out, read_document, yaml_text
from routing_assets.decisions.plan_markdown import cell
from routing_assets.plans.training_plan import training_plan_document
from training_assets.contracts import Stage, TrainingJob, TrainingPlan
from training_assets.plan_reader import job_of_document

MASTER = "master_training_plan.json"
MAX_JOBS = 1_000  # beyond this a list is searched, not read
PLAN_FOLDER = Path("globals") / "training_plan"
OLDER_FOLDER = Path("METRICS") / "training_plan"
DEPTHS = {"metadata": 2, "jobs": 1, "summary": 2}
VIEWS: dict[str, Callable[[TrainingJob], tuple[str, ...]]] = {
    "by_target": lambda job: (job.target,),
    "by_symbol": lambda job: job.symbols if job.symbols is not None else (job.symbol or "",),
    "by_type": lambda job: (str(job.training_type),),
    "by_route": lambda job: (str(job.route),),
}


def write_training_plan(plan: TrainingPlan, folder: Path, formats: tuple[str, ...]) -> None:
    """Write the master document, its mirrors in `formats` and the views by target, symbol, type and route.

    The folder is replaced as a whole: no reader sees views of one plan beside the master of another.
    """
    with collector_paused():
        lines = lay_out(training_plan_document(plan), DEPTHS)
    first = next((place for place, line in enumerate(lines) if line.key is None), 0)
    text = json_text(lines)
    with folder_written_atomically(folder) as place:
        (place / MASTER).write_bytes(text)
        if "json" in formats:
            (place / "training_plan.json").write_bytes(text)
        if "yaml" in formats:
            (place / "training_plan.yaml").write_bytes(yaml_text(lines))
        if "md" in formats:
            (place / "training_plan.md").write_text(training_plan_markdown(plan), encoding="utf-8")
        for view, names_of in VIEWS.items():
            _write_view(plan, lines[first : first + len(plan.jobs)], place / view, names_of)


def find_training_plan(output_dir: Path, training_plan_dir: Path | None = None) -> Path:
    """The folder of the plan in use: the one named, else the first that holds a master document, in the contract's order.

    Raises
    ------
    PlanError
        None of the places holds one; they are listed.
    """
    if training_plan_dir is not None:
        if not (training_plan_dir / MASTER).is_file():
            raise PlanError(f"{training_plan_dir / MASTER}: missing; name the folder that `switchyard plan` wrote, usually <output>/{PLAN_FOLDER}")
        return training_plan_dir
    places = [base / folder for folder in (PLAN_FOLDER, OLDER_FOLDER) for base in (output_dir, output_dir.parent)]
    places.append(Path("results") / OLDER_FOLDER)
    for place in places:
        if (place / MASTER).is_file():
            return place
    raise PlanError(f"no training plan: {MASTER} is in none of {', '.join(map(str, places))}; make one with `switchyard plan`")


def load_training_plan(folder: Path, data_hash: str | None = None, *, allow_no_jobs: bool = False) -> TrainingPlan:
    """Read a folder's master document.

    Parameters
    ----------
    data_hash : of the panel the plan is about to be used on; None where there is none (filters, views).
    allow_no_jobs : accept a valid plan that trains nothing, as a router that blocked every pair makes it.

    Raises
    ------
    PlanError
        Missing, unreadable, empty, not a training plan, tampered, or made from other data.
    """
    file = folder / MASTER
    document = read_document(file, ("metadata", "jobs", "summary"), data_hash)
    try:
        with collector_paused():
            jobs = tuple(job_of_document(job) for job in document["jobs"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlanError(f"{file}: a job is not as the schema wants it: {type(error).__name__}: {error}; make the plan again with `switchyard plan`") from None
    if len({job.job_id for job in jobs}) != len(jobs):
        raise PlanError(f"{file}: two jobs share an id; make the plan again with `switchyard plan`")
    if not jobs and not allow_no_jobs:
        raise PlanError(f"{file}: empty: the plan has no jobs, every pair is blocked; `switchyard explain TARGET SYMBOL` says why")
    return TrainingPlan(document["metadata"], jobs, document["summary"])


def training_plan_markdown(plan: TrainingPlan) -> str:
    """The plan for a reader: totals, a row a target, and every job while they are few enough to read."""
    metadata, summary = plan.metadata, plan.summary
    lines = [f"# Training plan {metadata['plan_id']}", ""]
    if metadata["dev_mode"]:
        lines += ["**Made in dev_mode: the leakage and sample gates were relaxed. Not for production.**", ""]
    lines += [f"{metadata['total_jobs']:,} jobs from routing plan {metadata['routing_plan_id']} · data {metadata['data_hash']} · run {metadata['run_id']}", ""]
    lines += [f"Families: {', '.join(metadata['model_families']) or 'none'}", "", "| jobs | by | count |", "| --- | --- | ---: |"]
    for group in ("by_route", "by_type", "by_priority"):
        lines += [f"| {group.removeprefix('by_')} | {name} | {count:,} |" for name, count in summary[group].items()]
    lines += [f"| blocked pairs | | {summary['total_blocked']:,} |", f"| jobs without a family that can take them | | {summary['total_without_family']:,} |"]
    lines += ["", "## Targets", "", "| target | pooled symbols | local jobs | experimental |", "| --- | ---: | ---: | ---: |"]
    rows: dict[str, list[int]] = {}
    for job in plan.jobs:
        row = rows.setdefault(job.target, [0, 0, 0])
        row[0] += len(job.symbols or ())
        row[1] += job.symbols is None and not job.experimental
        row[2] += job.experimental
    lines += [f"| {cell(target)} | {' | '.join(f'{count:,}' for count in rows[target])} |" for target in sorted(rows)]
    lines += _left_out_rows(summary.get("left_out", ()))
    return "\n".join([*lines, *_job_rows(plan)]) + "\n"


def _left_out_rows(left_out: Sequence[Mapping[str, Any]]) -> list[str]:
    if not left_out:
        return []
    rows = [f"| {cell(item['target'] or 'all')} | {cell(item['symbol'] or 'all')} | {cell(item['reason'])} |" for item in left_out[:MAX_JOBS]]
    more = ["", f"and {len(left_out) - MAX_JOBS:,} more; {MASTER} holds each."] if len(left_out) > MAX_JOBS else []
    return ["", "## Routed and not trained", "", "| target | symbol | why |", "| --- | --- | --- |", *rows, *more]


def _job_rows(plan: TrainingPlan) -> list[str]:
    if len(plan.jobs) > MAX_JOBS:
        return ["", "## Jobs", "", f"{len(plan.jobs):,} jobs are too many to read; {MASTER} and `by_target/` hold each."]
    lines = [
        "",
        "## Jobs",
        "",
        "| target | fitted on | route | priority | CPU stage | GPU stage | features | rows, about |",
        "| --- |" + " --- |" * 2 + " ---: | --- | --- | ---: | ---: |",
    ]
    for job in plan.jobs:
        fitted_on = f"{len(job.symbols):,} symbols" if job.symbols is not None else cell(job.symbol or "")
        stages = " | ".join(", ".join(job.stage_families.get(stage, ())) for stage in Stage)
        rows = "" if job.estimated_samples is None else f"{job.estimated_samples:,}"
        lines.append(f"| {cell(job.target)} | {fitted_on} | {job.route} | {job.priority} | {stages} | {len(job.features):,} | {rows} |")
    return lines


def _write_view(plan: TrainingPlan, job_lines: list[Line], folder: Path, names_of: Callable[[TrainingJob], tuple[str, ...]]) -> None:
    """One JSON a name, its jobs as they stand in the master document."""
    folder.mkdir()
    groups: dict[str, list[Line]] = {}
    for job, line in zip(plan.jobs, job_lines, strict=True):
        for name in names_of(job):
            groups.setdefault(name, []).append(line)
    written: dict[str, str] = {}
    for name, lines in groups.items():
        file = encode_name(name)
        if written.setdefault(file.lower(), name) != name:  # some file systems do not tell the cases apart
            file = f"{file}~{len(written)}"
            written[file.lower()] = name
        head: Mapping[str, Any] = {"metadata": {"name": name, "plan_id": plan.metadata["plan_id"], "n_jobs": len(lines)}}
        text = json_text([Line(0, b'"jobs"', b"[", b"]"), *lines, *lay_out(head, {"metadata": 1})])
        (folder / f"{file}.json").write_bytes(text)
