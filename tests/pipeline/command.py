"""The command as its users meet it: a small market and configuration that plan and train in seconds, runs of it, and what it left on disk."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from routing_assets.cli import main

SYMBOLS = ("AAA", "BBB", "CCC")
# Two targets, six features, two families, and gates that let every pair through, so that every kind of model is trained.
TINY_CONFIG = """\
targets:
  builtin:
  - {builder: forward_realized_volatility, horizon: 5d}
  - {builder: volatility_rise, horizon: 5d}
  auto_rank: false
features:
  include: [log_return_1, log_return_5, volatility_5, volatility_21, log_range, rsi_14]
  auto_select: false
training: {families: [Ridge, LightGBM], blend_folds: 2}
scoring: {gbm_rounds: 5}
routing:
  min_sample_size: {symbol: 50, cross_sectional: 100, effective_symbol: 5, effective_cross_sectional: 5}
  significance: {method: none, max_q: 1.0}
  stability_allowlist: {cross_sectional: [STABLE, DRIFTING, DIVERGED, UNKNOWN], symbol: [STABLE, DRIFTING, DIVERGED, UNKNOWN]}
  stability_classification: {n_blocks: 4, n_bootstraps: 5}
  both_strong_behavior: ROUTE_BOTH
  cross_sectional: {min_score: {classification: 0.4, regression: {default: -0.5}}}
  symbol: {min_score: {classification: 0.4, regression: {default: -0.5}}}
resources: {workers: 1}
"""


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str


def bars(n_bars: int = 400, seed: int = 0) -> pd.DataFrame:
    """Daily bars whose volatility comes in waves; index 0..n_bars-1, times naive."""
    generator = np.random.default_rng(seed)
    spread = 0.01 * np.exp(0.8 * np.sin(np.arange(n_bars) / 20.0 + seed))
    close = 100.0 * np.exp(np.cumsum(generator.normal(size=n_bars) * spread))
    high, low = close * (1.0 + spread), close * (1.0 - spread)
    times = pd.date_range("2020-01-01", periods=n_bars, freq="D")
    return pd.DataFrame({"timestamp": times, "open": close, "high": high, "low": low, "close": close, "volume": 1e6 + np.arange(n_bars)})


def write_market(folder: Path, symbols: tuple[str, ...] = SYMBOLS, n_bars: int = 400) -> Path:
    """A Parquet file a symbol; the seed is the symbol's place in `SYMBOLS`, so the order of writing does not matter."""
    folder.mkdir(parents=True, exist_ok=True)
    for symbol in symbols:
        bars(n_bars, SYMBOLS.index(symbol)).to_parquet(folder / f"{symbol}.parquet")
    return folder


def write_config(folder: Path, text: str = TINY_CONFIG) -> Path:
    """A configuration folder of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "all.yaml").write_text(text, encoding="utf-8")
    return folder


def switchyard(*words: object) -> Answer:
    """The command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(word) for word in words])
        except SystemExit as ended:  # argparse's own way out
            status = ended.code if isinstance(ended.code, int) else 1
    return Answer(status, out.getvalue(), err.getvalue())


def command_line(*words: object) -> list[str]:
    """The command as another process would be started with it."""
    return [sys.executable, "-m", "routing_assets.cli", *(str(word) for word in words)]


def process_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with one thread a library, less what would steer the command, and `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SWITCHYARD_", "DAGSTER_"))}
    return {**kept, "OMP_NUM_THREADS": "1", **(extra or {})}


def start_process(*words: object, extra: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The command in a process group of its own, its output piped."""
    return subprocess.Popen(
        command_line(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=process_environment(extra), start_new_session=True
    )


def switchyard_process(*words: object, extra: Mapping[str, str] | None = None) -> Answer:
    """The command in a process of its own, to its end."""
    process = start_process(*words, extra=extra)
    out, err = process.communicate(timeout=180)
    return Answer(process.returncode, out, err)


def results(output: Path) -> dict[str, bytes]:
    """Every file of an output folder that a run is to give again byte for byte, by its path.

    Left out: Dagster's instance and the lock (they hold times and process ids), the pages of the quality suites (they say when they were made), the
    settings (they hold places), and of a model card how long the fit took and which plan first asked for the model, which a cached model keeps.
    """
    found = {}
    for path in sorted(output.rglob("*")):
        relative = path.relative_to(output)
        if not path.is_file() or relative.parts[0] in (".dagster", ".lock", ".pen", ".jobs", "data_docs", "settings.json"):
            continue
        content = path.read_bytes()
        if path.name == "model_card.json":
            card = {key: value for key, value in json.loads(content).items() if key not in ("fit_seconds", "plan_id")}
            content = json.dumps(card, sort_keys=True).encode()
        found[str(relative)] = content
    return found


def everything(folder: Path) -> dict[str, bytes]:
    """Every file of a folder as it stands, by its path; empty where there is none."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def leftovers(output: Path) -> list[str]:
    """Files and folders under the temporary names of writers."""
    return [str(path) for path in output.rglob("*") if path.name.startswith((".writing-", ".retired-"))]


def tells_done(line: str, stage: str) -> bool:
    """Whether a line of progress says that a stage is done; the count before it (`[ 3/12]`) differs from command to command."""
    return re.match(rf"(\[ *\d+/\d+\] +)?{re.escape(stage)}", line) is not None
