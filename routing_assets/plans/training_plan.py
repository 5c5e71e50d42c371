"""The routing plan becomes jobs: what is trained, on which symbols, with which families and features.

Belongs here: the plan's content and the consumers' filters. Does not: its files (`training_plan_files`), or fitting (`training_assets`).
"""

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from config.sections.base import TaskType
from config.sections.training import TrainingConfig
from routing_assets.contracts import Candidates, Mode, RoutingPlan
from routing_assets.decisions.plan_documents import SCHEMA_VERSION, PlanError, collector_paused
from routing_assets.evidence.feature_sets import feature_set_id
from routing_assets.plans.left_out import has_no_local_job, targets_in_data
from routing_assets.plans.plan_inputs import horizons_by_target, with_further_inputs
from training_assets.contracts import Route, Stage, TrainingJob, TrainingPlan, TrainingType
from training_assets.families.base import Family
from training_assets.plan_reader import content_hash, with_families

SCORING_LIBRARIES = ("lightgbm", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "TA-Lib")
PRIORITIES = {Route.BOTH: 3, Route.CROSS_SECTIONAL: 2, Route.SYMBOL_SPECIFIC: 2, Route.EXPERIMENTAL_ONLY: 1}
POOLED_ROUTES = (Route.CROSS_SECTIONAL, Route.BOTH)
LOCAL_ROUTES = (Route.SYMBOL_SPECIFIC, Route.BOTH, Route.EXPERIMENTAL_ONLY)


@dataclass(frozen=True)
class _TargetFacts:
    """What the candidates say of one target: its task, its pooled row's feature set and rows, and each symbol's."""

    task_type: TaskType
    feature_set_id: str | None
    n_rows: int | None
    symbols: dict[str, tuple[str | None, int | None]]


def make_training_plan(
    routing: RoutingPlan,
    candidates: Candidates,
    feature_sets: Mapping[str, tuple[str, ...]],
    families: Iterable[Family],
    config: TrainingConfig,
    state_features: Mapping[str, tuple[str, ...]] | None = None,
    library_versions: Mapping[str, str] | None = None,
    training_settings: Mapping[str, Any] | None = None,
    symbols: Collection[str] | None = None,
) -> TrainingPlan:
    """The jobs of a routing plan, ordered by priority (highest first), target, symbol, the pooled job before local ones.

    One cross-sectional job a target pools exactly the symbols routed CROSS_SECTIONAL or BOTH; one symbol-specific job stands for each pair
    routed SYMBOL_SPECIFIC, BOTH or EXPERIMENTAL_ONLY. A pair that is in the experimental lane for its pooled side alone has none where a gate that
    closes the lane refused its local side, and targets and symbols that the data lack have none; the summary's `left_out` names them. A job that no
    configured family can take is left out and counted.

    Parameters
    ----------
    feature_sets : features by target, in the order models see them.
    families : the registry's entries; `config.families` names those in use, without regard to case.
    state_features : by target, features that tell the market's state, for the families that need one where the target's own tell nothing of it.
    library_versions : of `plan_libraries`, named in the metadata as given, so that two runs can be told apart by them.
    training_settings : of `content_key.training_settings`, named in the metadata as given; the versions of the plan's slices hold them.
    symbols : of the panel that the jobs are for; targets are then those of `feature_sets`. None where the candidates' own are all there.

    Raises
    ------
    PlanError
        A configured family that does not exist, a routed target without features or task type, a pair the candidates do not hold.
    """
    chosen = choose_families(families, config.families)
    entries, left_out = targets_in_data(routing, feature_sets, symbols)
    with collector_paused():
        facts = _facts(candidates, routing)
        drafts = [job for target, entry in entries.items() for job in _target_jobs(target, entry, facts[target], feature_sets, chosen)]
    if config.model_types == "cross-sectional":
        drafts = [job for job in drafts if job.training_type is TrainingType.CROSS_SECTIONAL]
    trained = with_further_inputs([job for job in drafts if job.model_families], chosen, horizons_by_target(candidates), state_features or {})
    jobs = tuple(sorted(trained, key=lambda job: (-job.priority, job.target, job.symbol is not None, job.symbol or "")))
    routed = {key: routing.metadata[key] for key in ("config_hash", "data_hash", "git_commit", "metrics_snapshot", "dev_mode")}
    metadata: dict[str, Any] = {
        **routed,
        "schema_version": SCHEMA_VERSION,
        "routing_plan_id": routing.plan_id,
        "total_jobs": len(jobs),
        "model_families": sorted({name for job in jobs for name in job.model_families}),
        "library_versions": dict(library_versions or {}),
        "training_settings": dict(training_settings or {}),
    }
    n_without_family = sum(not job.model_families for job in drafts)
    summary = summarise(jobs, int(routing.metadata["route_counts"][Route.BLOCKED]), n_without_family, left_out)
    document = training_plan_document(TrainingPlan(metadata, jobs, summary))
    metadata["run_id"] = f"run-{content_hash(document)[:12]}"
    return TrainingPlan({**metadata, "plan_id": content_hash({**document, "metadata": metadata})}, jobs, summary)


