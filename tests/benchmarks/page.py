"""The page of results, docs/benchmarks.md, from what `make bench` and `make bench-full` measured.

    python -m tests.benchmarks.page .benchmarks/run.json [--scale .benchmarks/scale.json ...]
        [--backfill .benchmarks/backfill.txt] [--ui .benchmarks/ui.txt] [--gpu .benchmarks/gpu.txt] [--record]

Belongs here: layout. Does not: any measurement. `--record` writes the ratios down as the ones that later runs are held against.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.conftest import RECORDED_FILE, TOLERANCE

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PACKAGES = ("numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "lightgbm", "xgboost", "torch", "dagster", "purgedcv", "pytest-benchmark")
HEAD = """# Benchmarks

Made by `make bench` (minutes) and `make bench-full`, which write this page; the last run's numbers, as they came out. Times are processor seconds of one
thread, the median over rounds that take turns with the baseline in the same process, so that a busy machine slows both. Seconds belong to the machine;
the last column belongs to the code, and a run fails where it falls below {tolerance:.0%} of what is recorded. No benchmark is part of `make test`.
"""


# Heading and first sentence of each part that a benchmark printed as a table of its own, by the option that names its file.
PRINTED = {
    "backfill": ("Backfill", "A backfill through the daemon beside the same work in a bare pool and as many bare events."),
    "ui": ("Pages of the UI", "What pages of the UI ask of a site with so many pairs trained, over GraphQL; seconds by the clock."),
    "gpu": ("Stacks on a GPU", "Nets of one symbol each, as one program and in a loop (`make bench-gpu`); seconds by the clock."),
}


def page_text(run: Mapping[str, Any], scales: Sequence[Mapping[str, Any]], printed: Mapping[str, str]) -> str:
    """The whole page in Markdown; `printed` holds what benchmarks of `PRINTED` printed, where they were run."""
    parts = [HEAD.format(tolerance=TOLERANCE), _machine(run["machine_info"]), _ratios(run["benchmarks"])]
    parts += [_scale(scale) for scale in scales]
    for name, (title, sentence) in PRINTED.items():
        if name in printed:
            parts.append(f"## {title}\n\n{sentence}\n\n```\n{printed[name].strip()}\n```\n")
    return "\n".join(parts)


def _machine(info: Mapping[str, Any]) -> str:
    cpu = info.get("cpu", {})
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{cpu.get('brand_raw', 'unknown processor')}, {cpu.get('count', '?')} cores; {info['system']}, Python {info['python_version']}; {packages}.\n"


def _ratios(benchmarks: Sequence[Mapping[str, Any]]) -> str:
    columns = ["what", "ours a second", "spread", "baseline", "baseline a second", "times as fast"]
    lines = ["## Against a baseline", "", _row(columns), _row(["---"] * len(columns))]
    for one in sorted(benchmarks, key=lambda item: str(item["fullname"])):
        extra, stats = one["extra_info"], one["stats"]
        spread = f"±{50 * stats['iqr'] / stats['median']:.0f}%"
        figures = [f"{stats['median']:.3g} s in all", spread, "", "", ""]
        if "ratio" in extra:
            ours, theirs = _short(extra["a_second"]), _short(extra["baseline_a_second"])
            figures = [f"{ours} {extra['unit']}", spread, extra["baseline"], theirs, f"**{extra['ratio']:.3g}**"]
        lines.append(_row([_words(one["name"]), *figures]))
    return "\n".join(lines) + "\n"


def _scale(document: Mapping[str, Any]) -> str:
    size = document["size"]
    settings = f" ({', '.join(document['settings'])})" if document["settings"] else ""
    lines = [f"## Planning {size['bars']:,} bars a symbol, {size['features']} features, {size['targets']} targets{settings}", ""]
    columns = ["symbols", "seconds", "processor s", "peak MB", "interpreters MB", "panel MB", "beyond them, x panel", "candidates", "longest stages, s"]
    lines += [_row(columns), _row(["---"] * len(columns))]
    for run in document["runs"]:
        longest = sorted(run["by_stage"].items(), key=lambda item: -item[1])[:4]
        sizes = [f"{run[name] / 1e6:,.0f}" for name in ("peak_bytes", "interpreter_bytes", "panel_bytes")]
        counts = [f"{run['n_symbols']:,}", f"{run['seconds']:.0f}", f"{run['processor_seconds']:.0f}", *sizes]
        stages = ", ".join(f"{name} {seconds:.0f}" for name, seconds in longest)
        lines.append(_row([*counts, f"{run['times_panel']:.2f}", f"{run['n_candidates']:,}", stages]))
    if document["growth"]:
        lines += ["", "Fitted exponents (1 is in proportion to the symbols):", "", "```", *document["growth"], "```"]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _words(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ").replace("[", " (").replace("]", ")")


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="what pytest wrote with --benchmark-json")
    parser.add_argument("--scale", type=Path, action="append", default=[], help="what tests.benchmarks.scale wrote with --json")
    parser.add_argument("--backfill", type=Path, help="what tests.benchmarks.backfill printed")
    parser.add_argument("--ui", type=Path, help="what tests.benchmarks.ui printed")
    parser.add_argument("--gpu", type=Path, help="what tests.benchmarks.test_stacked_nets printed of a GPU")
    parser.add_argument("--record", action="store_true")
    chosen = parser.parse_args(arguments)
    run = json.loads(chosen.run.read_text(encoding="utf-8"))
    scales = [json.loads(path.read_text(encoding="utf-8")) for path in chosen.scale if path.exists()]
    printed = {name: path.read_text(encoding="utf-8") for name in PRINTED if (path := getattr(chosen, name)) and path.exists()}
    PAGE.write_text(page_text(run, scales, printed), encoding="utf-8")
    if chosen.record:
        ratios = {one["name"]: round(one["extra_info"]["ratio"], 3) for one in run["benchmarks"] if "ratio" in one["extra_info"]}
        RECORDED_FILE.write_text(json.dumps(dict(sorted(ratios.items())), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
