"""Training killed with SIGKILL at random moments and resumed: every job is trained once, and the models are those of a run nobody disturbed.

`SWITCHYARD_KILL_JOBS` sets the number of jobs (60; the stated bar is 500) and `SWITCHYARD_KILLS` that of the kills (3; 5).
"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from tests.panels import make_panel
from training_assets.model_store import CARD_FILE

ROOT = Path(__file__).parents[2]
N_JOBS = int(os.environ.get("SWITCHYARD_KILL_JOBS", "60"))
N_KILLS = int(os.environ.get("SWITCHYARD_KILLS", "5" if N_JOBS >= 500 else "3"))
LONGEST_PAUSE_SECONDS = 0.1

RUN = """
import sys
from pathlib import Path
from config.schema import Config
from tests.panels import REGRESSION_TARGET, symbol_job
from training_assets.contracts import Stage
from training_assets.panel.panel import Panel
from training_assets.trainer import train_jobs

if __name__ == "__main__":
    panel = Panel.read(Path(sys.argv[1]))
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("LightGBM", "Ridge")) for symbol in panel.symbols]
    for outcome in train_jobs(jobs, Path(sys.argv[1]), Config(), Path(sys.argv[2]), Stage.CPU, "plan", workers=2):
        assert not outcome.failures, outcome.failures
        print(outcome.job_id, "cached" if outcome.cached else "trained", flush=True)
"""


class Run:
    """One training run in a process of its own; `announced` fills while it lives."""

    def __init__(self, panel: Path, output: Path) -> None:
        script = output.parent / "run.py"
        script.write_text(RUN)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.errors = output.parent / "errors.txt"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen([sys.executable, script, panel, output], env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.announced: dict[str, str] = {}
        self.ended = False
        self.grown = threading.Condition()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.grown:
                job_id, state = line.split()
                self.announced[job_id] = state
                self.grown.notify()
        with self.grown:
            self.ended = True
            self.grown.notify()

    def wait_for(self, n_trained: int, then_seconds: float) -> None:
        """Until so many jobs were trained by this run, and a little longer."""
        with self.grown:
            assert self.grown.wait_for(lambda: list(self.announced.values()).count("trained") >= n_trained or self.ended, 300)
            self.grown.wait_for(lambda: False, then_seconds)

    def finish(self, kill: bool) -> None:
        if kill:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        assert self.process.returncode == (-signal.SIGKILL if kill else 0), self.errors.read_text()


def trained_by(run: Run) -> set[str]:
    return {job_id for job_id, state in run.announced.items() if state == "trained"}


def folders_of(output: Path, job_ids: set[str]) -> dict[str, tuple[int, int]]:
    """Inode and time of the card of each announced model: another training would change both."""
    cards = output.glob(f"models/*/symbol=*/*/{CARD_FILE}")
    symbols = {job_id.split("|")[1] for job_id in job_ids}
    chosen = [path for path in cards if path.parts[-3].removeprefix("symbol=") in symbols]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in chosen}


def model_bytes(output: Path) -> dict[str, bytes]:
    """All files but the cards (which hold seconds) and what the kills left under temporary names."""
    files = [path for path in sorted((output / "models").rglob("*")) if path.is_file() and path.name != CARD_FILE]
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in files if "/.writing-" not in str(path)}


def test_jobs_killed_at_random_moments_are_trained_once_and_to_the_same_bytes(tmp_path: Path) -> None:
    panel = make_panel(N_JOBS, 300)
    (tmp_path / "panel").mkdir()
    panel.write(tmp_path / "panel")
    generator = np.random.default_rng(7)
    # So many jobs are trained before each kill; half of all at most, so that however many more a fast machine trains in the moments before the
    # kills there is work left after the last, and every kill meets a run at work.
    quotas = np.floor(generator.dirichlet(np.ones(N_KILLS + 1))[:-1] * N_JOBS * 0.5).astype(int)
    trained: set[str] = set()
    standing: dict[str, tuple[int, int]] = {}
    for quota in [*quotas.tolist(), None]:
        run = Run(tmp_path / "panel", tmp_path / "killed")
        if quota is not None:
            run.wait_for(quota, float(generator.uniform(0.0, LONGEST_PAUSE_SECONDS)))
        run.finish(kill=quota is not None)
        assert not trained & trained_by(run), "trained twice"
        assert folders_of(tmp_path / "killed", trained) == standing
        trained |= trained_by(run)
        standing = folders_of(tmp_path / "killed", trained)
    assert len(run.announced) == N_JOBS
    assert set(run.announced) >= trained
    undisturbed = Run(tmp_path / "panel", tmp_path / "whole")
    undisturbed.finish(kill=False)
    assert set(undisturbed.announced.values()) == {"trained"}
    assert model_bytes(tmp_path / "killed") == model_bytes(tmp_path / "whole")
    assert len(trained) >= N_JOBS - 2 * N_KILLS * 2, "more was lost than what was in flight"