def plan_libraries(families: Iterable[Family], wanted: Iterable[str]) -> frozenset[str]:
    """Distributions whose version can change a plan or its models: those that score, and those of the families in use. Raises as `choose_families`."""
    return frozenset(SCORING_LIBRARIES).union(*(family.libraries for family in choose_families(families, wanted)))


def training_plan_document(plan: TrainingPlan) -> dict[str, Any]:
    """The plan as one mapping, ready for JSON, as in the contract, section 4."""
    return {"metadata": plan.metadata, "jobs": [job_document(job) for job in plan.jobs], "summary": plan.summary}


def job_document(job: TrainingJob) -> dict[str, Any]:
    """One job as a mapping."""
    stages = {str(stage): list(job.stage_families.get(stage, ())) for stage in Stage}
    lists = {"features": list(job.features), "symbols": None if job.symbols is None else list(job.symbols)}
    return {**vars(job), **lists, "stage_families": stages, "model_families": list(job.model_families)}


def job_id(training_type: TrainingType, target: str, symbol: str | None) -> str:
    """An id that is one to one with its parts, for any names: each is percent-encoded, so that `:` only ever separates."""
    parts = [str(training_type), quote(target, safe=""), *([] if symbol is None else [quote(symbol, safe="")])]
    return ":".join(parts)


def choose_families(families: Iterable[Family], wanted: Iterable[str]) -> tuple[Family, ...]:
    """Registry entries by name, without regard to case, each once. Raises PlanError for a name that is not there."""
    known = {family.name.lower(): family for family in families}
    missing = [name for name in wanted if name.lower() not in known]
    if missing:
        close = difflib.get_close_matches(missing[0].lower(), known, n=1)
        hint = f"did you mean '{known[close[0]].name}'? there are" if close else "use some of"
        raise PlanError(f"training.families: '{missing[0]}' is no model family; {hint} {', '.join(sorted(family.name for family in known.values()))}")
    return tuple({name.lower(): known[name.lower()] for name in wanted}.values())


def filter_jobs(
    plan: TrainingPlan,
    targets: Iterable[str] = (),
    symbols: Iterable[str] = (),
    families: Iterable[str] = (),
    model_types: str = "both",
    routes: Iterable[str] = (),
) -> tuple[TrainingJob, ...]:
    """The jobs a consumer asked for; an empty selection means all.

    A cross-sectional job stays if it pools any of `symbols`, and keeps its whole pool: on other symbols it would be another model.
    `model_types` `cross-sectional` keeps pooled jobs only. Targets, families and routes match without regard to case; a route may be given without
    its `ROUTE_`. With ROUTE_BOTH go the pooled jobs that the blends of its pairs stand on.

    Raises
    ------
    PlanError
        A name that no job of the plan has.
    """
    chosen_targets = _matching("target", targets, {job.target for job in plan.jobs}, fold=True)
    chosen_symbols = _matching("symbol", symbols, {symbol for job in plan.jobs for symbol in (job.symbols or (job.symbol or "",))}, fold=False)
    chosen_families = _matching("family", families, {name for job in plan.jobs for name in job.model_families}, fold=True)
    full_names = [f"ROUTE_{name.upper().removeprefix('ROUTE_')}" for name in routes]
    chosen_routes = _matching("route", full_names, {str(job.route) for job in plan.jobs}, fold=True)

    def stays(job: TrainingJob) -> bool:
        names = set(job.symbols or (job.symbol,))
        return (not chosen_targets or job.target in chosen_targets) and (not chosen_symbols or bool(names & chosen_symbols))

    blended = {job.target for job in plan.jobs if Route.BOTH in chosen_routes and job.route is Route.BOTH and stays(job)}
    jobs = []
    for job in plan.jobs:
        routed = not chosen_routes or str(job.route) in chosen_routes or (job.symbol is None and job.target in blended)
        if stays(job) and routed and (model_types != "cross-sectional" or job.training_type is TrainingType.CROSS_SECTIONAL):
            narrowed = with_families(job, tuple(chosen_families))
            jobs += [narrowed] if narrowed.model_families else []
    return tuple(jobs)


