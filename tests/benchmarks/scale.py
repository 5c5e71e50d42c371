"""Planning a synthetic market by the real command: seconds by stage, memory, and how both grow.

    python -m tests.benchmarks.scale 60 120 250 500 --bars 2500 --features 100 --targets 4

One line a number of symbols and, with three or more of them, exponents fitted to the growth of each stage and of memory (1 is proportional to symbols).
Memory is the largest sum of proportional set sizes over the command and its workers, taken where most of it lies beyond what the same interpreters
take idle; `x panel` is what lies beyond these over the panel's own bytes (features and labels). `--data-dir` plans bars that are there.
"""

import argparse
import json
import resource
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tests.benchmarks.markets import settings_of, write_market
from tests.benchmarks.memory import IDLE_MEGABYTES, MEGABYTE, WORKER_IMPORTS, interpreter_bytes, run_watched


@dataclass(frozen=True)
class Planned:
    """What one planning run came to."""

    n_symbols: int
    seconds: float
    processor_seconds: float
    by_stage: dict[str, float]
    peak_bytes: int
    by_process: tuple[int, ...]
    private_bytes: int
    interpreter_bytes: int
    panel_bytes: int
    n_candidates: int

    @property
    def times_panel(self) -> float:
        return (self.peak_bytes - self.interpreter_bytes) / self.panel_bytes


def plan_market(data: Path, output: Path, options: Sequence[str]) -> Planned:
    """Run `switchyard plan` on a folder of bars and measure it from outside."""
    import pyarrow.parquet as pq

    command = [sys.executable, "-m", "routing_assets.cli", "plan", "--data-dir", str(data), "--output-dir", str(output), "--json", *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished, watched, seconds = run_watched(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    interpreter, worker = interpreter_bytes(), interpreter_bytes(WORKER_IMPORTS)
    peak = watched.peak(interpreter, worker)
    if finished.returncode not in (0, 1):
        raise RuntimeError(f"planning ended with status {finished.returncode}: {finished.stderr[-2000:]}")
    document = json.loads(finished.stdout)
    panel = output / "panel" / "panel"
    n_bytes = sum((panel / f"{name}.npy").stat().st_size for name in ("features", "labels"))
    n_symbols = len(json.loads((panel / "panel.json").read_text(encoding="utf-8"))["symbols"])
    n_rows = pq.read_metadata(output / "METRICS" / "routing_candidates.parquet").num_rows
    memory = (sum(peak.shares), peak.shares, sum(peak.private), interpreter + worker * peak.n_workers, n_bytes)
    return Planned(n_symbols, seconds, processor_seconds, document["seconds_by_step"], *memory, n_rows)


def plan_synthetic(n_symbols: int, n_bars: int, n_features: int, n_targets: int, extra: Sequence[str] = (), scratch: Path | None = None) -> Planned:
    """Write a market, plan it, and leave nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="scale-", dir=scratch))
    try:
        write_market(folder / "bars", n_symbols, n_bars)
        options = [part for setting in settings_of(n_features, n_targets) for part in ("--set", setting)]
        return plan_market(folder / "bars", folder / "out", [*options, *extra])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def growth_exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of log value over log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-3)), 1)[0])


def report_line(run: Planned) -> str:
    """Two lines: the whole, and the stages."""
    shares = " + ".join(f"{share / MEGABYTE:,.0f}" for share in run.by_process if share > MEGABYTE * IDLE_MEGABYTES)
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in run.by_stage.items() if seconds >= 0.05)
    sizes = f"interpreters {run.interpreter_bytes / MEGABYTE:,.0f}, not backed by files {run.private_bytes / MEGABYTE:,.0f}"
    return (
        f"{run.n_symbols:>6} symbols {run.seconds:8.1f} s (processor {run.processor_seconds:.1f} s)  peak {run.peak_bytes / MEGABYTE:8,.0f} MB ({shares}; "
        f"{sizes})  panel {run.panel_bytes / MEGABYTE:,.0f} MB, {run.times_panel:.2f} x panel  {run.n_candidates:,} candidates\n       {stages}"
    )


def report_growth(runs: Sequence[Planned]) -> list[str]:
    """Fitted exponents of everything that takes a second or more at the largest size."""
    sizes = [run.n_symbols for run in runs]
    processor = growth_exponent(sizes, [run.processor_seconds for run in runs])
    lines = [f"growth with symbols: seconds {growth_exponent(sizes, [run.seconds for run in runs]):.2f}, processor seconds {processor:.2f}"]
    lines.append(f"  memory beyond the interpreter {growth_exponent(sizes, [run.peak_bytes - run.interpreter_bytes for run in runs]):.2f}")
    for stage, seconds in runs[-1].by_stage.items():
        if seconds >= 1.0:
            lines.append(f"  {stage} {growth_exponent(sizes, [run.by_stage.get(stage, 0.0) for run in runs]):.2f}")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("symbols", type=int, nargs="*", help="numbers of symbols, ascending")
    parser.add_argument("--bars", type=int, default=2_500)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--targets", type=int, default=4)
    parser.add_argument("--data-dir", type=Path, help="plan these bars with the shipped features and targets")
    parser.add_argument("--scratch", type=Path, help="where bars and output lie meanwhile")
    parser.add_argument("--json", type=Path, help="write the figures there too, for `tests.benchmarks.page`")
    parser.add_argument("--set", dest="extra", action="append", default=[], help="as for `switchyard plan`")
    chosen = parser.parse_args(arguments)
    extra = [part for setting in chosen.extra for part in ("--set", setting)]
    if chosen.data_dir:
        with tempfile.TemporaryDirectory(prefix="scale-", dir=chosen.scratch) as folder:
            print(report_line(plan_market(chosen.data_dir, Path(folder), extra)), flush=True)
    runs = []
    for n_symbols in chosen.symbols:
        runs.append(plan_synthetic(n_symbols, chosen.bars, chosen.features, chosen.targets, extra, chosen.scratch))
        print(report_line(runs[-1]), flush=True)
    if len(runs) >= 3:
        print("\n".join(report_growth(runs)))
    if chosen.json:
        size = {"bars": chosen.bars, "features": chosen.features, "targets": chosen.targets}
        growth = report_growth(runs) if len(runs) >= 3 else []
        document = {"size": size, "settings": chosen.extra, "runs": [{**asdict(run), "times_panel": run.times_panel} for run in runs], "growth": growth}
        chosen.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
