"""Documentation that can be executed: the marked blocks of a page, running them, and putting what they print back into the page.

Belongs here: the marks. Does not: what pages say, or which folder they run in (`docs/refresh.py`, `tests/docs`).

A comment above a fenced block marks it. `<!-- run -->` is executed by the tests, in the order of the page, all pages in one folder that holds `results/`, the
sample's own run. Its options: `once` (only when the folder is made), `panel` (on a real panel, by `docs/refresh.py --panel` alone), `status=2` (how it
ends), `lines=12` (how much of the output is shown), `varies` (depends on the families trained, so that the tests compare its first line alone). In a
`console` block a line `$ command` is followed by what the command prints; what a `python` block prints stands in the `text` block below it.
`<!-- table: name -->` to `<!-- end -->` holds a table that `docs/tables.py` makes from a registry.
"""

import contextlib
import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

BLOCK = re.compile(
    r"^<!-- run(?P<options>[^>]*?) ?-->\n```(?P<language>\w+)\n(?P<body>.*?)^```\n(?:\n?```text\n(?P<printed>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
TABLE = re.compile(r"^<!-- table: (?P<name>[\w-]+) -->\n(?P<body>.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
WIDTH = 100  # of the terminal that output is shown in, so that it fits beside a navigation
DOCS = Path(__file__).parent
ROOT = DOCS.parent
# Pages that build on what an earlier one left come after it.
PAGES = (
    ROOT / "README.md",
    *(DOCS / f"{name}.md" for name in ("quick-start", "one-command", "two-stage", "your-data", "your-features-and-targets", "route-rules")),
    *(DOCS / f"{name}.md" for name in ("leakage-audit", "routing-report", "extending", "migrating-from-foxml", "troubleshooting", "python-api")),
)


@dataclass(frozen=True)
class Ran:
    """One command or snippet and what it printed."""

    source: str
    printed: str
    status: int


@dataclass(frozen=True)
class Block:
    """One marked block: `language` is console or python, `shown` what the page says is printed."""

    page: Path
    language: str
    body: str
    shown: str
    once: bool
    panel: bool
    varies: bool
    status: int
    lines: int | None

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands of a console block."""
        return tuple(line[2:] for line in self.body.splitlines() if line.startswith("$ "))

    def run(self, names: dict[str, Any]) -> list[Ran]:
        """Execute in the working folder; `names` is what the page's snippets share."""
        ran = [run_python(self.body, names)] if self.language == "python" else [run_command(command) for command in self.commands]
        return [replace(one, printed=one.printed.replace(f"{Path.cwd()}/", "")) for one in ran]


def blocks_of(page: Path) -> list[Block]:
    """The marked blocks of a page, in order."""
    return [_block(page, match) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def _block(page: Path, match: re.Match[str]) -> Block:
    options = dict(option.partition("=")[::2] for option in match["options"].strip(": ").split())
    below = "".join(f"{line}\n" for line in match["body"].splitlines() if not line.startswith("$ "))
    shown = below if match["language"] == "console" else match["printed"] or ""
    lines = int(options["lines"]) if "lines" in options else None
    once, panel, varies = (name in options for name in ("once", "panel", "varies"))
    return Block(page, match["language"], match["body"], shown, once, panel, varies, int(options.get("status", "0")), lines)


def run_command(command: str) -> Ran:
    """Run one line in the working folder: ours in this process, anything else in a shell. Progress is not part of what is shown."""
    if not command.startswith("switchyard "):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        return Ran(command, done.stdout + done.stderr, done.returncode)
    from routing_assets.cli import main

    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            status = main(shlex.split(command)[1:])
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Ran(command, out.getvalue() + (error.getvalue() if status == 2 else ""), status)


def run_python(source: str, names: dict[str, Any]) -> Ran:
    """Run a snippet among the names of its page; an error is raised."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(source, "<documentation>", "exec"), names)  # noqa: S102 - the page's own code
    return Ran(source, out.getvalue(), 0)


def refreshed(text: str, ran: Iterator[list[Ran] | None]) -> str:
    """A page with what its blocks print now; None leaves a block as it is."""

    def rewritten(match: re.Match[str]) -> str:
        results = next(ran)
        if results is None:
            return match[0]
        head = f"<!-- run{match['options']} -->\n```{match['language']}\n"
        lines = int(found[1]) if (found := re.search(r"lines=(\d+)", match["options"])) else None
        if match["language"] == "console":
            return head + "".join(f"$ {result.source}\n{shortened(result.printed, lines)}" for result in results) + "```\n"
        printed = shortened(results[0].printed, lines)
        return head + match["body"] + "```\n" + (f"\n```text\n{printed}```\n" if printed else "")

    return BLOCK.sub(rewritten, text)


def shortened(printed: str, lines: int | None) -> str:
    """The first lines, and a line that says that there are more; no blanks at line ends."""
    found = [line.rstrip() for line in printed.splitlines()]
    if lines is not None and len(found) > lines:
        found = [*found[:lines], "..."] if lines else []
    return "".join(f"{line}\n" for line in found)
