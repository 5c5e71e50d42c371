"""init and completion, as a user meets them: what is found, what is written, and that it works as it is."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.load import PACKAGED_CONFIG_DIR, load_config
from routing_assets.cli import COMMANDS, main
from routing_assets.command.options import EXAMPLES, build_parser


def write_panel(folder: Path, n_rows: int = 400, minutes: int | None = None, extra: int = 0, targets: bool = False) -> None:
    """Three symbols of noise, daily or intraday of 26 bars a session, with as many supplied features as asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    days = pd.date_range("2019-01-01", periods=n_rows, freq="B", tz="UTC")
    if minutes is not None:
        days = pd.DatetimeIndex([day + pd.Timedelta(minutes=870 + minutes * bar) for day in days[: n_rows // 26] for bar in range(26)])
    for symbol in ("AAA", "BBB", "CCC"):
        returns = 0.01 * generator.normal(size=days.size)
        close = 100 * np.exp(np.cumsum(returns))
        opened = close * np.exp(-returns / 2)
        top, bottom = np.maximum(opened, close) * 1.003, np.minimum(opened, close) * 0.997
        frame = pd.DataFrame({"timestamp": days, "open": opened, "high": top, "low": bottom, "close": close})
        for number in range(extra):
            frame[f"alpha_{number}"] = generator.normal(size=days.size)
        if targets:
            frame["fwd_ret_5d"] = pd.Series(close).shift(-5) / close - 1
            frame["y_up"] = (frame["fwd_ret_5d"] > 0).astype(float)
            frame["target_flat_3b"] = 1.0
        frame.to_parquet(folder / f"{symbol}.parquet")


def init(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    status = main(["init", "--json", *arguments])
    return status, json.loads(capsys.readouterr().out)


def test_a_labelled_panel_is_taken_as_it_is_and_what_cannot_be_used_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_panel(tmp_path / "bars", extra=6, targets=True)
    status, found = init(capsys, "--data-dir", str(tmp_path / "bars"), "--config-dir", str(tmp_path / "config"))
    assert status == 0
    assert found["supplied_targets"] == [{"name": "fwd_ret_5d", "horizon_bars": 5, "horizon_minutes": 7200, "task_type": "REGRESSION"}]
    refused = found["refused_targets"]
    assert isinstance(refused, dict)
    assert "nobody states the horizon" in refused["y_up"]
    assert "the one value" in refused["target_flat_3b"]
    config = load_config(tmp_path / "config")
    assert (config.features.builtin, config.targets.builtin, config.targets.only) == (False, (), ("fwd_ret_5d",))
    assert config.data.interval_minutes == 1440


def test_what_init_writes_works_as_it_is_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_panel(tmp_path / "bars", extra=6, targets=True)
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--data-dir", "bars"]) == 0
    text = capsys.readouterr().out
    assert "switchyard validate, then switchyard plan" in text
    assert main(["validate"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["validate", "--config-dir", str(tmp_path / "config")]) == 0
    assert "3 symbols" in capsys.readouterr().out


def test_intraday_bars_get_horizons_that_fit_their_sessions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_panel(tmp_path / "bars", n_rows=26 * 30, minutes=15)
    status, found = init(capsys, "--data-dir", str(tmp_path / "bars"), "--config-dir", str(tmp_path / "config"))
    assert (status, found["interval_minutes"], found["n_sessions"]) == (0, 15, 30)
    horizons = {spec.builder: spec.horizon for spec in load_config(tmp_path / "config").targets.builtin}
    assert horizons["forward_return"] == "60m"
    assert horizons["forward_realized_volatility"] == "1d"


def test_a_few_supplied_features_are_used_beside_the_built_in_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_panel(tmp_path / "bars", n_rows=1_200, extra=2)
    init(capsys, "--data-dir", str(tmp_path / "bars"), "--config-dir", str(tmp_path / "config"))
    config = load_config(tmp_path / "config")
    assert config.features.builtin
    assert len(config.targets.builtin) == 6


def test_short_histories_shorten_the_look_back_and_say_what_the_gates_will_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_panel(tmp_path / "bars", n_rows=200)
    _, found = init(capsys, "--data-dir", str(tmp_path / "bars"), "--config-dir", str(tmp_path / "config"))
    assert load_config(tmp_path / "config").features.max_lookback_bars == 50
    notes = found["notes"]
    assert isinstance(notes, list)
    assert any("3 of 3 symbols have fewer than 400 rows" in note for note in notes)


def test_configuration_that_is_there_is_not_written_over_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_panel(tmp_path / "bars")
    (tmp_path / "config").mkdir()
    mine = tmp_path / "config" / "targets.yaml"
    mine.write_text("targets: {top_n: 3}\n", encoding="utf-8")
    arguments = ["init", "--data-dir", str(tmp_path / "bars"), "--config-dir", str(tmp_path / "config")]
    assert main(arguments) == 2
    assert "--force writes over" in capsys.readouterr().err
    assert mine.read_text(encoding="utf-8") == "targets: {top_n: 3}\n"
    assert main([*arguments, "--force"]) == 0
    assert load_config(tmp_path / "config").targets.top_n == 10


def test_the_packaged_defaults_are_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_panel(tmp_path / "bars")
    before = (PACKAGED_CONFIG_DIR / "targets.yaml").read_bytes()
    assert main(["init", "--data-dir", str(tmp_path / "bars"), "--config-dir", str(PACKAGED_CONFIG_DIR), "--force"]) == 2
    assert "name another folder" in capsys.readouterr().err
    assert (PACKAGED_CONFIG_DIR / "targets.yaml").read_bytes() == before


def test_one_bad_symbol_is_named_and_the_others_are_surveyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_panel(tmp_path / "bars")
    (tmp_path / "bars" / "BAD.parquet").write_bytes(b"nothing")
    status, found = init(capsys, "--data-dir", str(tmp_path / "bars"), "--config-dir", str(tmp_path / "config"))
    assert status == 1
    assert found["symbols"] == ["AAA", "BBB", "CCC"]
    assert "BAD" in str(found["problems"])


def test_nothing_is_written_where_there_is_nothing_to_look_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--data-dir", str(tmp_path / "gone"), "--config-dir", str(tmp_path / "config")]) == 2
    assert "is not there" in capsys.readouterr().err
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_examples_that_the_command_takes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    for example in EXAMPLES[command]:
        assert example in shown
        words = example.split("switchyard ", 1)[1].split(")")[0].split(" > ")[0]
        assert build_parser().parse_args(words.split()).command == command


def complete(script: Path, line: str) -> list[str]:
    """What bash offers at the end of a line."""
    words = line.split(" ")
    place = f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}"
    program = f'source {script}; {place}; _switchyard 2>/dev/null; printf "%s\\n" "${{COMPREPLY[@]}}"'
    return subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("switchyard wh", ["what-if"]),
        ("switchyard run --top", ["--top-n-targets", "--top-m-features"]),
        ("switchyard run --model-types seq", ["sequential"]),
        ("switchyard plan --set routing.significance.max", ["routing.significance.max_q="]),
        ("switchyard completion z", []),
    ],
)
def test_bash_completes_commands_options_choices_and_keys(line: str, offered: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    assert complete(script, line) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_learns_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert [command for command in COMMANDS if command not in script] == []
    assert "routing.significance.max_q=" in script


def test_tables_fit_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from resources.settings import Settings
    from routing_assets.command.pipeline import PipelineOutcome
    from routing_assets.command.summary import run_text
    from training_assets.contracts import TrainingPlan

    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.chdir(tmp_path)
    outcome = PipelineOutcome(seconds={"routing_candidates_with_a_name_that_is_far_too_long_for_a_narrow_terminal": 1.0})
    text = run_text(Settings(output_dir="out"), TrainingPlan({}, (), {}), outcome, trained=False)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 60
    assert "\x1b" not in text
