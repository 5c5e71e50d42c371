"""Bad plans, candidates and commands at the real command: a plan fails closed, a table is refused before anything runs, a wrong word is told."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets import api
from routing_assets.contracts import CANDIDATE_SCHEMA
from routing_assets.decisions.plan_documents import read_routing_plan
from tests.pipeline.command import Answer, everything, leftovers, results, switchyard, write_config, write_market
from tests.pipeline.test_bad_input import assert_told
from training_assets.plan_reader import content_hash

MASTER = Path("globals/training_plan/master_training_plan.json")
CANDIDATES = Path("METRICS/routing_candidates.parquet")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bars, configuration and the output of a plan."""
    root = tmp_path_factory.mktemp("planned")
    write_market(root / "bars")
    write_config(root / "config")
    answer = switchyard("plan", *common(root))
    assert answer.status == 0, answer.err
    return root


def common(root: Path) -> tuple[object, ...]:
    return ("--data-dir", root / "bars", "--config-dir", root / "config", "--output-dir", root / "out")


@pytest.fixture
def copied(planned: Path, tmp_path: Path) -> Path:
    """The same, to be spoiled."""
    shutil.copytree(planned, tmp_path / "copy")
    return tmp_path / "copy"


def replaced(change: Callable[[dict[str, Any]], Any], sealed: bool = True) -> Callable[[Path], None]:
    """The master plan changed, and its id made to match where `sealed`: what a forger or a buggy tool would write."""

    def write(path: Path) -> None:
        document = json.loads(path.read_text(encoding="utf-8"))
        change(document)
        if sealed:
            document["metadata"]["plan_id"] = content_hash(document)
        path.write_text(json.dumps(document), encoding="utf-8")

    return write


def rename_symbol(document: dict[str, Any]) -> None:
    job = next(job for job in document["jobs"] if job["symbol"])
    job["symbol"], job["job_id"] = "GONE", "other"


BAD_PLANS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "missing": (lambda path: path.unlink(), ("master_training_plan.json", "missing")),
    "empty": (lambda path: path.write_bytes(b""), ("empty",)),
    "spaces": (lambda path: path.write_bytes(b" \n"), ("empty",)),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), ("not JSON",)),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe\x00"), ("not JSON",)),
    "a list": (lambda path: path.write_text("[]"), ("not such a plan", "metadata, jobs, summary")),
    "deep": (lambda path: path.write_text("[" * 100_000), ("not JSON",)),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), ("master_training_plan.json",)),
    "another schema": (replaced(lambda plan: plan["metadata"].update(schema_version="99")), ("schema_version '99'", "expected '1'")),
    "tampered": (replaced(lambda plan: plan["jobs"][0].update(priority=9), sealed=False), ("tampered or cut", "plan_id")),
    "a job taken out": (replaced(lambda plan: plan["jobs"].pop(), sealed=False), ("tampered or cut",)),
    "no jobs": (replaced(lambda plan: plan["jobs"].clear()), ("no jobs",)),
    "jobs as text": (replaced(lambda plan: plan.update(jobs="all")), ("a job is not as the schema wants it",)),
    "an unknown route": (replaced(lambda plan: plan["jobs"][0].update(route="ROUTE_SIDEWAYS")), ("ROUTE_SIDEWAYS",)),
    "an unknown stage": (replaced(lambda plan: plan["jobs"][0].update(stage_families={"tpu": ["Ridge"]})), ("tpu",)),
    "a field missing": (replaced(lambda plan: plan["jobs"][0].pop("features")), ("features",)),
    "a job twice": (replaced(lambda plan: plan["jobs"].append(plan["jobs"][0])), ("two jobs share an id",)),
    "other data": (replaced(lambda plan: plan["metadata"].update(data_hash="0" * 16)), ("made from other data",)),
}


