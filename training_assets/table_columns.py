"""The columns of the training side's tables: the leakage audit and the leaderboard.

Belongs here: kinds, bounds and meanings, for whoever reads a table in the UI. Does not: making the tables (`leakage.audit`, `leaderboard`).
"""

from config.sections.base import LeakageStatus
from resources.table_columns import Column
from training_assets.contracts import Route

AUDIT = (
    Column("target", "text", "Target the finding holds for; missing where it holds for all.", nullable=True),
    Column("symbol", "text", "Symbol the finding holds for; missing where it holds for all.", nullable=True),
    Column("feature", "text", "Feature the finding holds for; missing where it is about the target or the data.", nullable=True),
    Column("detector", "text", "Detector that ran, named for the sin it finds."),
    Column("statistic", "number", "The number found; for a detector without a finding the worst it saw.", nullable=True),
    Column("threshold", "number", "The bound it was held against.", nullable=True),
    Column("status", "text", "What the finding makes of its subject; UNKNOWN where the detector could not run.", words=tuple(LeakageStatus)),
    Column("accepted", "flag", "Whether leakage.accept lets the finding pass."),
    Column("message", "text", "What was found, the number against the bound, what it means and what to do."),
    Column("score_with", "number", "Rank correlation out of sample of a quick pooled model with what is quarantined.", nullable=True),
    Column("score_without", "number", "The same without it.", nullable=True),
    Column("data_hash", "text", "The data that was audited, as the plans name it."),
)
LEADERBOARD = (
    Column("target", "text", "Target the model predicts."),
    Column("symbol", "text", "Symbol of a local model; missing for a pooled one.", nullable=True),
    Column("route", "text", "Route under which it was trained.", words=tuple(Route)),
    Column("family", "text", "Model family."),
    Column("metric", "text", "Metric of the score.", nullable=True),
    Column("score", "number", "Out-of-sample score.", nullable=True),
    Column("ci_low", "number", "Lower end of its interval.", nullable=True),
    Column("ci_high", "number", "Upper end of its interval.", nullable=True),
    Column("n_oos_rows", "count", "Rows the score was taken on.", low=0),
    Column("n_rows", "count", "Rows the model was fitted on.", low=0),
    Column("experimental", "flag", "Whether the model was trained in the experimental lane."),
    Column("device", "text", "Device it was fitted on.", nullable=True),
    Column("model_id", "text", "The model's id."),
)
