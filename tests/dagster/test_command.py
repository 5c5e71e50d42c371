"""The command end to end on a tiny panel: what it writes, what it says, and the status it ends with."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from resources.instance import open_instance
from routing_assets.cli import main

TINY = [
    "--set", "targets.builtin=[{builder: forward_return, horizon: 2b}, {builder: forward_realized_volatility, horizon: 3b}]",
    "--set", "features.include=[log_return_1, log_return_5, sma_distance_5, volatility_10, parkinson_5]",
    "--set", "features.n_canaries=2",
    "--set", "routing.min_sample_size={cross_sectional: 100, symbol: 50, effective_cross_sectional: 5, effective_symbol: 5}",
    "--families", "Ridge",
]  # fmt: skip
TABLES = ("target_ranking", "feature_selection", "leakage_audit", "stability", "routing_candidates")


def write_bars(folder: Path, symbols: tuple[str, ...], n_rows: int = 420, seed: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(seed)
    times = pd.date_range("2015-01-01", periods=n_rows, freq="B", tz="UTC")
    volatility = 0.005 * np.exp(np.cumsum(generator.normal(scale=0.08, size=n_rows)).clip(-2, 2))
    for symbol in symbols:
        returns = generator.normal(size=n_rows) * volatility
        close = 100.0 * np.exp(np.cumsum(returns))
        opened = close * np.exp(-returns / 2)
        spread = np.abs(generator.normal(size=n_rows)) * volatility * close
        high, low = np.maximum(opened, close) + spread, np.minimum(opened, close) - spread
        pd.DataFrame({"timestamp": times, "open": opened, "high": high, "low": low, "close": close, "volume": 1e6}).to_parquet(folder / f"{symbol}.parquet")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with a plan, beside its bars."""
    root = tmp_path_factory.mktemp("command")
    write_bars(root / "bars", ("AAA", "BBB", "C.C"))
    status = main(["plan", "--data-dir", str(root / "bars"), "--output-dir", str(root / "out"), *TINY])
    assert status == 0
    return root


def test_a_plan_leaves_every_file_that_the_contract_names(planned: Path) -> None:
    out = planned / "out"
    for table in TABLES:
        assert pq.read_table(out / "METRICS" / f"{table}.parquet").num_rows > 0
    for suffix in ("json", "yaml", "md"):
        assert (out / "METRICS" / "routing_plan" / f"routing_plan.{suffix}").stat().st_size > 0
        assert (out / "globals" / "training_plan" / f"training_plan.{suffix}").stat().st_size > 0
    assert (out / "globals" / "training_plan" / "master_training_plan.json").exists()


def test_the_same_command_twice_gives_the_same_bytes(planned: Path) -> None:
    def contents() -> dict[str, bytes]:
        folders = (planned / "out" / "METRICS", planned / "out" / "globals")
        return {str(path): path.read_bytes() for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()}

    before = contents()
    assert main(["plan", "--data-dir", str(planned / "bars"), "--output-dir", str(planned / "out"), *TINY]) == 0
    assert contents() == before


def test_every_pair_that_no_gate_blocks_trains_without_a_plan_and_is_not_trained_twice(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "train",
        "--no-training-plan",
        "--json",
        "--data-dir",
        str(planned / "bars"),
        "--output-dir",
        str(planned / "out"),
        *TINY[:-2],
        "--set",
        "training.families=[Ridge]",
    ]
    status = main(command)
    first = json.loads(capsys.readouterr().out)
    cards = list((planned / "out" / "models").rglob("model_card.json"))
    assert len(cards) >= 8  # a pooled model a target, a local one a pair
    assert status == (1 if first["problems"] else 0)
    main(command)
    second = json.loads(capsys.readouterr().out)
    assert second["n_cached"] == second["n_models"] == first["n_models"]
    assert (planned / "out" / "METRICS" / "model_leaderboard.parquet").exists()
    with open_instance(planned / "out") as instance:
        assert {run.job_name for run in instance.get_runs()} >= {"plan_only", "train_targets_cpu", "train_pairs_cpu", "report_models"}