@pytest.mark.parametrize("case", BAD_PLANS)
def test_a_bad_plan_trains_nothing(copied: Path, case: str) -> None:
    spoil, words = BAD_PLANS[case]
    spoil(copied / "out" / MASTER)
    answer = switchyard("train", "--training-plan-dir", (copied / "out" / MASTER).parent, *common(copied))
    assert_told(answer, 2, words)
    assert not (copied / "out" / "models").exists()
    assert leftovers(copied / "out") == []


def test_a_plan_that_names_a_symbol_that_is_gone_fails_for_it_alone(copied: Path) -> None:
    replaced(rename_symbol)(copied / "out" / MASTER)
    answer = switchyard("train", "--families", "Ridge", *common(copied))
    assert_told(answer, 1, ("GONE",))
    assert len(list((copied / "out" / "models").rglob("model_card.json"))) >= 7


def test_a_plan_is_not_used_on_other_data(copied: Path) -> None:
    shutil.rmtree(copied / "bars")
    write_market(copied / "bars", n_bars=390)
    answer = switchyard("train", *common(copied))
    assert_told(answer, 2, ("made from other data",))
    assert not (copied / "out" / "models").exists()


def column(name: str, value: object, row: int = 1) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table.column(name).to_pylist()
        values[row] = value
        kind = table.schema.field(name).type if not isinstance(value, str) or pa.types.is_string(table.schema.field(name).type) else pa.string()
        values = [None if item is None else str(item) for item in values] if kind == pa.string() else values
        return table.set_column(table.schema.get_field_index(name), name, pa.array(values, kind))

    return change


BAD_CANDIDATES: dict[str, tuple[Callable[[pa.Table], pa.Table], tuple[str, ...]]] = {
    "no rows": (lambda table: table.slice(0, 0), ("no rows",)),
    "no target column": (lambda table: table.drop_columns(["target"]), ("'target' is missing",)),
    "a column nearly of ours": (
        lambda table: table.rename_columns(["p_vlaue" if n == "p_value" else n for n in table.column_names]),
        ("did you mean 'p_value'",),
    ),
    "a column twice": (lambda table: table.append_column("score", table.column("score")), ("stands 2 times",)),
    "an unknown mode": (column("mode", "CROSS_SECTION"), ("row 1", "'CROSS_SECTION'", "did you mean CROSS_SECTIONAL?")),
    "an unknown task": (column("task_type", "REGRESION"), ("row 1", "did you mean REGRESSION?")),
    "an unknown stability": (column("stability", "SOLID"), ("stability", "SOLID")),
    "an unknown leakage status": (column("leakage_status", "safe"), ("leakage_status", "'safe'")),
    "an infinite score": (column("score", float("inf")), ("'score', row 1", "not finite")),
    "a score that is text": (column("score", "high"), ("'score'", "expected double")),
    "a p-value above 1": (column("p_value", 1.5), ("'p_value', row 1", "1.5 > 1")),
    "a negative sample": (column("sample_size", -3), ("'sample_size', row 1", "-3 < 0")),
    "no target name": (column("target", None), ("'target', row 1",)),
    "no symbol on a local row": (column("symbol", None), ("'symbol', row 1",)),
    "a symbol on a pooled row": (column("symbol", "AAA", 0), ("'symbol', row 0", "CROSS_SECTIONAL row has no symbol")),
    "a row twice": (lambda table: pa.concat_tables([table, table.slice(1, 1)]), ("repeats row 1",)),
}


@pytest.mark.parametrize("case", BAD_CANDIDATES)
def test_a_bad_candidates_table_is_refused_before_anything_runs(planned: Path, tmp_path: Path, case: str) -> None:
    change, words = BAD_CANDIDATES[case]
    table = pq.read_table(planned / "out" / CANDIDATES).cast(CANDIDATE_SCHEMA)
    pq.write_table(change(table), tmp_path / "given.parquet")
    before = everything(planned / "out")
    answer = switchyard("plan", "--candidates", tmp_path / "given.parquet", *common(planned))
    assert_told(answer, 2, ("given.parquet", *words))
    assert everything(planned / "out") == before