def summarise(jobs: Iterable[TrainingJob], n_blocked: int, n_without_family: int = 0, left_out: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Counts of jobs by route, type and priority; `total_blocked` counts pairs.

    `left_out` : what is routed and has no job, `{code, target, symbol, reason}`; a null target or symbol stands for all.
    """
    jobs = tuple(jobs)
    by_type = Counter(str(job.training_type) for job in jobs)
    return {
        "by_route": dict(sorted(Counter(str(job.route) for job in jobs).items())),
        "by_type": dict(sorted(by_type.items())),
        "by_priority": dict(sorted(Counter(str(job.priority) for job in jobs).items())),
        "total_cs_jobs": by_type[TrainingType.CROSS_SECTIONAL],
        "total_symbol_jobs": by_type[TrainingType.SYMBOL_SPECIFIC],
        "total_blocked": n_blocked,
        "total_without_family": n_without_family,
        "left_out": [dict(item) for item in left_out],
    }


def _target_jobs(
    target: str, entry: Mapping[str, Any], facts: _TargetFacts, feature_sets: Mapping[str, tuple[str, ...]], families: tuple[Family, ...]
) -> list[TrainingJob]:
    pairs = {symbol: (Route(pair["route"]), pair) for symbol, pair in sorted(entry["symbols"].items())}
    if all(route is Route.BLOCKED or has_no_local_job(pair) for route, pair in pairs.values()):
        return []
    features = feature_sets.get(target)
    if not features:
        raise PlanError(f"target '{target}' is routed to training, but has no feature set; select features for it first")
    pooled = tuple(symbol for symbol, (route, _) in pairs.items() if route in POOLED_ROUTES)
    for_blends = any(route is Route.BOTH for route, _ in pairs.values())
    jobs = [_pooled_job(target, pooled, for_blends, entry["cross_sectional"], facts, features, families)] if pooled else []
    stages = {flag: _stages(families, facts.task_type, single_symbol=True, cheap_only=flag) for flag in (False, True)}
    for symbol, (route, pair) in pairs.items():
        if route in LOCAL_ROUTES and not has_no_local_job(pair):
            experimental = route is Route.EXPERIMENTAL_ONLY
            set_id, n_rows = facts.symbols[symbol]
            job = TrainingJob(
                job_id=job_id(TrainingType.SYMBOL_SPECIFIC, target, symbol),
                target=target,
                symbol=symbol,
                symbols=None,
                route=route,
                training_type=TrainingType.SYMBOL_SPECIFIC,
                stage_families=stages[experimental],
                priority=PRIORITIES[route],
                feature_set_id=set_id or facts.feature_set_id or feature_set_id(features),
                features=features,
                estimated_samples=n_rows,
                reason=", ".join(pair["reason"]) or f"{pair['local_state']} on its own",
                metadata=_job_metadata(pair["cs_state"], pair["local_state"], route),
            )
            jobs.append(job)
    return jobs


def _pooled_job(
    target: str,
    symbols: tuple[str, ...],
    for_blends: bool,
    side: Mapping[str, Any],
    facts: _TargetFacts,
    features: tuple[str, ...],
    families: tuple[Family, ...],
) -> TrainingJob:
    counts = [facts.symbols[symbol][1] for symbol in symbols]
    known = [count for count in counts if count is not None]
    return TrainingJob(
        job_id=job_id(TrainingType.CROSS_SECTIONAL, target, None),
        target=target,
        symbol=None,
        symbols=symbols,
        route=Route.CROSS_SECTIONAL,
        training_type=TrainingType.CROSS_SECTIONAL,
        stage_families=_stages(families, facts.task_type, single_symbol=False, cheap_only=False),
        priority=PRIORITIES[Route.CROSS_SECTIONAL],
        feature_set_id=facts.feature_set_id or feature_set_id(features),
        features=features,
        estimated_samples=sum(known) if len(known) == len(counts) else facts.n_rows,
        reason=f"pooled side {side['state']}: {len(symbols)} symbols",
        # Says to the trainer that blends stand on this job's models, which are then cross-fitted over the whole of their training time.
        metadata={**_job_metadata(side["state"], None, Route.CROSS_SECTIONAL), "needs_cs_ensemble": for_blends},
    )


def _job_metadata(cs_state: str, local_state: str | None, route: Route) -> dict[str, Any]:
    return {"cs_state": cs_state, "local_state": local_state, "needs_cs_ensemble": route is Route.BOTH, "experimental": route is Route.EXPERIMENTAL_ONLY}


def _stages(families: tuple[Family, ...], task_type: TaskType, *, single_symbol: bool, cheap_only: bool) -> dict[str, tuple[str, ...]]:
    able = [
        family for family in families if task_type in family.task_types and (family.single_symbol or not single_symbol) and (family.cheap or not cheap_only)
    ]
    return {stage: tuple(family.name for family in able if family.stage is stage) for stage in Stage}


def _facts(candidates: Candidates, routing: RoutingPlan) -> dict[str, _TargetFacts]:
    """Facts by target; every routed pair must be in the table."""
    columns = (candidates.table.column(name).to_pylist() for name in ("task_type", "feature_set_id", "sample_size", "mode"))
    tasks: dict[str, TaskType] = {}
    pooled: dict[str, tuple[str | None, int | None]] = {}
    local: dict[str, dict[str, tuple[str | None, int | None]]] = {target: {} for target in candidates.targets}
    for target_code, symbol_code, task, set_id, n_rows, mode in zip(candidates.target_codes.tolist(), candidates.symbol_codes.tolist(), *columns, strict=True):
        target = candidates.targets[target_code]
        if task is not None and tasks.setdefault(target, TaskType(task)) != task:
            raise PlanError(f"target '{target}' is both {tasks[target]} and {task} in the candidates; one target has one task type")
        if mode == Mode.CROSS_SECTIONAL:
            pooled[target] = (set_id, n_rows)
        else:
            local[target][candidates.symbols[symbol_code]] = (set_id, n_rows)
    for target, entry in routing.targets.items():
        missing = set(entry["symbols"]) - set(local.get(target, ()))
        if missing or target not in local:
            raise PlanError(f"the routing plan has {target}/{min(missing, default='')}, the candidates have not; route these candidates again")
        if target not in tasks and any(pair["route"] != Route.BLOCKED for pair in entry["symbols"].values()):
            raise PlanError(f"target '{target}' is routed to training, but no row of the candidates states its task_type")
    default = TaskType.REGRESSION  # only targets without any job are left here
    return {target: _TargetFacts(tasks.get(target, default), *pooled.get(target, (None, None)), symbols) for target, symbols in local.items()}


def _matching(kind: str, wanted: Iterable[str], known: set[str], *, fold: bool) -> set[str]:
    form = str.lower if fold else str
    places = {form(name): name for name in known}
    missing = [name for name in wanted if form(name) not in places]
    if missing:
        raise PlanError(f"no job of the plan has {kind} '{missing[0]}'; it has {', '.join(sorted(known)[:10])}{' ...' if len(known) > 10 else ''}")
    return {places[form(name)] for name in wanted}
