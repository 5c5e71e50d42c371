"""Whether a model on disk is one of a plan's job, or left from an earlier plan.

Belongs here: that one question, which prediction, the leaderboard and blends must answer alike. Does not: which models serve which pair
(`training_assets.prediction`), or reading a folder (`training_assets.model_store`).
"""

from collections.abc import Sequence

from training_assets.contracts import ModelCard, TrainingJob, TrainingType
from training_assets.ensemble import BLEND, blend_features

BASE_FAMILY = "base_family"
POOLED_SYMBOLS = "pooled_symbols"
"""Details of a blend's card: the family of its pooled part, and the symbols which that part was fitted on."""


def pooled_jobs(jobs: Sequence[TrainingJob]) -> dict[str, TrainingJob]:
    """The cross-sectional jobs of a plan, by target."""
    return {job.target: job for job in jobs if job.training_type is TrainingType.CROSS_SECTIONAL}


def serves(card: ModelCard, job: TrainingJob, pooled: TrainingJob | None) -> bool:
    """Whether a model on disk is one of this job, and not of an earlier plan with other families, features, symbols or route.

    `pooled` : the plan's cross-sectional job of the target, which a blend must stand on; read for blends alone.
    """
    return mismatch(card, job, pooled) is None


def mismatch(card: ModelCard, job: TrainingJob, pooled: TrainingJob | None) -> str | None:
    """As `serves`: what keeps a model from being one of this job, in words; None where nothing does."""
    for name in ("job_id", "target", "symbol", "route"):
        if getattr(card, name) != getattr(job, name):
            return f"its {name} is {getattr(card, name)}, the plan's {getattr(job, name)}"
    if card.symbols != job.symbols:
        return _difference("pools", card.symbols or (), job.symbols or ())
    if card.family != BLEND:
        if card.family not in job.model_families:
            return f"the plan trains {', '.join(job.model_families)}, not {card.family}"
        return None if card.features in features_read(job) else _difference("reads", card.features, job.features)
    base = card.details.get(BASE_FAMILY)
    if pooled is None or base not in job.model_families or base not in pooled.model_families:
        return f"the plan has no pooled {base} of {job.target}"
    if card.details.get(POOLED_SYMBOLS) != list(pooled.symbols or ()):
        return _difference("stands on a model that pools", card.details.get(POOLED_SYMBOLS, ()), pooled.symbols or ())
    able = {blend_features(local, below) for local in features_read(job) for below in features_read(pooled)}
    return None if card.features in able else _difference("reads", card.features, blend_features(job.features, pooled.features))


def features_read(job: TrainingJob) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns that a job's families read, in order: most of them, and those that need the state of the market too."""
    return job.features, job.features + tuple(name for name in job.state_features if name not in job.features)


def _difference(verb: str, found: Sequence[str], planned: Sequence[str]) -> str:
    added, lost = [name for name in found if name not in planned], [name for name in planned if name not in found]
    told = [f"{verb} {', '.join(added)} beyond the plan"] if added else []
    told += [f"{verb} no {', '.join(lost)}"] if lost else []
    return "it " + (" and ".join(told) or f"{verb} the plan's in another order")