@pytest.mark.parametrize("content", [b"", b"target,mode\n", b"PAR1PAR1"])
def test_a_file_that_is_no_table_is_refused(planned: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "given.parquet").write_bytes(content)
    answer = switchyard("plan", "--candidates", tmp_path / "given.parquet", *common(planned))
    assert_told(answer, 2, ("given.parquet", "not a readable parquet"))


def row_of(table: pa.Table, **changes: str) -> pa.Table:
    """The first SYMBOL_SPECIFIC row of a candidates table with other names."""
    return pa.Table.from_pylist([{**table.slice(1, 1).to_pylist()[0], **changes}], schema=CANDIDATE_SCHEMA)


def route_given(root: Path, table: pa.Table, given: Path) -> Answer:
    pq.write_table(table, given)
    return switchyard("plan", "--candidates", given, "--json", *common(root))


def test_candidates_of_other_data_are_refused_and_nothing_is_routed(planned: Path, copied: Path) -> None:
    shutil.rmtree(copied / "bars")
    write_market(copied / "bars", n_bars=390)
    before = everything(copied / "out" / "METRICS") | everything(copied / "out" / "globals")
    answer = switchyard("plan", "--candidates", planned / "out" / CANDIDATES, *common(copied))
    assert_told(answer, 2, ("routing_candidates.parquet", "made from other data", "data_hash"))
    assert everything(copied / "out" / "METRICS") | everything(copied / "out" / "globals") == before


def test_routing_our_own_candidates_again_gives_the_same_plans_byte_for_byte(planned: Path, copied: Path) -> None:
    answer = switchyard("plan", "--candidates", planned / "out" / CANDIDATES, *common(planned)[:4], "--output-dir", copied / "again")
    assert answer.status == 0, answer.err
    for path in (CANDIDATES, Path("METRICS/routing_plan/routing_plan.json"), MASTER):
        assert (copied / "again" / path).read_bytes() == (planned / "out" / path).read_bytes()
    stored = read_routing_plan(planned / "out" / "METRICS" / "routing_plan")
    assert api.routing_plan(api.read_run(planned / "out"), git_commit=stored.metadata["git_commit"]) == stored
    assert pq.read_table(copied / "again" / "METRICS" / "stability.parquet").num_rows == 0
    assert pq.read_table(copied / "again" / "METRICS" / "target_ranking.parquet")["skill"].null_count == 2


def test_symbols_and_targets_that_the_data_lack_are_routed_and_not_trained(copied: Path) -> None:
    table = pq.read_table(copied / "out" / CANDIDATES).cast(CANDIDATE_SCHEMA).replace_schema_metadata(None)
    rows = pa.concat_tables([table, row_of(table, symbol="ZZZ"), row_of(table, target="y_other_5d")])
    answer = route_given(copied, rows, copied / "given.parquet")
    assert answer.status == 1, answer.err
    problems = json.loads(answer.out)["problems"]
    assert len(problems) == 2
    assert problems[0].startswith("target y_other_5d: the data have no such target")
    assert problems[1].startswith("symbol ZZZ: the data have no such symbol")
    routed = json.loads((copied / "out/METRICS/routing_plan/routing_plan.json").read_text())["targets"]
    assert "y_other_5d" in routed
    jobs = json.loads((copied / "out" / MASTER).read_text())["jobs"]
    assert jobs
    assert not any(job["target"] == "y_other_5d" or "ZZZ" in (job["symbol"], *(job["symbols"] or ())) for job in jobs)


