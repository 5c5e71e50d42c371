"""Bring everything in the documentation that comes from the code or from a run up to date: `make docs-refresh`.

Belongs here: the order of things. Does not: marks and execution (`docs/blocks.py`), tables (`docs/tables.py`), pictures (`docs/pictures.py`).

Without options: the configuration page, the tables, the picture of the asset graph, and every block that runs on the sample. `--panel DIR` also the blocks and
the picture of a real panel; `--sample-run DIR` and `--panel-run DIR` take output folders that are there, and what those runs printed
from `DIR.out` beside them, in place of running anew.
"""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from docs import generate_configuration  # noqa: E402
from docs.blocks import DOCS, PAGES, WIDTH, Block, Ran, blocks_of, refreshed  # noqa: E402
from docs.pictures import asset_graph_svg, write_route_map  # noqa: E402
from docs.tables import write_tables  # noqa: E402

PANEL, PANEL_RUN = "panel", "panel_results"


def main(arguments: list[str]) -> int:
    """Refresh; returns the exit status."""
    parser = argparse.ArgumentParser(description="Bring the documentation up to date.")
    parser.add_argument("--panel", type=Path, help="folder of a real panel")
    parser.add_argument("--sample-run", type=Path, help="output folder of `switchyard run` on the sample")
    parser.add_argument("--panel-run", type=Path, help="output folder of `switchyard run` on the panel")
    options = parser.parse_args(arguments)
    options.panel, options.sample_run, options.panel_run = (place and place.resolve() for place in (options.panel, options.sample_run, options.panel_run))
    os.environ["COLUMNS"] = str(WIDTH)
    warnings.simplefilter("ignore")
    generate_configuration.main([])
    write_tables(PAGES)
    (DOCS / "images" / "asset-graph.svg").write_text(asset_graph_svg(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        _bring(options.sample_run, Path("results"))
        if options.panel is not None:
            os.symlink(options.panel, PANEL)
            _bring(options.panel_run, Path(PANEL_RUN))
        logs = {"results": _log(options.sample_run, "results"), PANEL_RUN: _log(options.panel_run, PANEL_RUN)}
        failures = [failure for page in PAGES for failure in _refresh(page, logs, panel=options.panel is not None)]
        write_route_map(Path("results"), DOCS / "images" / "route-map-sample.svg", "Routes on the embedded sample")
        if options.panel is not None:
            write_route_map(Path(PANEL_RUN), DOCS / "images" / "route-map-panel.svg", "Routes on 62 US stocks, daily bars")
    for failure in failures:
        sys.stderr.write(f"{failure}\n")
    return 1 if failures else 0


def _bring(there: Path | None, name: Path) -> None:
    if there is not None:
        shutil.copytree(there, name)


def _log(there: Path | None, name: str) -> str | None:
    """What the run of an output folder printed, the folder named as in the pages."""
    log = None if there is None else there.with_name(f"{there.name}.out")
    if log is None or not log.exists():
        return None
    return log.read_text(encoding="utf-8").replace(str(there), name)


def _refresh(page: Path, logs: dict[str, str | None], panel: bool) -> list[str]:
    names: dict[str, Any] = {}
    failures: list[str] = []

    def ran() -> Iterator[list[Ran] | None]:
        for block in blocks_of(page):
            results = _results(block, names, logs, panel)
            failed = [f"{page.name}: {result.source}: status {result.status}" for result in results or () if result.status != block.status]
            failures.extend(failed)
            yield None if failed else results  # what did not end as it should is not written

    text = refreshed(page.read_text(encoding="utf-8"), ran())
    page.write_text(text, encoding="utf-8")
    return failures


def _results(block: Block, names: dict[str, Any], logs: dict[str, str | None], panel: bool) -> list[Ran] | None:
    """What a block prints now; None where it is not to be run here."""
    if block.panel and not panel:
        return None
    folder = PANEL_RUN if block.panel else "results"
    log = logs[folder]
    if block.once and log is not None:
        return [Ran(command, log, block.status) for command in block.commands]
    if block.once and Path(folder).exists():
        return None
    sys.stderr.write(f"{block.page.name}: {block.commands or 'python'}\n")
    results = block.run(names)
    if block.once:
        logs[folder] = results[0].printed
    return results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
