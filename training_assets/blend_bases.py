"""Which of a job's families blends (ROUTE_BOTH) are made of, and with what local part.

Belongs here: that one choice, which the pooled job (whose model is cross-fitted), the pair (whose blend stands on it) and the order of runs
must agree on. Does not: the blend itself (`training_assets.ensemble`), or its fits (`training_assets.blend_training`).
"""

from collections.abc import Mapping, Sequence

from training_assets.contracts import Route, Stage, TrainingJob, TrainingType
from training_assets.families import ridge
from training_assets.families.base import Family


def blend_bases(known: Mapping[str, Family], wanted: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The families, of those a job trains, that blends are made of: the wanted ones, else the first that fits.

    Families that learn across symbols only are never among them, so that a pooled job and its pairs come to the same answer. Where none is wanted,
    one that can learn on top of another model's score comes before one that can only be averaged with it.

    Parameters
    ----------
    known : families by name; a name that nobody knows is left for the trainer to refuse.
    wanted : `training.blend_families`, in any case.
    """
    able = [name for name in names if name not in known or known[name].single_symbol]
    folded = {name.casefold() for name in wanted}
    chosen = tuple(name for name in able if name.casefold() in folded)
    if chosen:
        return chosen
    return tuple([name for name in able if name in known and known[name].takes_offset][:1] or able[:1])


def local_part_of(base: Family) -> Family:
    """The family that learns what a pooled model of `base` leaves of one symbol.

    A tree or linear family does it itself. What a pooled net leaves is small and one symbol's history short: there a ridge, shrunk by the panel's
    prior, learns what a net would only overfit, and in a thousandth of the time.
    """
    return base if base.stage is Stage.CPU else ridge.FAMILY


def blend_stage(known: Mapping[str, Family], wanted: Sequence[str], job: TrainingJob) -> Stage | None:
    """The stage after which a job's blends can be made, that of the last pooled model they stand on; None for a job that is not blended."""
    if job.route is not Route.BOTH or job.training_type is not TrainingType.SYMBOL_SPECIFIC:
        return None
    bases = blend_bases(known, wanted, job.model_families)
    if not bases:
        return None
    return Stage.GPU if set(bases) & set(job.stage_families.get(Stage.GPU, ())) else Stage.CPU