def test_a_table_of_other_targets_alone_is_routed_and_leaves_no_job(copied: Path) -> None:
    table = pq.read_table(copied / "out" / CANDIDATES).cast(CANDIDATE_SCHEMA).replace_schema_metadata(None)
    answer = route_given(copied, row_of(table, target="y_other_5d"), copied / "given.parquet")
    assert answer.status == 1, answer.err
    assert json.loads(answer.out)["n_jobs"] == 0
    assert list(json.loads((copied / "out/METRICS/routing_plan/routing_plan.json").read_text())["targets"]) == ["y_other_5d"]


@pytest.mark.parametrize("key", ["routing.stability_classification.stable_lower_bound=0.9", "routing.harmful_confidence=0.9"])
def test_what_if_says_which_settings_act_before_routing(planned: Path, key: str) -> None:
    answer = switchyard("what-if", "--set", key, "--output-dir", planned / "out")
    assert answer.status == 0, answer.err
    assert f"note: {key.partition('=')[0]} changes the candidates, which stay as they are here" in answer.out
    assert "note" not in switchyard("what-if", "--set", "routing.significance.max_q=0.05", "--output-dir", planned / "out").out


BAD_COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no command": ((), ("COMMAND",)),
    "an unknown command": (("fly",), ("'fly'", "choose from")),
    "explain without a target": (("explain",), ("target",)),
    "explain an unknown target": (("explain", "volatility_ris_5d"), ("did you mean 'volatility_rise_5d'?",)),
    "explain where nothing was planned": (("explain", "x", "--output-dir", "/nowhere"), ("no such file; `switchyard plan` writes", "--output-dir")),
    "explain an unknown symbol": (("explain", "volatility_rise_5d", "AAB"), ("no symbol 'AAB'", "did you mean")),
    "what-if without a change": (("what-if",), ("nothing to change", "--set")),
    "what-if with a key of an unknown group": (("what-if", "--set", "routing.signifcance.max_q=1"), ("--set: unknown key 'routing.signifcance'",)),
    "what-if with an unknown key": (("what-if", "--set", "routing.max_q=1"), ("unknown key 'routing.max_q'",)),
    "train an unknown target": (("train", "--targets", "nothing"), ("no job of the plan has target 'nothing'", "volatility_rise_5d")),
    "train an unknown family": (("train", "--families", "LSTM"), ("no job of the plan has family 'LSTM'", "Ridge")),
    "train from a folder without a plan": (("train", "--training-plan-dir", "/nowhere"), ("/nowhere/master_training_plan.json: missing",)),
    "predict for an unknown symbol": (("predict", "--symbols", "ZZZ"), ("no job of the plan has symbol 'ZZZ'", "AAA")),
    "plan with a table that is not there": (("plan", "--candidates", "/nowhere.parquet"), ("/nowhere.parquet: no such file",)),
    "plan on data that are not there": (("plan", "--data-dir", "/nowhere"), ("data.path /nowhere is not there",)),
    "a user interface on no port": (("ui", "--port", "99999"), ("99999 is no port",)),
    "a user interface on a port in words": (("ui", "--port", "http"), ("http is no port", "1 to 65535")),
    "an unknown command near a known one": (("valdiate",), ("'valdiate'", "did you mean validate?")),
    "what-if with less than nothing to list": (("what-if", "--set", "routing.significance.max_q=1", "--limit", "-5"), ("-5 is no count",)),
    "a shell that nobody completes": (("completion", "powershell"), ("'powershell'", "choose from")),
    "predictions into a folder": (("predict", "--predictions-file", "/"), ("/ cannot be written", "--predictions-file")),
    "a name that no file can have": (("explain", "x", "--config-dir", "/" + "x" * 300), ("--config-dir", "300 bytes > 255")),
    "a path that no system takes": (("what-if", "--config-dir", "/x" * 2100), ("--config-dir", "4200 bytes > 4095")),
    "a plan to train and none": (("train", "--no-training-plan", "--training-plan-dir", "results"), ("--training-plan-dir", "leave one of them out")),
    "explain bytes that are no text": (("explain", "\udcff"), ("no target '\\udcff'",)),
}


