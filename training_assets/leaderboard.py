"""The models of a plan side by side, by their own cards.

Belongs here: finding the cards of a plan's jobs and ordering them by out-of-sample score. Does not: any new score; the holdout is the routing
report's.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from resources.files import encode_name
from training_assets.contracts import ModelCard, TrainingPlan
from training_assets.model_store import CARD_FILE, read_card

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
    """Cards of the models that lie where a job of the plan puts its models, in the plan's order, families by name.

    Raises
    ------
    training_assets.model_store.ModelError
        A card that cannot be read.
    """
    cards = []
    for job in plan.jobs:
        place = "cross_sectional" if job.symbol is None else f"symbol={encode_name(job.symbol)}"
        folder = models_root / encode_name(job.target) / place
        found = [read_card(path.parent) for path in sorted(folder.glob(f"*/{CARD_FILE}"))]
        cards += [card for card in found if card.job_id == job.job_id]
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
