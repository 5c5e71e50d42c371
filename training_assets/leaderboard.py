"""The models of a plan side by side, by their own cards.

Belongs here: finding the cards of a plan's jobs and ordering them by out-of-sample score. Does not: any new score; the holdout is the routing
report's.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from training_assets.contracts import ModelCard, TrainingPlan
from training_assets.ensemble import blend_folder_name
from training_assets.model_store import CARD_FILE, model_folder, read_card
from training_assets.serving import pooled_jobs, serves

LEADERBOARD_COLUMNS = (
    "target",
    "symbol",
    "route",
    "family",
    "metric",
    "score",
    "ci_low",
    "ci_high",
    "n_oos_rows",
    "n_rows",
    "experimental",
    "device",
    "model_id",
)


def read_cards(models_root: Path, plan: TrainingPlan) -> tuple[ModelCard, ...]:
    """Cards of the models that the plan's jobs trained, in the plan's order, families by name; what earlier plans left there is not among them.

    Raises
    ------
    training_assets.model_store.ModelError
        A card that cannot be read.
    """
    cards, pooled = [], pooled_jobs(plan.jobs)
    for job in plan.jobs:
        names = sorted({*job.model_families, *(blend_folder_name(family) for family in job.model_families)})
        folders = [model_folder(models_root, job.target, job.symbol, name) for name in names]
        found = [read_card(folder) for folder in folders if (folder / CARD_FILE).exists()]
        cards += [card for card in found if serves(card, job, pooled.get(job.target))]
    return tuple(cards)


def leaderboard_frame(cards: Sequence[ModelCard]) -> pd.DataFrame:
    """One row a model, by target and falling score of its first out-of-sample metric; unknown numbers are NaN."""
    rows = []
    for card in cards:
        first = card.oos_metrics[0] if card.oos_metrics else None
        numbers = (first.metric, first.score, first.ci_low, first.ci_high, first.n_rows) if first else (None, None, None, None, 0)
        rows.append((card.target, card.symbol, str(card.route), card.family, *numbers, card.n_rows, card.experimental, card.device, card.model_id))
    frame = pd.DataFrame(rows, columns=list(LEADERBOARD_COLUMNS)).astype({"score": float, "ci_low": float, "ci_high": float})
    return frame.sort_values(["target", "score", "model_id"], ascending=[True, False, True], na_position="last", kind="stable").reset_index(drop=True)
