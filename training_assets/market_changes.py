"""What changed in a folder of market data since it was last looked at, and whether it has come to rest.

Belongs here: the pure sum under `new_market_data_sensor`, and its cursor. Does not: listing or reading files (`resources.market_data`).
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from resources.market_data.records import MarketFile, printable

Stamp = tuple[int, int]  # size in bytes, time of modification in nanoseconds
N_NAMED = 5
MAX_WAIT_LOOKS = 5  # that files at rest wait for others that are not


@dataclass(frozen=True)
class Taken:
    """A file as it stood when a plan was asked for on it: its stamp, and a digest of its content."""

    stamp: Stamp
    digest: str


@dataclass(frozen=True)
class Read:
    """A file as it was read for a batch that was not asked for yet; no digest where it was not whole."""

    stamp: Stamp
    digest: str | None


@dataclass(frozen=True)
class MarketCursor:
    """Files of the batch that was last asked for (`done`), the stamps of the last look (`seen`), how many batches were asked for, for how many
    looks in a row changes at rest have waited for files that are not, and what was read of a batch that takes several looks to read (`read`)."""

    done: Mapping[str, Taken]
    seen: Mapping[str, Stamp]
    n_batches: int = 0
    n_waited: int = 0
    read: Mapping[str, Read] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Of the files that the batch held."""
        return files_version({path: taken.digest for path, taken in self.done.items()})

    def text(self) -> str:
        done = {path: [*taken.stamp, taken.digest] for path, taken in self.done.items()}
        read = {path: [*file.stamp, file.digest] for path, file in self.read.items()}
        return json.dumps({"done": done, "seen": self.seen, "n_batches": self.n_batches, "n_waited": self.n_waited, "read": read}, sort_keys=True)


@dataclass(frozen=True)
class MarketChanges:
    """Paths by what happened to them since the last batch.

    Attributes
    ----------
    added, vanished : paths that were not there, and that are no longer.
    larger, corrected : than before, by rows or by other content; of the same size or smaller, and of other content.
    held : not whole yet (half-written, unreadable): left out of the batch, and looked at again.
    restless : left out of a settled batch since they changed since the last look, or came or went since then.
    unread : at rest, and left to the next look, since this one had no more time to read.
    settled : a second look in a row saw the same stamps, or the changes at rest have waited `MAX_WAIT_LOOKS` looks for the others; and all are read.
    batch_key : names the batch; the same after a crash that lost the cursor, another for a later batch even on the same files.
    cursor : what to store; counts the batch as asked for if and only if it is settled.
    """

    added: tuple[str, ...]
    larger: tuple[str, ...]
    corrected: tuple[str, ...]
    vanished: tuple[str, ...]
    held: tuple[str, ...]
    restless: tuple[str, ...]
    unread: tuple[str, ...]
    settled: bool
    batch_key: str
    cursor: MarketCursor

    @property
    def any(self) -> bool:
        return bool(self.added or self.larger or self.corrected or self.vanished)

    def describe(self) -> str:
        """What was seen, in one line."""
        kinds = (
            *((self.added, "new"), (self.larger, "larger"), (self.corrected, "corrected"), (self.vanished, "vanished")),
            *((self.held, "not whole yet"), (self.restless, "still changing")),
        )
        return ", ".join(f"{len(paths)} {word} ({_named(paths)})" for paths, word in kinds if paths) or "nothing new"


