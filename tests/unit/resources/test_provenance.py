"""The commit that a plan states is that of the folder its code lies in, whatever repository a hook or a parent folder belongs to."""

import os
import subprocess
from pathlib import Path

import pytest

from resources.provenance import PLACES_OF_HOOKS, git_commit


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false")
    environment = {name: value for name, value in os.environ.items() if name not in PLACES_OF_HOOKS}
    return subprocess.run(["git", *identity, "-C", str(folder), *words], capture_output=True, text=True, check=True, env=environment).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


def test_the_commit_is_that_of_the_folder_also_inside_a_hook_of_another_repository(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert git_commit(repository) == commit


def test_a_folder_inside_another_repository_or_without_a_commit_has_none(repository: Path) -> None:
    (repository / "installed").mkdir()
    assert git_commit(repository / "installed") is None
    git(repository, "init", "-q", "empty")
    assert git_commit(repository / "empty") is None
