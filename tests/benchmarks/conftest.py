"""One way to measure: ours and a baseline in turns, in the same process, and a guard on the ratio of the two.

`against` is a fixture on top of pytest-benchmark, so that `--benchmark-json` holds everything that docs/benchmarks.md shows. Seconds belong to a machine,
ratios to the code: a ratio that falls below `TOLERANCE` of the one in `recorded_ratios.json` fails. `python -m tests.benchmarks.page --record` records anew.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from threadpoolctl import threadpool_limits

RECORDED_FILE = Path(__file__).with_name("recorded_ratios.json")
# Neighbours on a shared machine take caches and clock from one side more than from the other.
TOLERANCE = 0.5


@dataclass(frozen=True)
class Measured:
    """Medians over the rounds, in processor seconds for the whole work; `ratio` is how many times as fast as the baseline a unit of ours is."""

    seconds: float
    baseline_seconds: float
    a_second: float
    ratio: float
    result: Any


Against = Callable[..., Measured]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


@pytest.fixture
def against(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Against:
    """Measure a piece of work in turns with its baseline; see `Measured`."""

    def measure(
        work: Callable[[], Any],
        baseline: Callable[[], Any],
        baseline_name: str,
        unit: str,
        n_units: float = 1.0,
        n_baseline_units: float = 1.0,
        rounds: int = 5,
    ) -> Measured:
        taken: list[float] = []

        def turn() -> None:
            started = time.process_time()
            baseline()
            taken.append(time.process_time() - started)

        result = benchmark.pedantic(work, setup=turn, rounds=rounds, warmup_rounds=1)
        seconds, baseline_seconds = benchmark.stats.stats.median, statistics.median(taken[1:])
        a_second = n_units / seconds
        ratio = a_second / (n_baseline_units / baseline_seconds)
        figures = {"unit": unit, "a_second": a_second, "baseline": baseline_name, "baseline_a_second": n_baseline_units / baseline_seconds, "ratio": ratio}
        benchmark.extra_info.update(figures)
        print(f"\n{request.node.name}: {a_second:,.4g} {unit} a second; {baseline_name}: {figures['baseline_a_second']:,.4g}; {ratio:.3g} times")
        recorded = json.loads(RECORDED_FILE.read_text(encoding="utf-8")).get(request.node.name)
        assert recorded is None or ratio >= TOLERANCE * recorded, f"{ratio:.3g} times the baseline, recorded {recorded:.3g} ({RECORDED_FILE.name})"
        return Measured(seconds, baseline_seconds, a_second, ratio, result)

    return measure
