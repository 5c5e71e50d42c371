"""Models that no plan asks for any more: found, marked, and deleted once their time is over.

Belongs here: the plans that models are held against, which model folders a plan still needs, and the register of those it does not. Does not: runs and
events (`resources.retention`), or a clock; the time is given.

A model that was trained again took the place of the one before, so nothing but folders of retired jobs and families piles up.
"""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson

from resources.files import write_atomically
from training_assets.contracts import Route, TrainingPlan
from training_assets.ensemble import blend_folder_name
from training_assets.model_store import CARD_FILE, model_folder
from training_assets.plan_reader import MASTER_PLAN_FILE, TrainingPlanError, read_master_plan

GLOBALS = "globals"
REGISTER_FILE = "retired_models.json"
PLANS_ELSEWHERE = "plans_elsewhere"
"""Folder under `globals` with one small file for each folder outside it whose plan was trained from."""


@dataclass(frozen=True)
class Retirement:
    """What becomes of the models of no plan, as paths under the models folder.

    `marked` : path to the time it was first found to be of no plan. `newly`, `returned` : marked now, and marked before but planned again.
    `expired` : marked for so long that they go.
    """

    marked: Mapping[str, datetime]
    newly: tuple[str, ...]
    returned: tuple[str, ...]
    expired: tuple[str, ...]


def remember_plan(output: Path, folder: Path) -> None:
    """Note that models of this output tree stand on the plan in `folder`; a plan under its `globals` needs no note, and is found there."""
    place, root = folder.resolve(), output.resolve()
    if place.parent != root / GLOBALS:
        place = place.relative_to(root) if place.is_relative_to(root) else place  # a tree that is moved takes its own plans with it
        note = hashlib.sha256(str(place).encode()).hexdigest()[:16]
        write_atomically(output / GLOBALS / PLANS_ELSEWHERE / f"{note}.json", orjson.dumps({"folder": str(place)}))


def plans_of_tree(output: Path) -> list[TrainingPlan]:
    """Every plan that models of an output tree may stand on: those under its `globals`, and those elsewhere that were trained from.

    Raises
    ------
    TrainingPlanError
        A plan cannot be read, or one elsewhere is gone: which models it needs is not known, so none can be said to be unneeded.
    """
    plans = [read_master_plan(path.parent) for path in sorted((output / GLOBALS).glob(f"*/{MASTER_PLAN_FILE}"))]
    for note in sorted((output / GLOBALS / PLANS_ELSEWHERE).glob("*.json")):
        try:
            folder = output / orjson.loads(note.read_bytes())["folder"]
        except (ValueError, KeyError, TypeError):
            raise TrainingPlanError(f"{note}: does not name the folder of a plan; models may stand on it. Delete this file if none does") from None
        if not (folder / MASTER_PLAN_FILE).is_file():
            raise TrainingPlanError(
                f"no training plan in {folder}, and models under {output} were trained from one there; bring it back, or delete {note} if they may go"
            )
        plans.append(read_master_plan(folder))
    return plans


def needed_folders(models_root: Path, plan: TrainingPlan) -> frozenset[Path]:
    """The folders where the models of a plan lie or would lie, blends and what they stand on among them."""
    folders = set()
    for job in plan.jobs:
        names = [*job.model_families, *(blend_folder_name(family) for family in job.model_families if job.route is Route.BOTH)]
        folders |= {model_folder(models_root, job.target, job.symbol, name) for name in names}
    return frozenset(folders)


def judge_models(models_root: Path, plans: Iterable[TrainingPlan], marked: Mapping[str, datetime], now: datetime, keep: timedelta) -> Retirement:
    """Hold the models that are there against every plan that is there.

    Parameters
    ----------
    plans : a model that any of them needs is kept.
    marked : the register as it was (`read_register`).
    now, keep : with a time zone; a model goes once it has been marked for `keep`.
    """
    needed = {folder for plan in plans for folder in needed_folders(models_root, plan)}
    present = {path.parent for path in models_root.rglob(CARD_FILE)}
    unneeded = sorted(folder.relative_to(models_root).as_posix() for folder in present - needed)
    since = {name: marked.get(name, now) for name in unneeded}
    return Retirement(
        marked=since,
        newly=tuple(name for name in unneeded if name not in marked),
        returned=tuple(sorted(name for name in marked if name not in since and models_root / name in needed)),
        expired=tuple(name for name, time in since.items() if name in marked and now - time >= keep),
    )


def retire(models_root: Path, register: Path, retirement: Retirement) -> None:
    """Delete the expired models, and write the register of the others. A folder outside `models_root` is never touched."""
    root = models_root.resolve()
    for name in retirement.expired:
        folder = models_root / name
        if folder.resolve().is_relative_to(root) and (folder / CARD_FILE).exists():
            shutil.rmtree(folder)
            _remove_empty_parents(folder.parent, models_root)
    left = {name: time.isoformat() for name, time in retirement.marked.items() if name not in retirement.expired}
    write_atomically(register, orjson.dumps(left, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


def read_register(register: Path) -> dict[str, datetime]:
    """Model path to the time it was marked; empty where there is no register, or one that cannot be read (its models are then marked anew)."""
    try:
        return {str(name): datetime.fromisoformat(time) for name, time in orjson.loads(register.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _remove_empty_parents(folder: Path, root: Path) -> None:
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
