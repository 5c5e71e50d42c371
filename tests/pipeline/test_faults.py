"""Faults: kills at random moments, a full disk, a fit that hangs, workers that die, two runs at once. A rerun resumes, and ends as if nothing had been.

`SWITCHYARD_FAULT_KILLS` sets the number of kills (default 3); their moments come from the seed in `SWITCHYARD_FAULT_SEED`. They meet the phases of a run
in turn, and it is told how many met which.
"""

import json
import os
import random
import resource
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from resources.instance import GPU_POOL, command_tags, open_instance
from resources.output_lock import LOCK_FILE, OutputError, clear_leftovers, held_for_run, output_locked, output_shared, pen_held
from tests.pipeline.command import (
    TINY_CONFIG,
    Answer,
    command_line,
    leftovers,
    process_environment,
    results,
    start_process,
    switchyard,
    switchyard_process,
    tells_done,
    write_config,
    write_market,
)

KILLS = int(os.environ.get("SWITCHYARD_FAULT_KILLS", "3"))
SEED = int(os.environ.get("SWITCHYARD_FAULT_SEED", "0"))
# The phases of a run in their order: the stages after which a kill is within it, and the stage that ends it.
PHASES = {
    "planning": (("market_bars", "panel", "routing_candidates", "routing_plan"), "training_plan_trains_what_is_routed"),
    "CPU stage": (("training_plan_trains_what_is_routed", "cross_sectional_models"), "symbol_models"),
    "blends": (("symbol_models",), "blended_models"),
    "GPU stage": (("blended_models", "cross_sectional_sequence_models"), "symbol_sequence_models"),
    "report": (("symbol_sequence_models", "model_leaderboard"), "routing_report"),
}
KILLS_THAT_MEET_ALL = 6 * len(PHASES)  # the last moments of a phase may turn out to be the first of the next
# A net besides, so that there is a GPU stage, whose step takes a place in a pool.
CONFIG_WITH_A_NET = TINY_CONFIG.replace("[Ridge, LightGBM]", "[Ridge, LightGBM, MLP], hyperparameters: {MLP: {epochs: 1, hidden: 8}}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars, configuration, and the output of an undisturbed run."""
    return undisturbed_world(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def world_with_a_net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a GPU stage."""
    return undisturbed_world(tmp_path_factory.mktemp("faults_with_a_net"), CONFIG_WITH_A_NET)


def undisturbed_world(root: Path, config: str = TINY_CONFIG) -> Path:
    """The folder, once it holds bars, configuration, and the output of an undisturbed run."""
    write_market(root / "bars")
    write_config(root / "config", config)
    answer = switchyard("run", *given(root), "--output-dir", root / "undisturbed")
    assert answer.status == 0, answer.err
    return root


def given(root: Path) -> tuple[object, ...]:
    return ("--data-dir", root / "bars", "--config-dir", root / "config")


def kill_after(process: subprocess.Popen[str], stage: str, seconds: float) -> str | None:
    """Kill a command and its workers some time after it has told that a stage is done; returns what it had told, None if it ended first."""
    told = ""
    assert process.stderr is not None
    for line in process.stderr:
        told += line
        if tells_done(line, stage):
            break
    time.sleep(seconds)
    ended = process.poll() is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return None if ended else told + process.stderr.read()


def phase_of(told: str) -> str:
    """The phase that a run was in which had told so much."""
    lines = told.splitlines()
    return next(phase for phase, (_, end) in PHASES.items() if not any(tells_done(line, end) for line in lines))


@pytest.fixture(scope="module")
def kills_met(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """How many kills met a run in each phase, told at the end."""
    met: Counter[str] = Counter()
    yield met
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.ensure_newline()
        reporter.write_line(f"{met.total()} kills: " + ", ".join(f"{met[phase]} in {phase}" for phase in PHASES))
    assert met.total() < KILLS_THAT_MEET_ALL or set(met) == set(PHASES)


def assert_readers_see_whole_files(output: Path) -> None:
    """What a reader finds after a kill is readable, or not there."""
    for path in output.rglob("*.json"):
        if not any(part.startswith(".") for part in path.relative_to(output).parts):
            json.loads(path.read_text(encoding="utf-8"))
    for folder in output.glob("models/*/*/*"):
        if not folder.name.startswith("."):
            assert (folder / "model_card.json").is_file()


@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_that_is_killed_goes_on_and_ends_as_an_undisturbed_one(world_with_a_net: Path, tmp_path: Path, number: int, kills_met: Counter[str]) -> None:
    moments = random.Random(f"{SEED}-{number}")
    output, arguments = tmp_path / "out", (*given(world_with_a_net), "--workers", 1 + number % 2)
    stage = moments.choice(list(PHASES.values())[number % len(PHASES)][0])
    process = start_process("run", *arguments, "--output-dir", output)
    told = kill_after(process, stage, moments.uniform(0.0, 0.4))
    assert told is not None, f"the run ended before it could be killed after {stage}"
    kills_met[phase_of(told)] += 1
    assert_readers_see_whole_files(output)
    again = switchyard("run", *arguments, "--output-dir", output)
    assert again.status == 0, again.err
    assert results(output) == results(world_with_a_net / "undisturbed")
    assert leftovers(output) == []
    with open_instance(output) as instance:
        assert {run.status.value for run in instance.get_runs()} <= {"SUCCESS", "FAILURE"}


def gpu_pool_taken(output: Path) -> bool:
    """Whether a step holds a place in the GPU pool, or is said to."""
    with open_instance(output) as instance:
        return instance.event_log_storage.get_concurrency_info(GPU_POOL).active_slot_count > 0


def test_a_command_that_is_killed_in_the_gpu_stage_gives_its_place_in_the_pool_back(world_with_a_net: Path, tmp_path: Path) -> None:
    arguments = (*given(world_with_a_net), "--output-dir", tmp_path / "out")
    process = start_process("run", *arguments, "--set", "training.hyperparameters={MLP: {epochs: 4000, hidden: 8}}")
    assert process.stderr is not None
    for line in process.stderr:
        if tells_done(line, "blended_models"):
            break
    while not gpu_pool_taken(tmp_path / "out"):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert gpu_pool_taken(tmp_path / "out")  # by nobody who could give it back
    again = switchyard_process("run", *arguments)
    assert again.status == 0, again.err
    assert not gpu_pool_taken(tmp_path / "out")
    assert results(tmp_path / "out") == results(world_with_a_net / "undisturbed")


def test_a_model_that_was_finished_before_the_kill_is_not_trained_again(world: Path, tmp_path: Path) -> None:
    process = start_process("run", *given(world), "--output-dir", tmp_path / "out")
    assert kill_after(process, "symbol_models", 0.0) is not None
    finished = len([card for card in (tmp_path / "out" / "models").rglob("model_card.json") if ".writing-" not in str(card)])
    assert finished >= 10  # two families for two pooled jobs and six local ones, and perhaps some blends
    again = switchyard("run", *given(world), "--output-dir", tmp_path / "out", "--json")
    assert json.loads(again.out)["n_cached"] >= finished


@pytest.mark.parametrize(("stage", "workers"), [("training_plan_trains", 1), ("cross_sectional_models", 2)])
def test_an_interrupt_ends_the_command_at_once_and_the_same_command_goes_on(world: Path, tmp_path: Path, stage: str, workers: int) -> None:
    arguments = (*given(world), "--workers", workers, "--output-dir", tmp_path / "out")
    process = start_process("run", *arguments)
    assert process.stderr is not None
    for line in process.stderr:
        if tells_done(line, stage):
            break
    time.sleep(0.3)  # into the middle of a step that follows
    assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    sent = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert time.monotonic() - sent < 20.0
    assert "interrupted; what was finished is saved" in err
    assert err.count(" done in ") <= 1, err  # the step in hand may have ended; none was begun after
    assert_readers_see_whole_files(tmp_path / "out")
    assert switchyard("run", *arguments).status == 0
    assert results(tmp_path / "out") == results(world / "undisturbed")
    with open_instance(tmp_path / "out") as instance:
        assert all(run.is_finished for run in instance.get_runs())


def limited(bytes_a_file: int, *words: object) -> Answer:
    """The command in a process that cannot write more than this into a file, as on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails with an error, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, bytes_a_file))

    done = subprocess.run(command_line(*words), capture_output=True, text=True, env=process_environment(), preexec_fn=limit, timeout=120, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("kilobytes", [0, 200])
def test_a_full_disk_is_told_and_a_rerun_goes_on(world: Path, tmp_path: Path, kilobytes: int) -> None:
    answer = limited(kilobytes * 1024, "run", *given(world), "--output-dir", tmp_path / "out")
    assert answer.status in (1, 2)
    assert "Traceback" not in answer.err
    assert len(answer.err.splitlines()) < 60
    assert_readers_see_whole_files(tmp_path / "out")
    assert switchyard("run", *given(world), "--output-dir", tmp_path / "out").status == 0
    assert results(tmp_path / "out") == results(world / "undisturbed")


def test_a_family_that_takes_too_long_costs_only_itself(world: Path, tmp_path: Path) -> None:
    slow = ("--set", "training.fit_timeout_seconds=1", "--set", "training.hyperparameters={LightGBM: {max_rounds: 100000, early_stopping_rounds: 100000}}")
    answer = switchyard("run", *given(world), *slow, "--targets", "volatility_rise_5d", "--symbols", "AAA", "--output-dir", tmp_path / "out")
    cards = [json.loads(path.read_text(encoding="utf-8"))["family"] for path in (tmp_path / "out" / "models").rglob("model_card.json")]
    assert answer.status == 1
    assert "LightGBM not trained: stopped after 1 seconds" in answer.err
    assert "Ridge" in cards
    assert "LightGBM" not in cards


def workers_of(pid: int) -> list[int]:
    """Worker processes of a command, as the kernel lists them."""
    found = []
    for child in (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text(encoding="utf-8").split():
        try:
            line = (Path("/proc") / child / "cmdline").read_bytes()
        except OSError:
            continue
        if b"spawn_main" in line and b"resource_tracker" not in line:
            found.append(int(child))
    return found


def test_a_worker_that_is_killed_costs_no_model(world: Path, tmp_path: Path) -> None:
    process = start_process("run", *given(world), "--workers", 2, "--output-dir", tmp_path / "out")
    killed: set[int] = set()
    # Two at most: a third in a row that dies before it is ready is taken for workers that cannot start at all.
    while process.poll() is None and len(killed) < 2:
        found = [worker for worker in workers_of(process.pid) if worker not in killed]
        if found:
            os.kill(found[0], signal.SIGKILL)
            killed.add(found[0])
            time.sleep(1.0)
        time.sleep(0.02)
    _, err = process.communicate(timeout=120)
    assert killed
    assert process.returncode == 0, err
    assert results(tmp_path / "out") == results(world / "undisturbed")


def test_of_two_runs_on_one_folder_the_second_says_why_not(world: Path, tmp_path: Path) -> None:
    first = start_process("run", *given(world), "--output-dir", tmp_path / "out")
    while not (tmp_path / "out" / "settings.json").exists() and first.poll() is None:
        time.sleep(0.02)
    second = switchyard_process("plan", *given(world), "--output-dir", tmp_path / "out", "--set", "seed=5")
    assert first.poll() is None, "the first run ended before the second could meet it"
    assert second.status == 2
    assert f"in use by `switchyard run` (process {first.pid})" in second.err
    _, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert results(tmp_path / "out") == results(world / "undisturbed")


def test_the_lock_ends_with_its_block_and_runs_share_it(tmp_path: Path) -> None:
    with (
        output_shared(tmp_path, print),
        output_shared(tmp_path, print),
        pytest.raises(OutputError, match="in use by another run"),
        output_locked(tmp_path, "plan"),
    ):
        pass
    with output_locked(tmp_path, "run"):
        assert (tmp_path / LOCK_FILE).exists()


def waited_for(holding: AbstractContextManager[None], wanting: Callable[[Callable[[str], None]], AbstractContextManager[object]]) -> list[str]:
    """What a second holder was told while a first one was there; it goes on once the first has ended."""
    told: list[str] = []
    done = threading.Event()

    def second() -> None:
        with wanting(told.append):
            done.set()

    thread = threading.Thread(target=second)
    with holding:
        thread.start()
        while not told:
            time.sleep(0.01)
        assert not done.is_set()
    thread.join(timeout=30)
    assert done.is_set()
    return told


def test_a_run_of_the_ui_waits_for_a_command_and_a_planning_run_for_another(tmp_path: Path) -> None:
    (said,) = waited_for(output_locked(tmp_path, "plan"), lambda tell: held_for_run(tmp_path, {}, tell))
    assert f"waiting for `switchyard plan` (process {os.getpid()})" in said
    (said,) = waited_for(pen_held(tmp_path, print), lambda tell: pen_held(tmp_path, tell))
    assert "waiting for another run, which writes the tables and plans" in said
    with output_locked(tmp_path, "run"), held_for_run(tmp_path, command_tags(tmp_path), print) as shared:
        assert not shared  # the command's own runs go on in the folder that it holds


def test_leftovers_of_killed_writers_are_cleared_and_nothing_else(tmp_path: Path) -> None:
    for name in ("models/t/.writing-abc/half.txt", "METRICS/.retired-x/old/a.json", "models/t/kept/a.json", ".dagster/.writing-no"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / ".writing-file").write_text("x", encoding="utf-8")
    assert len(clear_leftovers(tmp_path)) == 3
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [".writing-no", "a.json"]
