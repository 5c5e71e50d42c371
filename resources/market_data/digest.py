"""Whether a file of market data is whole, and a digest of what it holds.

Belongs here: reading bytes, none of their meaning. Does not: comparing with what was there before (`training_assets.market_changes`).
"""

import hashlib
from pathlib import Path

from resources.market_data.records import MarketFile

PARQUET_MAGIC = b"PAR1"


def whole_digest(file: MarketFile) -> str | None:
    """16 hexadecimal digits of a file's content, or None for a file that is empty, cannot be read, or is Parquet whose footer is not written yet.

    Text has no end mark: a CSV that a writer left off in the middle is told by the second look alone, which has to see what the first saw.
    """
    path = Path(file.path)
    digest = hashlib.blake2b(digest_size=8)
    try:
        with path.open("rb") as content:
            if path.suffix.lower() == ".parquet" and not _has_footer(content.read(4), path, file.size_bytes):
                return None
            content.seek(0)
            while block := content.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest() if file.size_bytes else None


def _has_footer(head: bytes, path: Path, size_bytes: int) -> bool:
    if head != PARQUET_MAGIC or size_bytes < 12:
        return False
    with path.open("rb") as content:
        content.seek(-4, 2)
        return content.read() == PARQUET_MAGIC
