"""The words of the command line: parsers, and what each option means as settings.

Belongs here: argparse and the map from options to dotted configuration keys. Does not: doing anything (`cli`, `command.commands`).
"""

import argparse
import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from resources.settings import DEFAULT_OUTPUT_DIR, Settings
from routing_assets.command.completion import SHELLS, commands_of

MAX_PORT = 65_535
MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 4095  # of a file and of the path to one, as Linux and macOS have them at most
MODEL_TYPES = ("cross-sectional", "sequential", "both")
# Options whose value is the value of one key.
KEYS = {
    "symbols": "data.symbols",
    "targets": "targets.only",
    "families": "training.families",
    "model_types": "training.model_types",
    "top_n_targets": "targets.top_n",
    "top_m_features": "features.top_m",
    "auto_targets": "targets.auto_rank",
    "auto_features": "features.auto_select",
    "seed": "seed",
    "workers": "resources.workers",
}
FILTERS = ("symbols", "targets", "families", "model_types")
EXAMPLES = {
    "run": (
        "switchyard run",
        "switchyard run --data-dir bars --output-dir results",
        "switchyard run --data-dir bars --families Ridge LightGBM --top-n-targets 5",
    ),
    "plan": ("switchyard plan --data-dir bars", "switchyard plan --set routing.significance.max_q=0.05", "switchyard plan --candidates candidates.parquet"),
    "train": ("switchyard train", "switchyard train --unfinished", "switchyard train --symbols AAPL --routes both", "switchyard train --no-training-plan"),
    "explain": ("switchyard explain forward_return_5d AAPL", "switchyard explain forward_return_5d", "switchyard explain forward_return_5d AAPL --json"),
    "what-if": ("switchyard what-if --set routing.significance.max_q=0.05", "switchyard what-if --set routing.both_strong_behavior=PREFER_CS --limit 5"),
    "diff": ("switchyard diff results other_results", "switchyard diff results/globals/training_plan other_results/globals/training_plan --json"),
    "predict": (
        "switchyard predict",
        "switchyard predict --data-dir newer_bars --symbols AAPL MSFT",
        "switchyard predict --all-bars --predictions-file all.parquet",
    ),
    "validate": ("switchyard validate --data-dir bars", "switchyard validate --config-dir my_config"),
    "ui": ("switchyard ui", "switchyard ui --output-dir results --port 3001"),
    "prune": ("switchyard prune --dry-run", "switchyard prune --output-dir results --set resources.keep_retired_days=7"),
    "init": ("switchyard init --data-dir bars", "switchyard init --data-dir bars --config-dir my_config --force"),
    "completion": ('eval "$(switchyard completion bash)"', "switchyard completion fish > ~/.config/fish/completions/switchyard.fish"),
}


class WrongWordsError(ValueError):
    """Words that make no command; `program` is the command that they were meant for."""

    def __init__(self, program: str, message: str) -> None:
        super().__init__(message)
        self.program = program


class _Parser(argparse.ArgumentParser):
    """Raises in place of printing a page of usage and ending the process."""

    def error(self, message: str) -> NoReturn:
        raise WrongWordsError(self.prog, f"{message}{_nearest_choice(message)}; see `{self.prog} --help`")