def market_changes(
    cursor: str | None, files: Sequence[MarketFile], digest_of: Callable[[MarketFile], str | None], has_time: Callable[[], bool]
) -> MarketChanges:
    """Compare the files that are there with a sensor's cursor.

    A batch is asked for once, when a second look sees what the first saw: files that are still growing, or still arriving, wait, and the others with
    them, so that what arrives together is one batch. Where some never rest, the others are taken after `MAX_WAIT_LOOKS` looks without them. A file
    that was only touched or written again with the same content is no change. A batch that is too large for one look is read by several, each of
    which reads one file at least.

    Parameters
    ----------
    digest_of : digest of a file's content, None for a file that is not whole; asked only of files whose stamp changed, and only once they rest.
    has_time : whether this look may read another file.
    """
    before = parse_cursor(cursor)
    there = {file.path: file for file in files}
    now = {path: (file.size_bytes, file.modified_ns) for path, file in there.items()}
    restless = {path for path in now.keys() | before.seen.keys() if now.get(path) != before.seen.get(path)}
    unlike = [path for path in sorted(now) if path not in before.done or now[path] != before.done[path].stamp]
    gone = sorted(before.done.keys() - now.keys())
    waiting = bool(restless) and bool({*unlike, *gone} - restless)
    at_rest = not restless or (waiting and before.n_waited >= MAX_WAIT_LOOKS)
    if at_rest:
        unlike, gone = [path for path in unlike if path not in restless], [path for path in gone if path not in restless]
    kept = {path: file for path, file in before.read.items() if now.get(path) == file.stamp}
    read = _read(kept, [there[path] for path in unlike], digest_of, has_time) if at_rest else kept
    unread = tuple(path for path in unlike if path not in read) if at_rest else ()
    settled = at_rest and not unread
    digests = {path: read[path].digest if settled else "" for path in unlike}
    fresh = {path: Taken(now[path], digest) for path, digest in digests.items() if digest is not None}
    changed = [path for path in fresh if path in before.done and (not settled or fresh[path].digest != before.done[path].digest)]
    larger = tuple(path for path in changed if now[path][0] > before.done[path].stamp[0])
    changes = MarketChanges(
        added=tuple(path for path in fresh if path not in before.done),
        larger=larger,
        corrected=tuple(path for path in changed if path not in larger),
        vanished=tuple(gone),
        held=tuple(path for path, digest in digests.items() if digest is None),
        restless=tuple(sorted(restless)) if settled else (),
        unread=unread,
        settled=settled,
        batch_key="",
        cursor=MarketCursor(before.done, now, before.n_batches, before.n_waited + 1 if waiting and not settled else 0, {} if settled else read),
    )
    return _as_batch(changes, {**{path: taken for path, taken in before.done.items() if path not in gone}, **fresh}) if settled else changes


def _read(
    kept: Mapping[str, Read], files: Sequence[MarketFile], digest_of: Callable[[MarketFile], str | None], has_time: Callable[[], bool]
) -> dict[str, Read]:
    """What earlier looks have read, and as many of the files as there is time for: one at least."""
    read = dict(kept)
    for file in files:
        if file.path not in read:
            if len(read) > len(kept) and not has_time():
                break
            read[file.path] = Read((file.size_bytes, file.modified_ns), digest_of(file))
    return read


def parse_cursor(cursor: str | None) -> MarketCursor:
    """The cursor in a text; an empty one for a text that is missing or of another form."""
    try:
        content = json.loads(cursor or "{}")
        done = {str(path): Taken((int(size), int(modified)), str(digest)) for path, (size, modified, digest) in content.get("done", {}).items()}
        seen = {str(path): (int(size), int(modified)) for path, (size, modified) in content.get("seen", {}).items()}
        read = {
            str(path): Read((int(size), int(modified)), None if digest is None else str(digest))
            for path, (size, modified, digest) in content.get("read", {}).items()
        }
        return MarketCursor(done, seen, int(content.get("n_batches", 0)), int(content.get("n_waited", 0)), read)
    except (ValueError, AttributeError, TypeError):
        return MarketCursor({}, {})


def files_version(digests: Mapping[str, str]) -> str:
    """16 hexadecimal digits of what some files hold, by path and digest."""
    return hashlib.sha256(json.dumps(dict(digests), sort_keys=True).encode()).hexdigest()[:16]


def _as_batch(changes: MarketChanges, done: Mapping[str, Taken]) -> MarketChanges:
    """The settled changes as one batch, its key made of its number and of every file's content."""
    number = changes.cursor.n_batches
    key = f"{number}-{files_version({path: taken.digest for path, taken in done.items()})}"
    return replace(changes, batch_key=key, cursor=MarketCursor(done, changes.cursor.seen, number + changes.any))


def _named(paths: Sequence[str]) -> str:
    names = list(dict.fromkeys(_label(path) for path in paths))
    return ", ".join(printable(name) for name in names[:N_NAMED]) + (" ..." if len(names) > N_NAMED else "")


def _label(path: str) -> str:
    """What tells a file from others: its name, or the folder of its symbol."""
    *_, folder, name = ("", *path.split("/"))
    return folder if folder.startswith("symbol=") else name
