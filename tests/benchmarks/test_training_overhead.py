"""What the trainer costs beyond the fits themselves: the same fits, scores' predictions and saves in a bare loop, in one process, one thread.

Beyond the bare loop a model costs its rows' gathering and digest, its cuts, its score with an interval, its out-of-sample predictions, its card and
an atomic folder: 3 to 4 ms, a little more after a large fit has emptied the caches. The families of the shipped configuration together stay
within the stated ratio. A Ridge fit alone, 2 ms since thread pools are looked up once a process, cannot.

Run with `-s` to see the figures beside the bounds that the project states; the test itself fails at twice these.
"""

import time
from pathlib import Path

import pytest

from config.schema import Config
from resources.process_limits import single_threaded
from tests.benchmarks.conftest import Against
from tests.panels import REGRESSION_TARGET, Planted, make_panel, symbol_job
from training_assets.content_key import seed_of
from training_assets.contracts import Stage, TrainingJob
from training_assets.families.base import Family, FitRequest, Sample
from training_assets.families.registry import FAMILIES
from training_assets.panel.panel import Panel
from training_assets.samples import gather_rows
from training_assets.trainer import train_jobs
from training_assets.windows import job_cuts

N_ROUNDS = 4
STATED_RATIO = 1.15
STATED_EXTRA_SECONDS = 0.003  # a model
SLACK = 2.0  # the guard against regressions: other processes on the machine take caches and clock from this one


Work = tuple[Family, FitRequest, Sample, FitRequest, Path]  # a family, its scored fit, the rows scored, its final fit, where that is saved


def bare_loop(panel: Panel, jobs: list[TrainingJob], names: tuple[str, ...], folder: Path) -> float:
    """Seconds of processor time that the fits, predictions and saves of the jobs take alone, in the trainer's order; rows are cut before the clock starts."""
    work = [item for job in jobs for item in _cut(panel, job, names, folder)]
    started = time.process_time()
    with single_threaded():
        for family, first, scored, last, place in work:
            family.fit(first).predict(scored)
            family.fit(last).save(place)
    return time.process_time() - started


def _cut(panel: Panel, job: TrainingJob, names: tuple[str, ...], folder: Path) -> list[Work]:
    config, info = Config(), panel.target_infos[0]
    rows = gather_rows(panel, (str(job.symbol),), job.features, job.target, panel.holdout_start_code)
    cuts = job_cuts(rows, panel.holdout_start_code, config.training.oos_fraction, info.horizon_bars, config.splits, "bench")
    work = []
    for family in (FAMILIES[name] for name in names):
        # Early stopping makes fits of other seeds longer or shorter.
        seed = seed_of(config.seed, job.job_id, family.name)
        first, last = (
            FitRequest(rows.sample(window.train), rows.sample(window.inner), info.task_type, 1, dict(family.defaults), seed)
            for window in (cuts.scored[0], cuts.final)
        )
        place = folder / family.name / str(job.symbol)
        place.mkdir(parents=True)
        work.append((family, first, rows.sample(cuts.scored[1]), last, place))
    return work


@pytest.mark.parametrize(
    ("names", "n_jobs"), [(("Ridge",), 64), (("LightGBM",), 16), (("LightGBM", "XGBoost", "Ridge"), 8)], ids=["Ridge", "LightGBM", "shipped"]
)
def test_the_trainer_costs_little_beyond_the_bare_fits(names: tuple[str, ...], n_jobs: int, tmp_path: Path, against: Against) -> None:
    panel = make_panel(n_jobs, 1500, n_features=30, planted=Planted(0.3, 0.1, 3.0))
    (tmp_path / "panel").mkdir()
    panel.write(tmp_path / "panel")
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, names) for symbol in panel.symbols]
    bare_loop(panel, jobs[:2], names, tmp_path / "warm")
    bare, trained = [], []
    folders = iter(tmp_path / f"round{number}" for number in range(1_000))

    def run() -> None:
        started = time.process_time()
        outcomes = list(train_jobs(jobs, tmp_path / "panel", Config(), next(folders), Stage.CPU))
        trained.append(time.process_time() - started)
        assert all(outcome.models for outcome in outcomes)

    # Processor time, and the least disturbed round of each kind, taken in turns: the machine may be shared.
    n_models = n_jobs * len(names)
    against(run, lambda: bare.append(bare_loop(panel, jobs, names, next(folders))), "the same fits in a bare loop", "models", n_models, n_models, N_ROUNDS)
    extra, ratio = (min(trained) - min(bare)) / n_models, min(trained) / min(bare)
    started = time.process_time()
    assert all(outcome.cached for outcome in train_jobs(jobs, tmp_path / "panel", Config(), tmp_path / "round1", Stage.CPU))
    cached = (time.process_time() - started) / n_models
    told = ", ".join(names)
    print(f"{told}: {1000 * extra:.2f} ms a model beyond the bare loop's {1000 * min(bare) / n_models:.1f} ms, {ratio:.3f} times it")
    print(f"{told}: {1000 * cached:.2f} ms a cached model; stated: at most {1000 * STATED_EXTRA_SECONDS:.0f} ms, or {STATED_RATIO} times")
    assert extra <= SLACK * STATED_EXTRA_SECONDS or ratio <= 1.0 + SLACK * (STATED_RATIO - 1.0)
