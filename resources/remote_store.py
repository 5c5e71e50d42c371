"""The output tree on a store that fsspec knows (S3, GCS, Azure, FTP, a mounted folder): the output folder of each machine is a cache of it.

Belongs here: bringing artifacts to the store and from it, whole. Does not: which artifacts there are (`ArtifactStore`, the assets), or credentials, which
each store's own library takes from the environment.

The store holds the tree in the folders that it has on disk; each file's name there says what it holds (`stability.<digest>.parquet`), so that no file is ever
overwritten. Beside the tree lies a manifest of each artifact, which takes the place of the one before in one step, after all its files are there: a reader has
the artifact before or the one after, and a writer that is killed changes nothing for anybody. The files of the manifest before stay for whoever is reading
them, and go with the next change. One writer an artifact: runs that write tables hold the pen on one machine, and a model belongs to one job.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ftplib import Error as FtpError
from pathlib import Path, PurePosixPath
from typing import Any

from config.addresses import without_user_info
from resources.files import WRITING_PREFIX, folder_written_atomically, write_atomically

MANIFESTS = ".manifests"
KNOWN = ".store"  # in the output folder: the manifests of what lies there, as the store had them
SINGLE = ""  # name of the one file of an artifact that is no folder
TREE = ("METRICS/*.parquet", "METRICS/*.md", "METRICS/*.html", "METRICS/routing_plan", "globals/*", "panel/*")
MODELS = "models"
TOPS = ("METRICS", "globals", "panel", MODELS)  # what a store may bring into an output folder
SCHEMA_VERSION = 2
DIGEST_DIGITS = 16  # of a file's digest in its name
WRITING_SUFFIX = ".writing"


_DIGEST = re.compile(r"[0-9a-f]{64}")


class StoreError(RuntimeError):
    """A store that cannot be used, or does not hold what it says; the message says which, and what to do."""


class RemoteStore:
    """A store by its address, as `s3://bucket/folder` or `file:///mnt/shared`, and one output folder as its cache."""

    def __init__(self, url: str, output: Path) -> None:
        from fsspec.core import url_to_fs

        self.output = output
        self._name = without_user_info(url)
        try:
            self._fs, root = url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError, OSError, FtpError) as error:
            message = f"{without_user_info(str(error))}; install the library of that store, mend the address, or its credentials in the environment"
            raise StoreError(f"resources.store '{self._name}' cannot be used: {message}") from None
        self._root = root.rstrip("/")

    def push(self, relative: str) -> bool:
        """Bring one artifact of the output folder to the store; False where the store has it as it is."""
        files = _digests(self.output / relative)
        manifest = json.dumps({"files": files, "schema_version": SCHEMA_VERSION}, sort_keys=True)
        if not files or self._known(relative) == manifest:
            return False
        before = self._files_before(relative)
        for name, digest in files.items():
            if before.get(name) == digest:
                continue
            place = self._place(relative, name, digest)
            self._fs.makedirs(place.rpartition("/")[0], exist_ok=True)
            self._fs.put_file(str(self.output / relative / name if name else self.output / relative), place)
        self._switch(relative, manifest)
        self._remove_all_but(relative, SINGLE in files, {self._place(relative, *item) for item in (*files.items(), *before.items())})
        write_atomically(self.output / KNOWN / f"{relative}.json", manifest)
        return True

    def pull(self, relative: str) -> bool:
        """Bring one artifact from the store to the output folder; False where it lies there already.

        Raises
        ------
        StoreError
            A file is missing or not what its manifest says, a manifest is none of this version, or a name leads out of the artifact or the output folder.
        """
        _require_inside(self._name, relative, top=True)
        manifest = self._fs.cat_file(self._manifest_place(relative)).decode(errors="replace")
        here = self.output / relative
        if self._known(relative) == manifest and here.exists():
            return False
        files = _files_of(manifest)
        if files is None:
            message = "is no manifest of this version; name a new, empty store, or push the artifact again from the machine that made it"
            raise StoreError(f"{self._name}: {self._manifest_place(relative)} {message}")
        here.parent.mkdir(parents=True, exist_ok=True)
        if SINGLE in files:
            self._pull_file(relative, files[SINGLE], here)
        else:
            with folder_written_atomically(here) as folder:
                for name, digest in files.items():
                    _require_inside(self._name, name)
                    self._fetch(self._place(relative, name, digest), digest, folder / name)
        write_atomically(self.output / KNOWN / f"{relative}.json", manifest)
        return True

    def push_tree(self) -> int:
        """Bring every table, plan and panel of the output folder that changed to the store; how many did."""
        found = {path.relative_to(self.output).as_posix() for pattern in TREE for path in self.output.glob(pattern) if not path.name.startswith(".")}
        return sum(self.push(relative) for relative in sorted(found))

    def pull_tree(self) -> int:
        """Bring every table, plan and panel of the store that is not here, or is another; how many were brought."""
        return sum(self.pull(relative) for relative in self._held("") if not relative.startswith(f"{MODELS}/"))

    def pull_models(self, folders: Sequence[str] = ("",)) -> int:
        """Bring the models of these folders under `models/` that are not here, or are others; how many were brought."""
        return sum(self.pull(relative) for folder in folders for relative in self._held(f"{MODELS}/{folder}".rstrip("/")))

    def _held(self, prefix: str) -> list[str]:
        self._fs.invalidate_cache()
        top = f"{self._root}/{MANIFESTS}"
        folder = f"{top}/{prefix}".rstrip("/")
        found = self._fs.find(folder) if self._fs.exists(folder) else []
        manifests = [path[path.index(f"/{MANIFESTS}/") + len(MANIFESTS) + 2 :] for path in found if path.endswith(".json")]
        return sorted(path.removesuffix(".json") for path in manifests)

    def _pull_file(self, relative: str, digest: str, here: Path) -> None:
        with tempfile.TemporaryDirectory(dir=here.parent, prefix=WRITING_PREFIX) as folder:
            self._fetch(self._place(relative, SINGLE, digest), digest, Path(folder) / "file")
            shutil.move(Path(folder) / "file", here)

    def _fetch(self, place: str, digest: str, to: Path) -> None:
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._fs.get_file(place, str(to))
        except (FileNotFoundError, FtpError):
            raise StoreError(f"{self._name}: {place} cannot be fetched, though its manifest names it; try again, or materialize it") from None
        if _digest(to) != digest:
            raise StoreError(f"{self._name}: {place} is not what its manifest says; it was changed or damaged: materialize it again")

    def _files_before(self, relative: str) -> dict[str, str]:
        """Digests by name of the files that the store's manifest of an artifact names; empty where there is none that can be read."""
        try:
            return _files_of(self._fs.cat_file(self._manifest_place(relative)).decode(errors="replace")) or {}
        except FileNotFoundError:
            return {}

    def _switch(self, relative: str, manifest: str) -> None:
        """Put a manifest in the place of the one before, in one step where the store can (all can but those that copy and delete, and they copy whole)."""
        place = self._manifest_place(relative)
        self._fs.makedirs(place.rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(f"{place}{WRITING_SUFFIX}", manifest.encode())
        self._fs.mv(f"{place}{WRITING_SUFFIX}", place)

    def _remove_all_but(self, relative: str, single: bool, kept: set[str]) -> None:
        """Remove the files of an artifact that no manifest needs, those that a killed writer left among them."""
        self._fs.invalidate_cache()
        place = f"{self._root}/{relative}"
        if not single:
            found = self._fs.find(place)
        else:
            parent, _, name = place.rpartition("/")
            stem, suffix = _split_suffix(name)
            versions = re.compile(rf"{re.escape(stem)}\.[0-9a-f]{{{DIGEST_DIGITS}}}{re.escape(suffix)}")
            names = (str(entry["name"]).rpartition("/")[2] for entry in self._fs.ls(parent, detail=True))
            found = [f"{parent}/{name}" for name in names if versions.fullmatch(name)]
        for path in sorted(set(found) - kept):
            self._fs.rm_file(path)

    def _place(self, relative: str, name: str, digest: str) -> str:
        """Where a file lies in the store: its folder and name, with the beginning of its digest before the suffix."""
        folder, _, last = (f"{relative}/{name}" if name else relative).rpartition("/")
        stem, suffix = _split_suffix(last)
        return f"{self._root}/{folder}/{stem}.{digest[:DIGEST_DIGITS]}{suffix}"

    def _manifest_place(self, relative: str) -> str:
        return f"{self._root}/{MANIFESTS}/{relative}.json"

    def _known(self, relative: str) -> str | None:
        path = self.output / KNOWN / f"{relative}.json"
        return path.read_text(encoding="utf-8") if path.exists() else None


def remote_store(url: str | None, output: Path) -> RemoteStore | None:
    """The store of an address; None where there is none, and the output folder is all there is."""
    return RemoteStore(url, output) if url else None


@contextmanager
def tree_in_step(store: RemoteStore | None) -> Iterator[None]:
    """What the store has is here when the block begins, and what the block wrote is there when it has ended, well or not."""
    if store is None:
        yield
        return
    store.pull_tree()
    try:
        yield
    finally:
        store.push_tree()


def _files_of(manifest: str) -> dict[str, str] | None:
    """Digest by name of every file that a manifest names; None for a text that is no manifest of this version."""
    try:
        content: dict[str, Any] = json.loads(manifest)
        if content["schema_version"] != SCHEMA_VERSION:
            return None
        files: dict[str, str] = content["files"]
        sound = bool(files) and all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in files.values())
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return files if sound else None


def _require_inside(store: str, name: str, top: bool = False) -> None:
    """Refuse a name, of an artifact (`top`) or of a file in one, that would be written anywhere else than there. Raises StoreError."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in name or PurePosixPath(name).is_absolute() or (top and parts[0] not in TOPS):
        within = f"one of {', '.join(TOPS)}" if top else "its folder"
        raise StoreError(f"{store}: the manifests name {name!a}, which does not lie in {within}; the store was changed by somebody else: nothing is taken")


def _split_suffix(name: str) -> tuple[str, str]:
    path = PurePosixPath(name)
    return path.stem, path.suffix


def _digests(path: Path) -> dict[str, str]:
    """SHA-256 by name of every file of an artifact; empty where there is none."""
    if path.is_file():
        return {SINGLE: _digest(path)}
    return {file.relative_to(path).as_posix(): _digest(file) for file in sorted(path.rglob("*")) if file.is_file()}


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
