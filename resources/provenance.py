"""Which code made a plan: the commit of the folder the packages lie in.

Belongs here: asking git, which is a process outside. Does not: library versions (`training_assets.content_key`).
"""

import os
import subprocess
from pathlib import Path

CODE_FOLDER = Path(__file__).parent.parent
GIT_TIMEOUT_SECONDS = 60  # a commit that is left out for a busy machine's sake would make another plan of the same inputs
# What git exports to its hooks; they would have it ask the repository that a hook runs for.
PLACES_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR")


def git_commit(folder: Path = CODE_FOLDER) -> str | None:
    """The commit checked out in `folder`, or None where it is no git working tree of its own or there is no git."""
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    environment = {name: value for name, value in os.environ.items() if name not in PLACES_OF_HOOKS}
    try:
        answer = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=GIT_TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
