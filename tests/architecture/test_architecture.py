"""The house rules that a reader relies on: imports point one way, domain modules know no Dagster, no setting is dead, nothing swallows errors."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.load import PACKAGED_CONFIG_DIR, known_keys, load_config
from config.schema import Config

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("config", "resources", "training_assets", "routing_assets")  # each may import itself and those before it
ROUTING_ROOMS = ("evidence", "decisions", "plans", "report", "command")
DAGSTER_MODULES = re.compile(r"(^|_)(assets|checks|sensors|partitions|jobs|definitions)$")
HEAVY = ("torch", "lightgbm", "xgboost", "great_expectations", "ngboost", "ruptures", "sklearn", "talib", "altair", "vl_convert")
# The command, the worker processes, and the call into a family: what a library raises there is that fit's failure and is recorded.
PROCESS_BOUNDARIES = {"routing_assets/cli.py", "resources/worker_pool.py", "resources/ray_pool.py", "training_assets/guarded.py"}
PICKLES = re.compile(r"\b(pickle|joblib|dill|cloudpickle|marshal|shelve)\b")


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield ("." if node.level else "") + (node.module or ""), node.lineno


def is_floor(path: Path) -> bool:
    return path.relative_to(ROOT).parts[0] == "resources" or bool(DAGSTER_MODULES.search(path.stem))


def test_imports_point_from_routing_to_training_to_resources_to_config() -> None:
    faults = []
    for path in sources():
        allowed = PACKAGES[: PACKAGES.index(path.relative_to(ROOT).parts[0]) + 1]
        for name, line in imported(ast.parse(path.read_text(encoding="utf-8"))):
            top = name.split(".")[0]
            if name.startswith(".") or (top in PACKAGES and top not in allowed) or top == "tests":
                faults.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert faults == []


def test_rooms_of_routing_import_only_rooms_before_them() -> None:
    faults = []
    for path in sorted((ROOT / "routing_assets").rglob("*.py")):
        room = path.parent.name
        if room not in ROUTING_ROOMS:
            continue
        for name, line in imported(ast.parse(path.read_text(encoding="utf-8"))):
            parts = name.split(".")
            if parts[0] == "routing_assets" and parts[1] in ROUTING_ROOMS and ROUTING_ROOMS.index(parts[1]) > ROUTING_ROOMS.index(room):
                faults.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert faults == []


def test_only_the_dagster_floor_imports_dagster() -> None:
    faults = []
    for path in sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        guarded = {
            node.lineno
            for block in ast.walk(tree)
            if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
            for node in ast.walk(block)
            if hasattr(node, "lineno")
        }
        faults += [
            f"{path.relative_to(ROOT)}:{line}"
            for name, line in imported(tree)
            if name.split(".")[0] == "dagster" and line not in guarded and not is_floor(path)
        ]
    assert faults == []


def domain_modules() -> list[str]:
    return [module_name(path) for path in sources() if not is_floor(path) and path.stem != "cli" and path.parent.name != "command"]


def run_python(code: str) -> str:
    answer = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    return answer.stdout


def test_domain_modules_load_without_dagster_in_a_fresh_process() -> None:
    # The nets import torch at the top and are themselves imported inside functions only; importing them here would cost seconds and show nothing.
    names = [name for name in domain_modules() if ".nets." not in name and not re.search(r"\.(blend_training|trainer)$", name)]
    found = run_python(f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\nprint('dagster' in sys.modules)")
    assert found.strip() == "False"


def test_loading_the_code_location_imports_no_heavy_library() -> None:
    code = "import sys, routing_assets.definitions as d\nd.make_definitions(d.settings_from_environment())\n"
    found = run_python(code + f"print([name for name in {HEAVY!r} if name in sys.modules])")
    assert found.strip() == "[]"


def test_nothing_catches_everything_but_at_a_process_boundary() -> None:
    faults = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            broad = isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "Exception")
            if broad and str(path.relative_to(ROOT)) not in PROCESS_BOUNDARIES:
                faults.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert faults == []


def test_no_module_reads_or_writes_formats_that_run_code() -> None:
    faults = []
    for path in sources():
        for name, line in imported(ast.parse(path.read_text(encoding="utf-8"))):
            if PICKLES.fullmatch(name.split(".")[0]):
                faults.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert faults == []


def test_every_module_has_a_charter() -> None:
    assert [str(path.relative_to(ROOT)) for path in sources() if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))] == []


def test_no_file_postpones_annotations_that_dagster_reads() -> None:
    floor = [path for path in sources() if DAGSTER_MODULES.search(path.stem)]
    assert [path.name for path in floor if "from __future__ import annotations" in path.read_text(encoding="utf-8")] == []


def attribute_names() -> set[str]:
    names: set[str] = set()
    for path in sources():
        if path.relative_to(ROOT).parts[:2] == ("config", "sections"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                names.add(str(node.args[1].value))
    return names


# Read by position in `vars()` or `getattr(..., tier)`, where no attribute of the name is spelled.
READ_BY_NAME = {"short", "medium", "long", "very_long"}


def test_every_configuration_key_is_read_somewhere() -> None:
    used = attribute_names() | READ_BY_NAME
    leaves = [key for key in known_keys() if not any(other.startswith(f"{key}.") for other in known_keys())]
    assert [key for key in leaves if key.rsplit(".", 1)[-1] not in used] == []


def test_the_shipped_yaml_says_what_the_schema_defaults_to() -> None:
    assert load_config(PACKAGED_CONFIG_DIR) == Config()


@pytest.mark.parametrize(
    "path", ["LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "workspace.yaml", "dagster_cloud.yaml", "requirements.lock", ".ci/run"]
)
def test_what_a_repository_needs_is_there(path: str) -> None:
    assert (ROOT / path).stat().st_size > 0


def test_the_lock_names_no_host_and_no_path_and_pins_with_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE)
    assert "torch" not in pins
    assert len(pins) > 100
    assert "--hash=sha256:" in lock
    assert not re.search(r"https?://|file://|--index|--find-links|--trusted", lock)
