"""Progress and colour as a terminal shows them, and as a pipe does not."""

import fcntl
import io
import os
import select
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest
from rich import box

from resources.settings import Settings
from routing_assets.command import terminal
from routing_assets.command.progress import Progress


@contextmanager
def a_terminal(columns: int = 100) -> Iterator[tuple[TextIO, int]]:
    """A terminal to write to, and the descriptor that reads what it shows."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        yield stream, master
    os.close(master)


def shown_by(reader: int) -> str:
    """Everything that the terminal has been sent so far."""
    seen = b""
    while select.select([reader], [], [], 0.05)[0]:
        seen += os.read(reader, 65_536)
    return seen.decode()


def told(progress: Progress) -> None:
    """A run of two steps, of which the second counts what it does."""
    progress("STEPS", "", "2")
    progress("STEP_START", "panel", "")
    progress("STEP_SUCCESS", "panel", "")
    progress("STEP_START", "symbol_models", "")
    progress("LOG", "symbol_models", "symbol_models 3/12: t/AAA, 2 models, 1.0 s")
    progress("STEP_FAILURE", "symbol_models", "")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_sees_stage_count_elapsed_and_time_left() -> None:
    with a_terminal() as (stream, reader):
        told(Progress(stream=stream))
        shown = shown_by(reader)
    assert "[1/2] panel" in shown
    assert "[2/2] symbol_models  3/12, 0:00 elapsed, about 0:03 left" in shown
    assert "\x1b[32mdone\x1b[0m in" in shown
    assert "\x1b[31mFAILED\x1b[0m in" in shown


def test_a_step_that_does_not_count_is_held_against_its_last_time_and_its_clock_goes_on() -> None:
    with a_terminal() as (stream, reader):
        progress = Progress({"routing_candidates": 63.0}, stream=stream)
        progress("STEP_START", "routing_candidates", "")
        time.sleep(1.3)
        shown = shown_by(reader)
        progress("STEP_SUCCESS", "routing_candidates", "")
    assert "0:00 elapsed, about 1:03 left, as last time" in shown
    assert "0:01 elapsed, about 1:02 left" in shown


def test_a_line_that_renews_itself_never_wraps() -> None:
    with a_terminal(columns=30) as (stream, reader):
        progress = Progress(stream=stream)
        progress("STEP_START", "cross_sectional_sequence_models", "")
        shown = shown_by(reader)
        progress("STEP_SUCCESS", "cross_sectional_sequence_models", "")
    assert all(len(line.replace("\x1b[2K", "")) < 30 for line in shown.split("\r"))


def test_a_pipe_sees_one_plain_line_a_stage() -> None:
    stream = io.StringIO()
    told(Progress(stream=stream))
    assert [line.split()[:4] for line in stream.getvalue().splitlines()] == [["[1/2]", "panel", "done", "in"], ["[2/2]", "symbol_models", "FAILED", "in"]]
    assert "\x1b" not in stream.getvalue()


def test_a_name_that_looks_like_a_count_is_none() -> None:
    with a_terminal() as (stream, reader):
        progress = Progress(stream=stream)
        progress("STEP_START", "routing_plan", "")
        progress("LOG", "routing_plan", "y_5/600519: ROUTE_BLOCKED (pooled DISALLOWED, local DISALLOWED): NO_METRICS")
        progress("STEP_SUCCESS", "routing_plan", "")
        shown = shown_by(reader)
    assert "600519" not in shown


def test_colour_is_for_terminals_and_no_color_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_terminal() as (stream, _):
        assert terminal.has_colour(stream)
        monkeypatch.setenv("NO_COLOR", "1")
        assert not terminal.has_colour(stream)
        monkeypatch.delenv("NO_COLOR")
        monkeypatch.setenv("TERM", "dumb")
        assert not terminal.has_colour(stream)
    assert not terminal.has_colour(io.StringIO())


def test_colour_changes_no_word() -> None:
    text = "t / A: ROUTE_BOTH\n    ok  LEAKAGE  SAFE\n    NO  SCORE    0.1\n  ROUTE_EXPERIMENTAL_ONLY\n"
    painted = terminal.painted(text)
    assert painted.count("\x1b[") == 2 * 4
    for code in (0, 31, 32, 33, 35):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert painted == text


@pytest.mark.parametrize(("columns", "used"), [("20", 40), ("60", 60), ("100", 100), ("400", 130)])
def test_tables_fit_the_width(columns: str, used: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal.width() == used


def test_a_stream_without_line_drawing_gets_plain_lines() -> None:
    assert terminal.table_box(io.TextIOWrapper(io.BytesIO(), encoding="ascii")) is box.ASCII
    assert terminal.table_box(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) is box.HEAVY_HEAD


def test_a_folder_without_runs_expects_nothing(tmp_path) -> None:
    from resources.instance import last_seconds, open_instance

    settings = Settings(output_dir=str(tmp_path))
    with open_instance(settings.output) as instance:
        assert last_seconds(instance, settings.output) == {}
