"""The output tree on a store beyond this machine: a server that is reached by FTP, and a mounted folder. Another machine goes on from what is there."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import fsspec
import pandas as pd
import pytest
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

from resources.artifact_store import read_value, write_value
from resources.files import write_atomically
from resources.instance import run_job
from resources.remote_store import RemoteStore, StoreError
from resources.settings import Settings
from routing_assets.definitions import make_definitions
from tests.dagster.leaking_world import CLEAN, LEAKING, trained_symbols, write_world
from tests.dagster.test_partitions_and_sensors import PANEL
from tests.pipeline.command import results, switchyard, write_config, write_market
from training_assets.model_assets import PANEL_PATH
from training_assets.panel.panel import Panel
from training_assets.partitions import RANGE_END_TAG, RANGE_START_TAG, publish_plan
from training_assets.plan_reader import read_master_plan

BOTH = {RANGE_START_TAG: CLEAN, RANGE_END_TAG: LEAKING}


@contextmanager
def ftp_server(folder: Path) -> Iterator[str]:
    """Address of an FTP server over a folder, on 127.0.0.1."""
    authorizer = DummyAuthorizer()
    authorizer.add_user("switchyard", "test", str(folder), perm="elradfmw")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer})
    server = FTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"timeout": 0.05, "handle_exit": False})
    thread.start()
    try:
        yield f"ftp://127.0.0.1:{server.address[1]}/store"
    finally:
        server.close_all()
        thread.join(timeout=10)


@pytest.fixture(params=["ftp", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    # As FSSPEC_FTP_USERNAME and FSSPEC_FTP_PASSWORD would have it, which are read when a process starts.
    monkeypatch.setitem(fsspec.config.conf, "ftp", {"username": "switchyard", "password": "test"})
    (tmp_path / "served" / "store").mkdir(parents=True)
    if request.param == "file":
        yield f"file://{tmp_path / 'served' / 'store'}"
        return
    with ftp_server(tmp_path / "served") as address:
        yield address


def test_a_table_a_folder_and_a_panel_come_back_on_another_machine_as_they_were(url: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    frame = pd.DataFrame({"target": ["ω/1"], "score": [0.5]})
    write_value(here / "METRICS" / "stability.parquet", frame)
    write_value(here / PANEL_PATH, PANEL)
    first = RemoteStore(url, here)
    assert first.push_tree() == 2
    assert first.push_tree() == 0  # nothing changed
    second = RemoteStore(url, there)
    assert second.pull_tree() == 2
    assert second.pull_tree() == 0
    pd.testing.assert_frame_equal(read_value(there / "METRICS" / "stability.parquet", pd.DataFrame), frame)
    assert read_value(there / PANEL_PATH, Panel).data_hash == PANEL.data_hash


def test_what_changed_on_one_machine_replaces_what_the_other_has_and_files_that_went_are_gone(url: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for name in ("a.json", "by_target/b.json"):
        (here / "globals" / "training_plan" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "globals" / "training_plan" / name).write_text(name, encoding="utf-8")
    first, second = RemoteStore(url, here), RemoteStore(url, there)
    assert (first.push_tree(), second.pull_tree()) == (1, 1)
    (here / "globals" / "training_plan" / "a.json").write_text("another", encoding="utf-8")
    (here / "globals" / "training_plan" / "by_target" / "b.json").unlink()
    assert (first.push_tree(), second.pull_tree()) == (1, 1)
    assert [path.name for path in (there / "globals").rglob("*") if path.is_file()] == ["a.json"]
    assert (there / "globals" / "training_plan" / "a.json").read_text(encoding="utf-8") == "another"
    # What the manifest before named stays for whoever is reading it, and goes with the next change.
    stored = tmp_path / "served" / "store" / "globals" / "training_plan"
    assert len(list((stored / "by_target").iterdir())) == 1
    (here / "globals" / "training_plan" / "a.json").write_text("a third", encoding="utf-8")
    first.push_tree()
    assert list((stored / "by_target").iterdir()) == []
    assert sorted(path.read_text(encoding="utf-8") for path in stored.iterdir() if path.is_file()) == ["a third", "another"]


def test_a_file_that_does_not_fit_its_manifest_is_refused_and_what_is_here_stays(url: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    write_value(here / "METRICS" / "stability.parquet", pd.DataFrame({"score": [0.5]}))
    first, second = RemoteStore(url, here), RemoteStore(url, there)
    first.push_tree()
    second.pull_tree()
    whole = (there / "METRICS" / "stability.parquet").read_bytes()
    write_value(here / "METRICS" / "stability.parquet", pd.DataFrame({"score": [0.7]}))
    first.push_tree()
    for path in (tmp_path / "served" / "store" / "METRICS").iterdir():
        path.write_bytes(b"half of a fi")
    with pytest.raises(StoreError, match="is not what its manifest says"):
        second.pull_tree()
    assert (there / "METRICS" / "stability.parquet").read_bytes() == whole


class KilledError(Exception):
    """Stands for the end of a process."""


@pytest.mark.parametrize(("call", "nth"), [("put_file", 1), ("put_file", 2), ("pipe_file", 1), ("mv", 1)])
def test_a_writer_that_is_killed_leaves_the_artifact_before_for_everybody(url: str, tmp_path: Path, call: str, nth: int) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    folder = here / "globals" / "training_plan"
    folder.mkdir(parents=True)
    for name in ("a.json", "b.json"):
        (folder / name).write_text(name, encoding="utf-8")
    first = RemoteStore(url, here)
    first.push_tree()
    for name in ("a.json", "b.json"):
        (folder / name).write_text(f"another {name}", encoding="utf-8")
    original, calls = getattr(first._fs, call), []

    def killed(*given: object) -> object:
        calls.append(given)
        if len(calls) == nth:
            raise KilledError
        return original(*given)

    setattr(first._fs, call, killed)
    try:
        with pytest.raises(KilledError):
            first.push_tree()
    finally:
        setattr(first._fs, call, original)
    second = RemoteStore(url, there)
    assert second.pull_tree() == 1
    assert [(there / "globals" / "training_plan" / name).read_text(encoding="utf-8") for name in ("a.json", "b.json")] == ["a.json", "b.json"]
    assert first.push_tree() == 1
    assert second.pull_tree() == 1
    assert (there / "globals" / "training_plan" / "b.json").read_text(encoding="utf-8") == "another b.json"


@pytest.mark.parametrize("name", ["../../../../escaped.txt", "/tmp/escaped.txt", "a/../../escaped.txt", "a//b", ".", "a\0b"])
def test_a_manifest_that_names_a_file_outside_of_its_artifact_brings_nothing(name: str, tmp_path: Path) -> None:
    store, there = tmp_path / "store", tmp_path / "deep" / "er" / "there"
    content = b"escaped"
    manifest = {"files": {name: hashlib.sha256(content).hexdigest()}, "schema_version": 2}
    write_atomically(store / ".manifests" / "globals" / "training_plan.json", json.dumps(manifest))
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(StoreError, match="does not lie in its folder"):
        RemoteStore(f"file://{store}", there).pull_tree()
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("relative", ["../escaped", "METRICS/../../escaped", "/escaped", ".dagster/dagster", "settings"])
def test_an_artifact_outside_of_the_output_tree_is_not_taken(relative: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not lie in one of METRICS"):
        RemoteStore(f"file://{tmp_path / 'store'}", tmp_path / "there").pull(relative)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {"": "x"}, "schema_version": 2}', '{"files": {"a.json": "0123"}}'])
def test_a_manifest_that_cannot_be_read_or_is_of_another_version_is_an_error_in_words(text: str, tmp_path: Path) -> None:
    write_atomically(tmp_path / "store" / ".manifests" / "globals" / "training_plan.json", text)
    with pytest.raises(StoreError, match="is no manifest of this version"):
        RemoteStore(f"file://{tmp_path / 'store'}", tmp_path / "there").pull_tree()


def train(settings: Settings, instance: dg.DagsterInstance, keys: dict[str, str]) -> None:
    definitions = make_definitions(settings, {"switchyard": dg.LoggerDefinition(lambda _: dg.get_dagster_logger("quiet"))})
    publish_plan(instance, read_master_plan(settings.plan_folder), PANEL.symbols)
    result = run_job(definitions, "train_pairs_cpu", instance, tags=keys)
    assert result.success, result.problems


def test_another_machine_trains_on_what_the_store_has_and_nothing_twice(url: str, tmp_path: Path) -> None:
    first = write_world(str(tmp_path / "here"), leaks=False)
    first = first.changed(overrides=[*first.overrides, f"resources.store={url}"])
    RemoteStore(url, first.output).push_tree()
    second = first.changed(output_dir=str(tmp_path / "there"))
    RemoteStore(url, second.output).pull_tree()
    with dg.DagsterInstance.ephemeral() as instance:
        train(first, instance, {"dagster/partition": CLEAN})
        train(second, instance, BOTH)
        records = instance.fetch_materializations(dg.AssetKey("symbol_models"), limit=10).records
        told = [(str(record.partition_key), bool(record.asset_materialization.metadata["cached"].value)) for record in reversed(records)]
    assert told == [(CLEAN, False), (CLEAN, True), (LEAKING, False)]
    assert trained_symbols(second) == {"S000", "S001"}
    assert len(list((tmp_path / "served" / "store" / "models").rglob("model_card.*.json"))) == 2


def test_a_whole_run_with_a_store_leaves_the_tree_there_and_gives_the_same_as_without(tmp_path: Path) -> None:
    write_market(tmp_path / "bars")
    write_config(tmp_path / "config")
    given = ("--data-dir", tmp_path / "bars", "--config-dir", tmp_path / "config")
    assert switchyard("run", *given, "--output-dir", tmp_path / "without").status == 0
    store = ("--set", f"resources.store=file://{tmp_path / 'store'}")
    assert switchyard("run", *given, *store, "--output-dir", tmp_path / "with").status == 0
    assert {name: content for name, content in results(tmp_path / "with").items() if not name.startswith(".store")} == results(tmp_path / "without")
    stored = [path.relative_to(tmp_path / "store").as_posix() for path in (tmp_path / "store").rglob("*") if path.is_file()]
    kept = {re.sub(r"\.[0-9a-f]{16}(?=(\.\w+)?$)", "", name) for name in stored}
    written = {name for name in results(tmp_path / "with") if not name.rpartition("/")[2].startswith(".") and not name.startswith(".store")}
    assert {name for name in kept if not name.startswith(".manifests")} == written
