"""The `switchyard` command: parses, hands over, and turns what happened into an exit status.

Belongs here: the process boundary. Does not: what a command does (`command.commands`, `command.inspection`). The only place that catches everything, since
a traceback reaches a user only with `--debug`.
"""

import argparse
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence

from resources.instance import StorageError
from routing_assets.command.commands import CommandResult, plan, predict, run, train, ui, validate
from routing_assets.command.inspection import diff_plans, explain_pair, what_if_settings
from routing_assets.command.options import WrongWordsError, parse_words
from routing_assets.command.pipeline import RunError
from routing_assets.command.printing import print_document, print_error, print_problem, print_text
from routing_assets.command.pruning import prune
from routing_assets.command.refusals import REFUSALS
from routing_assets.command.setup_commands import completion, init

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
MAX_PROBLEMS = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status, or ends the process where the words make no command, as argparse does."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = parse_words(words)
    except WrongWordsError as error:
        raise SystemExit(_refuse(error.program, REFUSED, str(error), as_json="--json" in words)) from None
    if not arguments.debug:
        warnings.simplefilter("ignore")
        # Without any handler Python prints the warnings of libraries (a database that is asked again, say) on standard error.
        logging.getLogger().addHandler(logging.NullHandler())
    try:
        result = COMMANDS[arguments.command](arguments)
        print_document(result.document) if arguments.json else print_text(result.text)
    except REFUSALS as error:
        return _refuse_command(arguments, REFUSED, str(error), traceback.format_exc())
    except RunError as error:
        return _refuse_command(arguments, FAILED, str(error), error.traceback or traceback.format_exc())
    except StorageError as error:
        return _refuse_command(arguments, FAILED, str(error), traceback.format_exc())
    except KeyboardInterrupt:
        return _refuse_command(arguments, FAILED, "interrupted; what was finished is saved, and the same command goes on from there", "")
    except Exception as error:  # noqa: BLE001 - the process boundary: a fault of ours becomes one line and a status
        return _refuse_command(arguments, FAILED, f"{type(error).__name__}: {error}; --debug shows where", traceback.format_exc())
    for line in result.problems[:MAX_PROBLEMS]:
        print_problem(line)
    if len(result.problems) > MAX_PROBLEMS:
        print_problem(f"and {len(result.problems) - MAX_PROBLEMS} more")
    return result.status


def _refuse_command(arguments: argparse.Namespace, status: int, message: str, trace: str) -> int:
    return _refuse(f"switchyard {arguments.command}", status, message, as_json=arguments.json, trace=trace if arguments.debug else "")


def _refuse(program: str, status: int, message: str, *, as_json: bool, trace: str = "") -> int:
    if as_json:
        print_document({"status": status, "error": message}, indented=False)
    print_error(f"{program}: {message}\n{trace}")
    return status


if __name__ == "__main__":
    sys.exit(main())
