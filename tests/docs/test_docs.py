"""The documentation holds: its links lead somewhere, its commands exist, what it marks as executed runs, and what comes from the code is as the code is now."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.load import known_keys, load_config
from docs.blocks import BLOCK, DOCS, PAGES, ROOT, WIDTH, blocks_of, refreshed, run_command, run_python, shortened
from docs.generate_configuration import PAGE, page
from docs.pictures import asset_graph_svg
from docs.tables import BUILDERS, with_tables
from routing_assets.command.options import build_parser

EVERY_PAGE = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.glob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as MkDocs and code hosts make them."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("path", EVERY_PAGE, ids=name_of)
def test_every_internal_link_leads_to_a_file_and_a_heading_that_are_there(path: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_navigation_and_every_entry_of_it_is_a_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

    def leaves(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for inner in entry.values() if isinstance(entry, dict) else entry:
                yield from leaves(inner)

    listed = list(leaves(yaml.safe_load(text)["nav"]))
    assert sorted(listed) == sorted(path.name for path in DOCS.glob("*.md"))
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("path", EVERY_PAGE, ids=name_of)
def test_every_command_line_shown_is_one_that_the_command_takes(path: Path) -> None:
    fences = FENCE.findall(path.read_text(encoding="utf-8"))
    shown = [line for language, body in fences for line in body.splitlines() if language != "console" or line.startswith("$ ")]
    for line in (line.removeprefix("$ ").split("  #")[0] for line in shown):
        command = line.removeprefix(".venv/bin/")
        if command.startswith("switchyard ") and "--help" not in command:
            assert build_parser().parse_args(shlex.split(command)[1:]).command


def test_every_configuration_key_that_a_page_names_exists() -> None:
    sections = {key for key in known_keys() if "." not in key}
    known, unknown = set(known_keys()), []
    for path in EVERY_PAGE:
        for key in re.findall(r"`((?:" + "|".join(sections) + r")(?:\.[a-z_]+)+)`", path.read_text(encoding="utf-8")):
            if key not in known and key.rsplit(".", 1)[-1] not in ("py", "yaml", "md"):
                unknown.append(f"{path.name}: {key}")
    assert unknown == []


def test_the_configuration_page_is_what_the_schema_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()
    leaves = [key for key in known_keys() if not any(other.startswith(f"{key}.") for other in known_keys())]
    assert [key for key in leaves if f"`{key}`" not in page()] == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_tables_of_a_page_are_what_the_registries_hold(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run make docs-refresh"


def test_every_table_stands_on_a_page_with_every_entry_of_its_registry() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert [name for name in BUILDERS if f"<!-- table: {name} -->" not in pages] == []
    assert BUILDERS["gates"]().count("\n") == 2 + 8


def test_the_picture_of_the_asset_graph_shows_every_asset_of_today() -> None:
    assert (DOCS / "images" / "asset-graph.svg").read_text(encoding="utf-8") == asset_graph_svg(), "run make docs-refresh"


def test_every_message_that_troubleshooting_explains_is_one_that_the_code_has() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8") for room in ("config", "resources", "training_assets", "routing_assets") for path in (ROOT / room).rglob("*.py")
    )
    cells = re.findall(r"^\| (`[^|]*`) \|", (DOCS / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
    fragments = {fragment.strip(" ,;?") for cell in cells for message in re.findall(r"`([^`]+)`", cell) for fragment in re.split(r"\.\.\.|'", message)}
    assert len(fragments) > 15
    assert sorted(fragment for fragment in fragments if len(fragment) > 4 and fragment not in source) == []


def test_no_page_names_a_machine_or_a_package_registry() -> None:
    words = re.compile(r"pypi\.org|/work/|/root/|/home/\w+|/tmp/(?!\.)", re.IGNORECASE)
    assert [f"{path.name}: {found[0]}" for path in EVERY_PAGE if (found := words.search(path.read_text(encoding="utf-8")))] == []


def test_a_block_that_prints_is_rewritten_and_the_rest_of_its_page_is_not() -> None:
    text = "before\n<!-- run lines=1 -->\n```console\n$ echo one; echo two\nold\n```\nafter\n<!-- run -->\n```python\nprint(3)\n```\nend\n"
    ran = iter([[run_command("echo one; echo two")], [run_python("print(3)", {})]])
    assert refreshed(text, ran) == (
        "before\n<!-- run lines=1 -->\n```console\n$ echo one; echo two\none\n...\n```\nafter\n<!-- run -->\n```python\nprint(3)\n```\n\n```text\n3\n```\nend\n"
    )
    assert refreshed(text, iter([None, None])) == text


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the quick start's `switchyard run` has run on the embedded sample.

    Two families where the page trains four: that changes no route, and saves minutes.
    """
    folder = tmp_path_factory.mktemp("docs")
    first = next(block for block in blocks_of(DOCS / "quick-start.md") if block.once)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", str(WIDTH))
        ran = run_command(f"{first.commands[0]} --families Ridge LightGBM")
    assert ran.status == 0, ran.printed
    (folder / "run.out").write_text(ran.printed, encoding="utf-8")
    return folder


def words(text: str, n_lines: int | None = None) -> list[str]:
    """The lines of an output, numbers and the widths of columns aside."""
    return [re.sub(r"(?<![A-Za-z_])[\d.,+%-]+(e-\d+)?|\s+|[─━┓┏┡╇┩└┴┘]+", " ", line).strip() for line in text.splitlines()[:n_lines]]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_what_a_page_marks_as_executed_runs_and_prints_what_is_shown(path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sample)
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    names: dict[str, Any] = {}
    for block in blocks_of(path):
        if block.once or block.panel:
            continue
        results = block.run(names)
        for result in results:
            assert result.status == block.status, f"{result.source}: {result.printed}"
        if block.shown:
            printed = "".join(shortened(result.printed, block.lines) for result in results)
            compared = 1 if block.varies else None
            shown, now = words(block.shown, compared), words(printed, compared)
            assert [line.split() for line in shown] == [line.split() for line in now], "run make docs-refresh"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_routes_shown_of_the_samples_own_run_are_those_it_comes_to(path: Path, sample: Path) -> None:
    printed = (sample / "run.out").read_text(encoding="utf-8")
    for block in blocks_of(path):
        if block.once and not block.panel:
            assert [line.split() for line in words(block.shown)] == [line.split() for line in words(shortened(printed, block.lines))], "run make docs-refresh"


def test_every_page_with_marked_blocks_is_executed() -> None:
    marked = [path for path in EVERY_PAGE if BLOCK.search(path.read_text(encoding="utf-8"))]
    assert [path.name for path in marked if path not in PAGES] == []
    assert sum(len(blocks_of(path)) for path in marked) > 20


def test_the_notebook_runs_from_bars_to_an_explained_route() -> None:
    source = (DOCS / "examples" / "notebook.py").read_text(encoding="utf-8")
    ran = run_python(source, {"__name__": "notebook"})
    assert "forward_return_5d / AAA: ROUTE_BLOCKED" in ran.printed
    assert "ROUTE_SYMBOL_SPECIFIC" in ran.printed


@pytest.mark.parametrize("preset", sorted((ROOT / "config" / "presets").iterdir()), ids=lambda path: path.name)
def test_a_preset_is_a_folder_that_the_command_takes_and_changes_routing_alone(preset: Path) -> None:
    routing = yaml.safe_load((preset / "routing.yaml").read_text(encoding="utf-8"))["routing"]
    overrides = [f"routing.{key}={json.dumps(value)}" for key, value in routing.items()]
    config = load_config(preset)
    assert config == load_config(None, overrides)
    assert config.routing.significance.method == "none"
