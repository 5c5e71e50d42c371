"""The output tree on a store that fsspec knows (S3, GCS, Azure, FTP, a mounted folder): the output folder of each machine is a cache of it.

Belongs here: bringing artifacts to the store and from it, whole. Does not: which artifacts there are (`ArtifactStore`, the assets), or credentials, which
each store's own library takes from the environment.

The store holds the tree as it stands on disk, so that anything can read it there. Beside each artifact lies a manifest with the digest of every file, which
is written last: a reader takes what fits its manifest and nothing else, so none takes half of one artifact and half of another. One writer an artifact: runs
that write tables hold the pen on one machine, and a model belongs to one job.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resources.files import WRITING_PREFIX, folder_written_atomically, write_atomically

MANIFESTS = ".manifests"
KNOWN = ".store"  # in the output folder: the manifests of what lies there, as the store had them
SINGLE = ""  # name of the one file of an artifact that is no folder
TREE = ("METRICS/*.parquet", "METRICS/*.md", "METRICS/*.html", "METRICS/routing_plan", "globals/*", "panel/*")
MODELS = "models"


class StoreError(RuntimeError):
    """A store that cannot be used, or does not hold what it says; the message says which, and what to do."""


class RemoteStore:
    """A store by its address, as `s3://bucket/folder` or `file:///mnt/shared`, and one output folder as its cache."""

    def __init__(self, url: str, output: Path) -> None:
        from fsspec.core import url_to_fs

        self.output = output
        self._name = re.sub(r"//[^@/]*@", "//", url)  # in messages, without a password
        try:
            self._fs, root = url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError, OSError) as error:
            raise StoreError(f"resources.store '{self._name}' cannot be used: {error}; install the library of that store, or mend the address") from None
        self._root = root.rstrip("/")

    def push(self, relative: str) -> bool:
        """Bring one artifact of the output folder to the store; False where the store has it as it is."""
        files = _digests(self.output / relative)
        manifest = json.dumps({"files": files}, sort_keys=True)
        known = self._known(relative)
        if not files or (known is not None and known == manifest):
            return False
        for name in sorted(files):
            place = self._place(relative, name)
            self._fs.makedirs(place.rpartition("/")[0], exist_ok=True)
            self._fs.put_file(str(self.output / relative / name if name else self.output / relative), place)
        self._write(f"{self._root}/{MANIFESTS}/{relative}.json", manifest)
        gone = json.loads(known)["files"].keys() - files.keys() if known else ()
        for name in gone:
            self._fs.rm_file(self._place(relative, name))
        write_atomically(self.output / KNOWN / f"{relative}.json", manifest)
        return True

    def pull(self, relative: str) -> bool:
        """Bring one artifact from the store to the output folder; False where it lies there already.

        Raises
        ------
        StoreError
            A file is not what its manifest says: it is being written just now, or was changed by somebody else.
        """
        manifest = self._fs.cat_file(f"{self._root}/{MANIFESTS}/{relative}.json").decode()
        here = self.output / relative
        if self._known(relative) == manifest and here.exists():
            return False
        files: dict[str, str] = json.loads(manifest)["files"]
        here.parent.mkdir(parents=True, exist_ok=True)
        if SINGLE in files:
            self._pull_file(relative, files[SINGLE], here)
        else:
            with folder_written_atomically(here) as folder:
                for name, digest in files.items():
                    self._fetch(self._place(relative, name), digest, folder / name)
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
        return sorted(path[path.index(f"/{MANIFESTS}/") + len(MANIFESTS) + 2 :].removesuffix(".json") for path in found)

    def _pull_file(self, relative: str, digest: str, here: Path) -> None:
        with tempfile.TemporaryDirectory(dir=here.parent, prefix=WRITING_PREFIX) as folder:
            self._fetch(self._place(relative, SINGLE), digest, Path(folder) / "file")
            shutil.move(Path(folder) / "file", here)

    def _fetch(self, place: str, digest: str, to: Path) -> None:
        to.parent.mkdir(parents=True, exist_ok=True)
        self._fs.get_file(place, str(to))
        if _digest(to) != digest:
            raise StoreError(f"{self._name}: {place} is not what its manifest says; it is being written, or was changed: try again, or materialize it")

    def _place(self, relative: str, name: str) -> str:
        return f"{self._root}/{relative}/{name}" if name else f"{self._root}/{relative}"

    def _known(self, relative: str) -> str | None:
        path = self.output / KNOWN / f"{relative}.json"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def _write(self, place: str, text: str) -> None:
        self._fs.makedirs(place.rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(place, text.encode())


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


def _digests(path: Path) -> dict[str, Any]:
    """SHA-256 by name of every file of an artifact; empty where there is none."""
    if path.is_file():
        return {SINGLE: _digest(path)}
    return {file.relative_to(path).as_posix(): _digest(file) for file in sorted(path.rglob("*")) if file.is_file()}


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