def test_training_from_a_plan_ends_with_the_report_that_a_run_ends_with(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = planned / "out" / "METRICS" / "routing_report.md"
    assert not report.exists()
    assert main(["train", "--data-dir", str(planned / "bars"), "--output-dir", str(planned / "out"), *TINY]) in (0, 1)
    assert report.exists()
    assert str(report) in capsys.readouterr().out


def test_a_run_ends_with_a_report_and_a_table_for_people(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--data-dir", str(planned / "bars"), "--output-dir", str(planned / "out"), *TINY]) in (0, 1)
    said = capsys.readouterr().out
    for heading in ("Pairs by route", "Seconds by stage", "switchyard ui"):
        assert heading in said
    for suffix in ("parquet", "md", "html"):
        assert (planned / "out" / "METRICS" / f"routing_report.{suffix}").stat().st_size > 0


def test_a_decision_is_explained_and_settings_are_tried_without_data(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--output-dir", str(planned / "out")]
    target = json.loads((planned / "out" / "METRICS" / "routing_plan" / "routing_plan.json").read_text())["targets"].popitem()[0]
    assert main(["explain", target.upper(), "AAA", *out]) == 0
    assert f"{target} / AAA: ROUTE_" in capsys.readouterr().out
    assert main(["what-if", "--set", "routing.significance.method=none", "--json", *out]) == 0
    assert sum(move["pairs"] for move in json.loads(capsys.readouterr().out)["moves"]) == 6
    assert main(["diff", str(planned / "out"), str(planned / "out")]) == 0
    assert "0 jobs added, 0 removed, 0 changed" in capsys.readouterr().out


def test_a_name_that_is_not_there_names_the_nearest(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "forward_retrun_2b", "--output-dir", str(planned / "out")]) == 2
    assert "did you mean 'forward_return_2b'?" in capsys.readouterr().err


def test_one_bad_symbol_is_named_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bars(tmp_path / "bars", ("AAA", "BBB"))
    (tmp_path / "bars" / "BAD.parquet").write_bytes(b"PAR1 cut")
    assert main(["validate", "--data-dir", str(tmp_path / "bars")]) == 1
    captured = capsys.readouterr()
    assert "not done: data: BAD" in captured.err
    assert "2 symbols" in captured.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "--data-dir", "nowhere"], "nowhere"),
        (["plan", "--set", "routing.max_q=1"], "unknown key"),
        (["plan", "--families", "LightGMB"], "LightGMB"),
        (["plan", "--candidates", "none.parquet"], "no such file"),
        (["train"], "no training plan"),
        (["train", "--training-plan-dir", "gone"], "missing"),
        (["what-if"], "nothing to change"),
        (["explain", "t"], "routing_candidates.parquet"),
        (["diff", "a", "b"], "missing"),
        (["predict"], "no training plan"),
    ],
)
def test_what_cannot_be_started_is_one_message_and_status_two(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert len(error.splitlines()) < 8


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("name", ["nonsense", "fwd_ret_2d"])
def test_a_target_that_there_is_not_is_refused_before_anything_is_run(
    planned: Path, tmp_path: Path, command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--data-dir", str(planned / "bars"), "--output-dir", str(tmp_path / "out")]
    assert main([command, *places, *TINY, "--targets", name]) == 2
    assert f"no target '{name}'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["run", "--families", "LSTM"], ["train", "--no-training-plan", "--families", "LSTM"]])
def test_a_required_device_that_is_not_there_is_refused_before_anything_is_run(
    planned: Path, tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    places = ["--data-dir", str(planned / "bars"), "--output-dir", str(tmp_path / "out"), "--set", "training.require_device=required"]
    assert main([*options, *places]) == 2
    assert "no GPU: training.require_device is 'required'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_required_device_is_not_asked_for_where_no_family_of_the_gpu_stage_trains(planned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    places = ["--data-dir", str(planned / "bars"), "--output-dir", str(tmp_path / "out"), "--set", "training.require_device=required"]
    assert main(["run", *places, *TINY]) == 0


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--workers", "many"], ["plan", "--model-types", "all"]])
def test_wrong_usage_is_status_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("switchyard")
    assert "--help`" in error


def test_a_run_that_ends_before_its_first_step_is_told_and_not_taken_for_the_plan_that_is_there(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--data-dir", str(planned / "bars"), "--output-dir", str(planned / "out"), *TINY]
    before = (planned / "out" / "globals" / "training_plan" / "master_training_plan.json").read_bytes()
    assert main(["plan", *given, "--set", "seed=7", "--set", "resources.store=ftp://127.0.0.1:1/x"]) == 1
    told = capsys.readouterr()
    assert "resources.store 'ftp://127.0.0.1:1/x' cannot be used" in told.err
    assert "Traceback" not in told.err
    assert "jobs" not in told.out
    assert (planned / "out" / "globals" / "training_plan" / "master_training_plan.json").read_bytes() == before
