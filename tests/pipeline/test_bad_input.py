"""Bad input at the real command: every case ends with the promised status and a message that names place, value and mend; nothing is half done.

Belongs here: what a user meets. Does not: the readers' and parsers' own cases (`tests/unit`), which some of these reuse.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from config.load import ConfigError, known_keys, load_config
from tests.pipeline.bad_market import LIMIT, SOURCE_CASES, SYMBOL_CASES
from tests.pipeline.bad_settings import SETTING_CASES
from tests.pipeline.command import SYMBOLS, Answer, bars, command_line, everything, process_environment, switchyard, write_config, write_market

MAX_LINES = 40


def assert_told(answer: Answer, status: int, words: tuple[str, ...]) -> None:
    """The promised status, each word in the message, no traceback, few lines, nothing that steers a terminal."""
    assert answer.status == status, answer.err
    for word in words:
        assert word in answer.err
    assert "Traceback" not in answer.out + answer.err
    assert len(answer.err.splitlines()) <= MAX_LINES
    assert all(line.isprintable() for line in answer.err.splitlines())


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """A folder with the usable symbol GOOD."""
    folder = tmp_path / "bars"
    folder.mkdir()
    bars(60).to_parquet(folder / "GOOD.parquet")
    return folder


@pytest.mark.parametrize("case", SYMBOL_CASES)
def test_a_bad_symbol_is_told_and_the_good_one_is_used(market: Path, case: str) -> None:
    SYMBOL_CASES[case].write(market)
    answer = switchyard("validate", "--data-dir", market, "--output-dir", market.parent / "out", *SYMBOL_CASES[case].options)
    assert_told(answer, SYMBOL_CASES[case].status, SYMBOL_CASES[case].words)
    assert "bars: " in answer.out
    assert not (market.parent / "out").exists()


@pytest.mark.timeout(300)
def test_every_bad_file_at_once_is_told_by_plan_and_the_good_ones_are_planned(tmp_path: Path) -> None:
    market, apart = write_market(tmp_path / "bars", n_bars=200), tmp_path / "apart"
    cases = [case for name, case in SYMBOL_CASES.items() if name.startswith("file: ")]
    for number, case in enumerate(cases):
        (apart / "bars").mkdir(parents=True)
        case.write(apart / "bars")
        (bad,) = (apart / "bars").iterdir()
        bad.rename(market / f"BAD{number}.{bad.name.partition('.')[2]}")
        shutil.rmtree(apart / "bars")
    answer = switchyard("plan", "--json", "--data-dir", market, "--config-dir", write_config(tmp_path / "config"), "--output-dir", tmp_path / "out", *LIMIT)
    assert answer.status == 1, answer.err
    assert "Traceback" not in answer.out + answer.err
    told = "\n".join(json.loads(answer.out)["problems"])
    for number, case in enumerate(cases):
        assert f"data: BAD{number}: {case.words[0].removeprefix('BAD: ')}" in told
    plan = json.loads((tmp_path / "out" / "globals" / "training_plan" / "master_training_plan.json").read_bytes())
    assert {job["symbol"] for job in plan["jobs"]} - {None} == set(SYMBOLS)


def test_a_target_of_a_name_too_long_is_refused_alone_and_the_others_are_planned(tmp_path: Path) -> None:
    long, most = f"y_{'x' * 196}_5b", f"y_{'x' * 195}_5b"
    assert (len(long), len(most)) == (201, 200)
    market = write_market(tmp_path / "bars", n_bars=200)
    for path in market.iterdir():
        frame = pd.read_parquet(path)
        later = frame["close"].shift(-5) / frame["close"] - 1.0
        frame.assign(**{long: later, most: later}).to_parquet(path)
    given = ("--data-dir", market, "--config-dir", write_config(tmp_path / "config"), "--output-dir", tmp_path / "out", "--set", "targets.builtin=[]")
    for command in ("validate", "plan"):
        answer = switchyard(command, *given)
        assert_told(answer, 1, ("data: BAD_NAME", "201 characters > 200", "rename the column"))
    ranking = pd.read_parquet(tmp_path / "out" / "METRICS" / "target_ranking.parquet")
    assert ranking["target"].tolist() == [most]


@pytest.mark.parametrize("case", SOURCE_CASES)
def test_a_source_of_which_nothing_can_be_used_starts_nothing(market: Path, case: str) -> None:
    SOURCE_CASES[case].write(market)
    before = everything(market)
    answer = switchyard("validate", "--data-dir", market, "--output-dir", market.parent / "out", *SOURCE_CASES[case].options)
    assert_told(answer, SOURCE_CASES[case].status, SOURCE_CASES[case].words)
    assert answer.out == ""
    assert not (market.parent / "out").exists()
    assert everything(market) == before


@pytest.mark.parametrize("case", SETTING_CASES)
def test_a_bad_setting_is_told_with_its_place_and_value(tmp_path: Path, case: str) -> None:
    given = SETTING_CASES[case]
    folder = write_config(tmp_path / "config", given.text or "seed: 0\n")
    words = ("validate", "--output-dir", tmp_path / "out", "--config-dir", folder, *given.options)
    answer = switchyard(*words)
    assert_told(answer, 2, given.words)
    assert answer.out == ""
    document = json.loads(switchyard(*words[:1], "--json", *words[1:]).out)
    assert document["status"] == 2
    assert given.words[-1] in document["error"]
    assert not (tmp_path / "out").exists()


def test_a_folder_of_yml_files_is_read_as_one_of_yaml_files(tmp_path: Path) -> None:
    (tmp_path / "all.yml").write_text("rooting: 1\n", encoding="utf-8")
    assert_told(switchyard("validate", "--config-dir", tmp_path), 2, ("all.yml", "did you mean 'routing'?"))


def test_a_terminal_of_few_characters_and_a_reader_that_goes_away_end_nothing(market: Path) -> None:
    words = command_line("validate", "--data-dir", market, "--set", "features.exclude=[volatility_5]")
    plain = subprocess.run(words, capture_output=True, text=True, env=process_environment({"PYTHONIOENCODING": "ascii"}), check=False)
    assert (plain.returncode, plain.stderr) == (0, "")
    closed, kept = os.pipe()
    os.close(closed)
    gone = subprocess.run(words, stdout=kept, stderr=subprocess.PIPE, text=True, env=process_environment(), check=False)
    os.close(kept)
    assert (gone.returncode, gone.stderr) == (0, "")


LEAVES = [key for key in known_keys() if not any(other.startswith(f"{key}.") for other in known_keys())]


@pytest.mark.parametrize("key", LEAVES)
def test_every_setting_refuses_a_value_of_another_type_by_name(key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(overrides=[f"{key}=[[{{}}]]"])
    assert f"--set: {key}" in str(raised.value)


def test_the_catalogue_is_not_small() -> None:
    assert len(SYMBOL_CASES) + len(SOURCE_CASES) + len(SETTING_CASES) >= 130
