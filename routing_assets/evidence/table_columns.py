"""The columns of the evidence tables: ranking, selection and stability.

Belongs here: kinds, bounds and meanings, for whoever reads a table in the UI. Does not: making the tables (`ranking`, `selection`, `stability`).
"""

from config.sections.base import Stability, TaskType
from resources.table_columns import Column
from routing_assets.contracts import Mode
from routing_assets.evidence.selectors import SELECTORS

TARGET = Column("target", "text", "Target.")
RANKING = (
    TARGET,
    Column("task_type", "text", "What kind of label it has.", words=tuple(TaskType)),
    Column("metric_name", "text", "Metric of its scores."),
    Column("skill", "number", "Distance of the score from its null as a share of that of a perfect score.", nullable=True, high=1.0),
    Column("skill_ci_low", "number", "Lower end of its interval; targets are ranked by it.", nullable=True, high=1.0),
    Column("pooled_score", "number", "Out-of-sample score of the pooled side.", nullable=True),
    Column("pooled_ci_low", "number", "Lower end of its interval.", nullable=True),
    Column("local_mean_score", "number", "Mean out-of-sample score of the local sides.", nullable=True),
    Column("local_mean_ci_low", "number", "Lower end of its interval.", nullable=True),
    Column("n_labelled", "count", "Labelled rows before the holdout.", low=0),
    Column("rank", "count", "Place among the targets, 1 the best.", low=1),
    Column("selected", "flag", "Whether the target is routed."),
    Column("reason", "text", "Why it is, or is not."),
)
SELECTION = (
    TARGET,
    Column("feature", "text", "Feature."),
    *(Column(name, "number", f"Evidence of the selector {name}, in units of what chance gives.", nullable=True) for name in SELECTORS),
    Column("consensus", "number", "Mean of the selectors.", nullable=True),
    Column("canary_bound", "number", "Consensus that a feature has to exceed: what random canaries reach.", nullable=True),
    Column("rank", "count", "Place among the target's features, 1 the best.", low=1),
    Column("selected", "flag", "Whether it beats the canaries, within features.top_m."),
    Column("given", "flag", "Whether the target's models are given it, unless the audit takes it away: selected, or one of the best where few are."),
    Column("reason", "text", "Why it is, or is not."),
    Column("fit_start_code", "count", "First time code of the rows that the choice saw; -1 where nothing was measured.", low=-1),
    Column("fit_end_code", "count", "Last time code of them, the ends of their labels included; -1 where nothing was measured.", low=-1),
)
STABILITY = (
    TARGET,
    Column("symbol", "text", "Symbol of a local side; missing on the pooled one.", nullable=True),
    Column("mode", "text", "Pooled or local side.", words=tuple(Mode)),
    Column("stability", "text", "The name of what was measured.", words=tuple(Stability)),
    Column("stability_score", "number", "Agreement of the features used from one snapshot to the next, corrected for chance.", nullable=True),
    Column("stability_ci_low", "number", "Lower end of its interval.", nullable=True),
    Column("mean_overlap", "number", "Mean share of features that two snapshots have in common.", nullable=True, low=0.0, high=1.0),
    Column("std_overlap", "number", "Its deviation.", nullable=True, low=0.0),
    Column("mean_tau", "number", "Mean rank agreement of two snapshots.", nullable=True),
    Column("std_tau", "number", "Its deviation.", nullable=True, low=0.0),
    Column("n_snapshots", "count", "Snapshots compared.", low=0),
    Column("persistence", "number", "Share of the earlier half's association that the later half has.", nullable=True),
    Column("persistence_ci_high", "number", "Upper bound of it.", nullable=True),
)
