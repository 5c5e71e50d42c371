"""The `switchyard` command: parses, hands over, and turns what happened into an exit status.

Belongs here: the process boundary. Does not: what a command does (`command.commands`, `command.inspection`). The only place that catches everything, since
a traceback reaches a user only with `--debug`.
"""

import argparse
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence

import orjson

from config.load import ConfigError
from resources.artifact_store import ArtifactError
from resources.market_data.records import DataError
from resources.output_lock import OutputError
from routing_assets.command.commands import CommandResult, plan, predict, run, train, ui, validate
from routing_assets.command.inspection import diff_plans, explain_pair, what_if_settings
from routing_assets.command.options import build_parser
from routing_assets.command.pipeline import RunError, UsageError
from routing_assets.command.pruning import prune
from routing_assets.command.setup_commands import completion, init
from routing_assets.command.terminal import BAD, coloured, has_colour, painted
from routing_assets.decisions.plan_documents import PlanError
from routing_assets.evidence.candidates_table import CandidatesError
from training_assets.model_store import ModelError
from training_assets.panel.build import PanelError
from training_assets.panel.targets.base import TargetError
from training_assets.plan_reader import TrainingPlanError
from training_assets.splits import SplitError

COMMANDS: dict[str, Callable[[argparse.Namespace], CommandResult]] = {
    "run": run,
    "plan": plan,
    "train": train,
    "explain": explain_pair,
    "what-if": what_if_settings,
    "diff": diff_plans,
    "predict": predict,
    "validate": validate,
    "ui": ui,
    "prune": prune,
    "init": init,
    "completion": completion,
}
DONE, FAILED, REFUSED = 0, 1, 2
_REFUSALS = (
    UsageError,
    ConfigError,
    DataError,
    PanelError,
    TargetError,
    SplitError,
    PlanError,
    TrainingPlanError,
    CandidatesError,
    ModelError,
    ArtifactError,
    OutputError,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    if not arguments.debug:
        warnings.simplefilter("ignore")
    try:
        result = COMMANDS[arguments.command](arguments)
    except _REFUSALS as error:
        return _refuse(arguments, REFUSED, str(error), traceback.format_exc())
    except RunError as error:
        return _refuse(arguments, FAILED, str(error), error.traceback or traceback.format_exc())
    except KeyboardInterrupt:
        return _refuse(arguments, FAILED, "interrupted; what was finished is saved, and the same command goes on from there", "")
    except Exception as error:  # noqa: BLE001 - the process boundary: a fault of ours becomes one line and a status
        return _refuse(arguments, FAILED, f"{type(error).__name__}: {error}; --debug shows where", traceback.format_exc())
    text = painted(result.text) if has_colour(sys.stdout) else result.text
    sys.stdout.write(orjson.dumps(result.document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n" if arguments.json else text)
    not_done = coloured("not done", BAD) if has_colour(sys.stderr) else "not done"
    for line in result.problems[:20]:
        sys.stderr.write(f"{not_done}: {line}\n")
    if len(result.problems) > 20:
        sys.stderr.write(f"{not_done}: and {len(result.problems) - 20} more\n")
    return result.status


def _refuse(arguments: argparse.Namespace, status: int, message: str, trace: str) -> int:
    if arguments.json:
        sys.stdout.write(orjson.dumps({"status": status, "error": message}).decode() + "\n")
    sys.stderr.write(f"switchyard {arguments.command}: {message}\n")
    if arguments.debug and trace:
        sys.stderr.write(trace)
    return status


if __name__ == "__main__":
    sys.exit(main())