def parse_words(words: Sequence[str]) -> argparse.Namespace:
    """The words of a command line; `--help` prints and ends the process.

    Raises
    ------
    WrongWordsError
        No command, an unknown one, an unknown or missing option, a value that is none for its option.
    """
    parser = build_parser()
    arguments, unknown = parser.parse_known_args(words)
    if not unknown:
        return arguments
    program = f"switchyard {arguments.command}"
    known = [name for option in dict(commands_of(parser))[arguments.command][1] for name in option.names]
    near = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1) if unknown[0].startswith("-") else []
    hint = f"; did you mean {near[0]}?" if near else ""
    raise WrongWordsError(program, f"unrecognized arguments: {' '.join(unknown)}{hint}; see `{program} --help`")


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = _Parser(
        prog="switchyard",
        description="Decides, for every target and symbol of a market panel, where to train a model, and trains it.",
        epilog="Exit status: 0 done, 1 something asked for did not succeed (the rest is done and saved), 2 wrong usage, configuration or data.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = _command(commands, "run", "plan, train, and report", data=True)
    run.add_argument("--skip-training", action="store_true", help="stop after the training plan, like `plan`")
    plan = _command(commands, "plan", "everything up to the training plan", data=True)
    plan.add_argument("--candidates", type=_place, metavar="FILE", help="route this candidates table (Parquet) in place of our own")
    train = _command(commands, "train", "train what a plan says", data=True)
    train.add_argument("--training-plan-dir", type=_place, metavar="DIR", help="folder of the plan; default: the places of the output tree")
    train.add_argument("--routes", nargs="+", metavar="ROUTE", help="only jobs of these routes, for instance both, symbol_specific")
    train.add_argument("--unfinished", action="store_true", help="only jobs that lack a model: those that failed, and those never trained")
    train.add_argument("--no-training-plan", action="store_true", help="train every pair that no leakage gate blocks")
    explain = _command(commands, "explain", "a decision, and every number behind it")
    explain.add_argument("target")
    explain.add_argument("symbol", nargs="?")
    what_if = _command(commands, "what-if", "route the stored candidates under other settings (--set)")
    what_if.add_argument("--limit", type=_count, default=20, help="pairs listed (default 20)")
    diff = _command(commands, "diff", "what differs between two training plans; exit 1 when they differ")
    diff.add_argument("plan_a", type=_place, metavar="PLAN_A")
    diff.add_argument("plan_b", type=_place, metavar="PLAN_B")
    predict = _command(commands, "predict", "predict with the trained models of the plan", data=True)
    predict.add_argument("--training-plan-dir", type=_place, metavar="DIR", help="folder of the plan; default: the places of the output tree")
    predict.add_argument("--all-bars", action="store_true", help="every bar; default: the newest of each symbol")
    predict.add_argument("--experimental", action="store_true", help="also models of the experimental lane")
    predict.add_argument("--predictions-file", type=_place, metavar="FILE", help="default: OUTPUT_DIR/predictions.parquet")
    _command(commands, "validate", "check configuration and data, train nothing", data=True)
    ui = _command(commands, "ui", "the Dagster UI on this output folder", data=True)
    ui.add_argument("--port", type=_port, default=3000, help="port on 127.0.0.1 (default 3000)")
    prune = _command(commands, "prune", "mark and delete models of no plan, and forget old runs")
    prune.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    init = _command(commands, "init", "look at data, say what was found, write a configuration folder that fits")
    init.add_argument("--data-dir", type=_place, required=True, metavar="DIR", help="folder or file of bars")
    init.add_argument("--force", action="store_true", help="write over configuration that is there")
    completion = _command(commands, "completion", "the script that completes this command line in a shell")
    completion.add_argument("shell", choices=SHELLS)
    return parser


def settings_of(arguments: argparse.Namespace, *, filters_are_settings: bool = True) -> Settings:
    """The settings that a parsed command line means.

    Parameters
    ----------
    filters_are_settings : False where symbols, targets, families and model types choose jobs of a plan, and so must not change the data it is used on.
    """
    values = {
        key: value
        for option, key in KEYS.items()
        if (value := getattr(arguments, option, None)) is not None and (filters_are_settings or option not in FILTERS)
    }
    if getattr(arguments, "data_dir", None) is not None:
        values |= {"data.source": "directory", "data.path": str(arguments.data_dir)}
    if getattr(arguments, "force_refresh", False):
        values["resources.force_refresh"] = True
    candidates = getattr(arguments, "candidates", None)
    return Settings(
        config_dir=None if arguments.config_dir is None else str(arguments.config_dir),
        output_dir=str(arguments.output_dir),
        overrides=list(arguments.set),
        values_json=json.dumps(values, sort_keys=True),
        candidates_file=None if candidates is None else str(candidates),
    )


def chosen(arguments: argparse.Namespace, option: str) -> tuple[str, ...]:
    """The names given to a filter option, none when it was not given."""
    return tuple(getattr(arguments, option, None) or ())


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text} is no port; give one of 1 to {MAX_PORT}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no count; give 0 or more")
    return int(text)


def _place(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} names no place; give a path")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise argparse.ArgumentTypeError(f"{text!r} is no UTF-8, and settings that name it could not be stored; rename the folder")
    longest = max(text.split("/"), key=_n_bytes)
    if _n_bytes(longest) > MAX_NAME_BYTES:
        raise argparse.ArgumentTypeError(
            f"a name of {_n_bytes(longest)} bytes > {MAX_NAME_BYTES} ({longest[:40]!r}...) is none that a file can have; give a path"
        )
    if _n_bytes(text) > MAX_PATH_BYTES:
        raise argparse.ArgumentTypeError(
            f"a path of {_n_bytes(text)} bytes > {MAX_PATH_BYTES} ({text[:40]!r}...) is too long for the system; give a shorter one"
        )
    return Path(text)


def _n_bytes(text: str) -> int:
    return len(text.encode())


def _nearest_choice(message: str) -> str:
    """`did you mean ...?` for argparse's own words on a value that is none of its choices."""
    value, separator, choices = message.partition(" (choose from ")
    near = difflib.get_close_matches(value.rpartition(": ")[2].strip("'"), choices.rstrip(")").replace("'", "").split(", "), n=1) if separator else []
    return f"; did you mean {near[0]}?" if near else ""


def _command(commands: Any, name: str, summary: str, data: bool = False) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog="\n  ".join(("examples:", *EXAMPLES[name])),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output-dir", type=_place, default=Path(DEFAULT_OUTPUT_DIR), metavar="DIR", help="where everything is written (default results)")
    parser.add_argument("--config-dir", type=_place, metavar="DIR", help="folder of YAML files (default: config, else the packaged one)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, for instance routing.significance.max_q=0.05; repeatable")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    if data:
        _add_data_options(parser)
    return parser


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=_place, metavar="DIR", help="folder or file of bars; default: the source in the configuration")
    parser.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="only these symbols")
    parser.add_argument("--targets", nargs="+", metavar="TARGET", help="only these targets")
    parser.add_argument("--families", nargs="+", metavar="FAMILY", help="only these model families")
    parser.add_argument("--model-types", choices=MODEL_TYPES, help="cross-sectional: pooled jobs only; sequential, both: every job, CPU stage before GPU stage")
    parser.add_argument("--top-n-targets", type=int, metavar="N", help="targets kept by ranking")
    parser.add_argument("--top-m-features", type=int, metavar="M", help="features kept by selection")
    parser.add_argument("--auto-targets", action=argparse.BooleanOptionalAction, help="rank targets and keep the best (default on)")
    parser.add_argument("--auto-features", action=argparse.BooleanOptionalAction, help="select features by consensus (default on)")
    parser.add_argument("--seed", type=int, help="seed of everything random")
    parser.add_argument("--workers", type=int, metavar="N", help="worker processes of the CPU stage (default: one a core)")
    parser.add_argument("--force-refresh", action="store_true", help="train again what is already there")
