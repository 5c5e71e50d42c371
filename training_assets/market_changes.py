"""What changed in a folder of market data since it was last looked at, and whether it has come to rest.

Belongs here: the pure sum under `new_market_data_sensor`, and its cursor. Does not: listing files (`resources.market_data`).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resources.market_data.records import MarketFile

Stamp = tuple[int, int]  # size in bytes, time of modification in nanoseconds


@dataclass(frozen=True)
class MarketCursor:
    """Files of the batch that was last asked for (`done`), and as they were at the last look (`seen`)."""

    done: Mapping[str, Stamp]
    seen: Mapping[str, Stamp]

    def text(self) -> str:
        return json.dumps({"done": self.done, "seen": self.seen}, sort_keys=True)


@dataclass(frozen=True)
class MarketChanges:
    """Paths by what happened to them since the last batch; `settled` once two looks in a row saw the same."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    vanished: tuple[str, ...]
    settled: bool
    fingerprint: str
    cursor: MarketCursor

    @property
    def any(self) -> bool:
        return bool(self.added or self.changed or self.vanished)

    def describe(self) -> str:
        """What was seen, in one line."""
        parts = [f"{len(paths)} {word}" for paths, word in ((self.added, "new"), (self.changed, "changed"), (self.vanished, "vanished")) if paths]
        return ", ".join(parts) or "nothing new"


def market_changes(cursor: str | None, files: Sequence[MarketFile]) -> MarketChanges:
    """Compare the files that are there with a sensor's cursor.

    A batch is asked for once, when a second look sees what the first saw: files that are still growing, or still arriving, wait. The returned cursor
    counts the batch as done if and only if it is settled, so a crash before it is stored asks again, under the same fingerprint.
    """
    before = parse_cursor(cursor)
    now = {file.path: (file.size_bytes, file.modified_ns) for file in files}
    settled = now == dict(before.seen)
    return MarketChanges(
        added=tuple(sorted(now.keys() - before.done.keys())),
        changed=tuple(sorted(path for path in now.keys() & before.done.keys() if now[path] != before.done[path])),
        vanished=tuple(sorted(before.done.keys() - now.keys())),
        settled=settled,
        fingerprint=hashlib.sha256(json.dumps(now, sort_keys=True).encode()).hexdigest()[:16],
        cursor=MarketCursor(now if settled else before.done, now),
    )


def parse_cursor(cursor: str | None) -> MarketCursor:
    """The cursor in a text; an empty one for a text that is missing or of another form."""
    try:
        content = json.loads(cursor or "{}")
        return MarketCursor(*({str(path): (int(stamp[0]), int(stamp[1])) for path, stamp in content.get(part, {}).items()} for part in ("done", "seen")))
    except (ValueError, AttributeError, TypeError, IndexError):
        return MarketCursor({}, {})
