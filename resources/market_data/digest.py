"""Whether a file of market data is whole, and a digest of what it holds.

Belongs here: reading bytes, none of their meaning. Does not: comparing with what was there before (`training_assets.market_changes`).
"""

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from resources.market_data.layouts import suffix_of
from resources.market_data.opening import open_regular
from resources.market_data.records import MarketFile, UnusableFileError

PARQUET_MAGIC = b"PAR1"
CHUNK_BYTES = 1 << 20


def whole_digest(file: MarketFile, max_bytes: int) -> str | None:
    """A digest of a file's content, or None for a file that is not whole.

    Text has no end mark: a CSV that a writer left off in the middle is told by the second look alone, which has to see what the first saw.

    Parameters
    ----------
    file : as it was listed; no more than `size_bytes` are read, so that a file that grows meanwhile ends.
    max_bytes : a gzip file is unzipped no further than this; whether more than that has an end is not asked.

    Returns
    -------
    16 hexadecimal digits; None for a file that is empty, shorter than it was, no regular file or cannot be read, Parquet whose footer is not written
    yet, and gzip that ends before its end mark.
    """
    if not file.size_bytes:
        return None
    path, digest = Path(file.path), hashlib.blake2b(digest_size=8)
    suffix = suffix_of(path.name)
    ending = _GzipEnding(max_bytes) if suffix == ".csv.gz" else None
    try:
        with open_regular(path) as content:
            if suffix == ".parquet" and not _has_footer(content, file.size_bytes):
                return None
            n_read = 0
            for block in _blocks(content, file.size_bytes):
                n_read += len(block)
                digest.update(block)
                if ending is not None:
                    ending.feed(block)
    except (OSError, UnusableFileError):
        return None
    return digest.hexdigest() if n_read == file.size_bytes and (ending is None or ending.reached) else None


class _GzipEnding:
    """Whether a gzip file ends where it says it does. What is damaged rather than cut off counts as ended: its reader tells what is wrong with it."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._given_up = False

    def feed(self, block: bytes) -> None:
        while block and not self._given_up:
            if self._stream.eof:  # a file may hold several streams, one after the other
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                self._left -= len(self._stream.decompress(block, CHUNK_BYTES))
            except zlib.error:
                self._given_up = True
            block = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            self._given_up |= self._left < 0

    @property
    def reached(self) -> bool:
        return self._given_up or self._stream.eof


def _blocks(content: BinaryIO, n_bytes: int) -> Iterator[bytes]:
    """The first bytes of a file, in blocks."""
    content.seek(0)
    while n_bytes and (block := content.read(min(CHUNK_BYTES, n_bytes))):
        n_bytes -= len(block)
        yield block


def _has_footer(content: BinaryIO, size_bytes: int) -> bool:
    if size_bytes < 12 or content.read(4) != PARQUET_MAGIC:
        return False
    content.seek(size_bytes - 4)
    return content.read(4) == PARQUET_MAGIC
