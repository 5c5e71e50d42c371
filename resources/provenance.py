"""Which code made a plan: the commit of the folder the packages lie in.

Belongs here: asking git, which is a process outside. Does not: library versions (`training_assets.content_key`).
"""

import subprocess
from pathlib import Path

CODE_FOLDER = Path(__file__).parent.parent
GIT_TIMEOUT_SECONDS = 10


def git_commit(folder: Path = CODE_FOLDER) -> str | None:
    """The commit checked out in `folder`, or None where it is no git working tree of its own or there is no git."""
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
