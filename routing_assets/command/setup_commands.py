"""The commands that set a place up: init looks at data and writes a configuration folder that fits, completion serves the shell.

Belongs here: what is printed and which files are written. Does not: what follows from the data (`training_assets.panel.survey`), the text of a setting
(`config.reference`), or of a shell's script (`command.completion`).
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.load import PACKAGED_CONFIG_DIR, load_config
from config.reference import SECTION_FILES, render_section
from config.schema import Config
from resources.files import write_atomically
from resources.market_data.records import MarketData
from resources.market_data.sources import load_market_data
from resources.output_lock import OutputError
from resources.settings import DEFAULT_CONFIG_DIR
from routing_assets.command.commands import CommandResult
from routing_assets.command.completion import completion_script
from routing_assets.command.options import build_parser
from routing_assets.command.refusals import UsageError
from training_assets.panel.alignment import Alignment, align_bars
from training_assets.panel.survey import Survey, survey_bars

HEAD = "# Written by `switchyard init` for {data}; edit freely. Every key with its unit and bounds: docs/configuration.md\n"


def init(arguments: argparse.Namespace) -> CommandResult:
    """Look at the data, say what was found, and write a template folder."""
    folder = Path(arguments.config_dir or DEFAULT_CONFIG_DIR)
    if folder.resolve() == PACKAGED_CONFIG_DIR.resolve():
        raise UsageError(f"{folder} holds the defaults that come with switchyard, which stay as they are; name another folder with --config-dir")
    there = sorted(path.name for path in folder.glob("*.yaml"))
    if there and not arguments.force:
        raise UsageError(f"{folder} holds {', '.join(there)}; --force writes over them, --config-dir names another folder")
    values: dict[str, Any] = {"data.source": "directory", "data.path": str(arguments.data_dir.resolve())}
    config = load_config(None, arguments.set, values)
    data = load_market_data(config.data)
    alignment = align_bars(data.frames, config.data, config.targets, data.interval_minutes)
    survey = survey_bars(alignment, config)
    fitted = load_config(None, arguments.set, {**values, **survey.settings})
    files = template_files(fitted, survey.reasons, arguments.data_dir.name)
    try:
        for name, text in files.items():
            write_atomically(folder / name, text)
    except OSError as error:
        raise OutputError(f"configuration folder {folder} cannot be written: {error.strerror}; name another with --config-dir") from None
    problems = tuple(f"data: {problem}" for problem in (*data.problems, *alignment.problems))
    document = _document(data, alignment, survey, folder, list(files), problems)
    return CommandResult(_text(data, alignment, survey, folder, list(files)), document, problems, 1 if problems else 0)


def completion(arguments: argparse.Namespace) -> CommandResult:
    """Print the completion script of a shell."""
    script = completion_script(build_parser(), arguments.shell)
    return CommandResult(script, {"shell": arguments.shell, "script": script})


def template_files(config: Config, reasons: Mapping[str, str], data_name: str) -> dict[str, str]:
    """File name to YAML text: every section, every key with its effect above it, and why it differs from the default."""
    files: dict[str, str] = {}
    for section, name in SECTION_FILES.items():
        files.setdefault(name, HEAD.format(data=data_name.replace("\n", " ")))
        files[name] += render_section(section, config, reasons)
    return dict(sorted(files.items()))


def _text(data: MarketData, alignment: Alignment, survey: Survey, folder: Path, files: list[str]) -> str:
    report = alignment.report
    lines = [f"found     {data.describe()}", f"bars      {report.describe()}"]
    features = f"{len(report.supplied_features)} supplied: {', '.join(report.supplied_features[:8])}{' ...' if len(report.supplied_features) > 8 else ''}"
    lines.append(f"features  {features if report.supplied_features else 'none supplied; the built-in ones are used'}")
    known = [f"{info.name} ({info.horizon_bars} bars, {info.task_type})" for info in survey.targets]
    lines.append(f"targets   {f'{len(known)} supplied: ' + ', '.join(known) if known else 'none supplied that can be used; built from bars'}")
    lines += [f"not used  {why}" for why in survey.refused.values()]
    lines += [f"note      {note}" for note in (*report.notes, *survey.warnings)]
    lines += [f"set       {key}: {why}" for key, why in survey.reasons.items()]
    lines.append(f"wrote     {folder}: {', '.join(files)}")
    option = "" if folder == Path(DEFAULT_CONFIG_DIR) else f" --config-dir {folder}"
    lines.append(f"next      switchyard validate{option}, then switchyard plan{option}")
    return "\n".join(lines) + "\n"


def _document(data: MarketData, alignment: Alignment, survey: Survey, folder: Path, files: list[str], problems: tuple[str, ...]) -> dict[str, Any]:
    report = alignment.report
    return {
        "layout": str(data.layout),
        "symbols": list(alignment.bars.symbols),
        "n_bars": alignment.bars.n_rows,
        "interval_minutes": report.interval_minutes,
        "n_sessions": report.n_sessions,
        "first": report.first,
        "last": report.last,
        "supplied_features": list(report.supplied_features),
        "supplied_targets": [
            {"name": info.name, "horizon_bars": info.horizon_bars, "horizon_minutes": info.horizon_minutes, "task_type": str(info.task_type)}
            for info in survey.targets
        ],
        "refused_targets": dict(survey.refused),
        "settings": dict(survey.settings),
        "notes": [*report.notes, *survey.warnings],
        "problems": list(problems),
        "config_dir": str(folder),
        "files": files,
    }