@pytest.mark.parametrize("case", BAD_COMMANDS)
def test_a_wrong_command_is_told_and_changes_nothing(planned: Path, case: str) -> None:
    words, expected = BAD_COMMANDS[case]
    places = () if not words else common(planned) if words[0] in ("plan", "train", "predict") else common(planned)[4:]
    before = results(planned / "out")
    given = (*words[:1], *places, *words[1:])
    assert_told(switchyard(*given), 2, expected)
    document = json.loads(switchyard(*given, "--json").out)
    assert document["status"] == 2
    assert expected[-1] in document["error"]
    assert results(planned / "out") == before


def test_predictions_into_a_pipe_are_refused_and_the_pipe_stays(planned: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert_told(switchyard("predict", *common(planned), "--predictions-file", tmp_path / "pipe"), 2, ("pipe cannot be written", "it is no file"))
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("command", ["ui --output-dir {file}", "ui --output-dir {file}/below", "init --data-dir {bars} --config-dir {file}"])
def test_a_file_where_a_folder_is_to_be_is_told_and_stays(planned: Path, tmp_path: Path, command: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    answer = switchyard(*command.format(file=file, bars=planned / "bars").split())
    assert_told(answer, 2, (f"{file}", "cannot be written", "name another"))
    assert file.read_text(encoding="utf-8") == "mine"


BAD_SETTINGS_FILES = {
    "no JSON": b"{nope",
    "empty": b"",
    "a list": b"[]",
    "a number for a folder": b'{"config_dir": 5}',
    "values that are no JSON": b'{"values_json": "{nope"}',
    "values that are a list": b'{"values_json": "[1]"}',
}


@pytest.mark.parametrize("case", BAD_SETTINGS_FILES)
@pytest.mark.parametrize("command", ["explain volatility_rise_5d", "what-if --set routing.significance.max_q=0.5", "ui"])
def test_settings_of_an_output_folder_that_were_spoiled_are_told(copied: Path, command: str, case: str) -> None:
    (copied / "out" / "settings.json").write_bytes(BAD_SETTINGS_FILES[case])
    answer = switchyard(*command.split(), "--output-dir", copied / "out")
    assert_told(answer, 2, ("settings.json: ", "remove it, or name a folder with --config-dir"))


@pytest.mark.parametrize("content", [b"", b"PAR1 cut"])
def test_a_leakage_audit_that_cannot_be_read_trains_nothing(copied: Path, content: bytes) -> None:
    (copied / "out" / "METRICS" / "leakage_audit.parquet").write_bytes(content)
    assert_told(switchyard("train", *common(copied)), 2, ("leakage_audit.parquet: not a readable Parquet file", "materialize it again"))
    assert not (copied / "out" / "models").exists()


def test_what_if_says_of_a_setting_that_only_a_plan_shows_its_effect(planned: Path) -> None:
    answer = switchyard("what-if", "--output-dir", planned / "out", "--set", "seed=3", "--set", "routing.significance.max_q=0.5")
    assert answer.status == 0, answer.err
    assert [line for line in answer.out.splitlines() if line.startswith("note: ")] == [
        "note: seed changes the candidates, which stay as they are here; `switchyard plan --set` shows its effect"
    ]


@pytest.mark.parametrize("command", ["explain volatility_rise_5d", "what-if --set seed=1", "predict", "train", "diff {out} {out}"])
def test_a_command_without_a_plan_says_how_to_make_one(tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = switchyard(*command.format(out=tmp_path / "out").split(), *(() if "diff" in command else ("--output-dir", tmp_path / "out")))
    assert_told(answer, 2, ("switchyard ",))
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    assert_told(switchyard("plan", "--output-dir", tmp_path / "out"), 2, (f"output folder {tmp_path / 'out'} cannot be written", "--output-dir"))
    assert_told(switchyard("plan", "--output-dir", tmp_path / "out" / "deeper"), 2, ("cannot be written: Not a directory",))
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"
