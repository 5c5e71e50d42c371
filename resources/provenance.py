"""Which code made a plan: the commit of the folder the packages lie in.

Belongs here: asking git, which is a process outside. Does not: library versions (`training_assets.content_key`).
"""

import os
import subprocess
from pathlib import Path

CODE_FOLDER = Path(__file__).parent.parent
# What git exports to its hooks; they would have it ask the repository that a hook runs for.
PLACES_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR")


def git_commit(folder: Path = CODE_FOLDER) -> str | None:
    """The commit checked out in `folder`, or None where it is no git working tree of its own or there is no git.

    Without a limit in time: one that a busy machine or a clock that jumps runs past would make another plan of the same inputs.
    """
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    environment = {name: value for name, value in os.environ.items() if name not in PLACES_OF_HOOKS}
    try:
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, check=False)
    except OSError:
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
