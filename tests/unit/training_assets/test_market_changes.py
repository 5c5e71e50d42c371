"""Market data asks for one plan per batch of changes, once it has come to rest."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from resources.market_data.digest import whole_digest
from resources.market_data.records import MarketFile
from training_assets.market_changes import MAX_WAIT_LOOKS, MarketChanges, market_changes


def files(**sizes: int) -> tuple[MarketFile, ...]:
    return tuple(MarketFile(f"{name}.parquet", name, size, 1_000 + size) for name, size in sizes.items())


def by_size(file: MarketFile) -> str:
    return str(file.size_bytes)


def compare(cursor: str | None, files: tuple[MarketFile, ...], digest_of: Callable[[MarketFile], str | None]) -> MarketChanges:
    """A look that has all the time that it needs."""
    return market_changes(cursor, files, digest_of, lambda: True)


def looks(*states: tuple[MarketFile, ...], cursor: str | None = None) -> list[MarketChanges]:
    seen = []
    for state in states:
        changes = compare(cursor, state, by_size)
        cursor = changes.cursor.text()
        seen.append(changes)
    return seen


def test_a_first_look_waits_and_the_second_asks() -> None:
    first, second, third = looks(files(A=1), files(A=1), files(A=1))
    assert (first.any, first.settled) == (True, False)
    assert (second.any, second.settled) == (True, True)
    assert not third.any


def test_a_growing_file_waits_until_it_is_whole() -> None:
    settled = [changes.settled for changes in looks(files(A=1), files(A=5), files(A=9), files(A=9))]
    assert settled == [False, False, False, True]


def test_a_file_that_never_rests_keeps_the_others_waiting_for_so_many_looks_and_no_longer() -> None:
    known = files(A=1, B=1)
    states = [known, known] + [files(A=2 + look, B=1, C=1) for look in range(3 * MAX_WAIT_LOOKS)]
    asked = [(number, changes) for number, changes in enumerate(looks(*states)) if changes.settled and changes.any]
    assert [number for number, _ in asked] == [1, 3 + MAX_WAIT_LOOKS]
    partial = asked[1][1]
    assert partial.describe() == "1 new (C.parquet), 1 still changing (A.parquet)"
    assert partial.cursor.done["A.parquet"].stamp == (1, 1_001)


def test_a_file_that_rests_after_a_batch_without_it_is_asked_for_then() -> None:
    growing = [files(A=1 + look, C=1) for look in range(2 + MAX_WAIT_LOOKS)]
    *_, partial, resting = looks(*growing, growing[-1])
    assert (partial.added, resting.added) == (("C.parquet",), ("A.parquet",))


def test_parts_of_symbol_folders_are_named_for_their_symbols() -> None:
    parts = tuple(MarketFile(f"bars/symbol={symbol}/part-{part}.parquet", symbol, 1, 1) for symbol in ("A", "B") for part in (0, 1))
    *_, asked = looks(parts, parts)
    assert asked.describe() == "4 new (symbol=A, symbol=B)"


def test_new_larger_corrected_and_vanished_files_are_told_apart() -> None:
    before, after = files(A=1, B=1, C=1, E=5), files(A=1, B=2, D=1, E=4)
    *_, last = looks(before, before, after, after)
    assert (last.added, last.larger, last.corrected, last.vanished) == (("D.parquet",), ("B.parquet",), ("E.parquet",), ("C.parquet",))
    assert last.describe() == "1 new (D.parquet), 1 larger (B.parquet), 1 corrected (E.parquet), 1 vanished (C.parquet)"


def test_a_file_written_again_with_the_same_content_is_no_change() -> None:
    touched = (MarketFile("A.parquet", "A", 1, 99_000),)
    *_, rests, after = looks(files(A=1), files(A=1), touched, touched, touched)
    assert rests.settled
    assert not rests.any
    assert after.cursor.done["A.parquet"].stamp == (1, 99_000)


def test_a_half_written_file_is_held_back_and_the_others_go_on() -> None:
    def whole_but_b(file: MarketFile) -> str | None:
        return None if file.symbol == "B" else by_size(file)

    now = files(A=1, B=1)
    cursor = compare(None, now, whole_but_b).cursor.text()
    asked = compare(cursor, now, whole_but_b)
    assert (asked.added, asked.held) == (("A.parquet",), ("B.parquet",))
    waiting = compare(asked.cursor.text(), now, whole_but_b)
    assert (waiting.any, waiting.held) == (False, ("B.parquet",))
    assert compare(waiting.cursor.text(), now, by_size).added == ("B.parquet",)


def test_a_known_file_that_is_being_written_again_has_not_vanished() -> None:
    *_, known = looks(files(A=1), files(A=1))
    begun = files(A=7)
    second = compare(known.cursor.text(), begun, lambda _: None)
    third = compare(second.cursor.text(), begun, lambda _: None)
    assert (third.any, third.held) == (False, ("A.parquet",))
    assert compare(third.cursor.text(), begun, by_size).larger == ("A.parquet",)


def test_a_crash_before_the_cursor_is_stored_asks_again_under_the_same_key() -> None:
    cursor = compare(None, files(A=1), by_size).cursor.text()
    lost, again = compare(cursor, files(A=1), by_size), compare(cursor, files(A=1), by_size)
    assert lost.any
    assert lost.batch_key == again.batch_key


def test_files_that_go_and_come_back_are_asked_for_each_time() -> None:
    both, one = files(A=1, B=1), files(A=1)
    asked = [changes.batch_key for changes in looks(both, both, one, one, both, both) if changes.any and changes.settled]
    assert len(set(asked)) == len(asked) == 3


def test_many_files_at_once_are_one_batch() -> None:
    many = files(**{f"S{number}": number for number in range(500)})
    _, second, third = looks(many, many, many)
    assert len(second.added) == 500
    assert len(second.describe()) < 200
    assert not third.any


class Reader:
    """Digests by size; has the time for so many files a look, and notes which it read."""

    def __init__(self, n_files: int) -> None:
        self.n_files, self.read, self._left = n_files, [], n_files

    def look(self, cursor: str | None, state: tuple[MarketFile, ...]) -> MarketChanges:
        self._left = self.n_files
        return market_changes(cursor, state, self._digest, lambda: self._left > 0)

    def _digest(self, file: MarketFile) -> str | None:
        self._left -= 1
        self.read.append(str(file.symbol))
        return None if file.symbol == "HALF" else by_size(file)


def test_a_batch_too_large_for_one_look_is_read_by_several_each_file_once_and_asked_for_whole() -> None:
    reader, state = Reader(2), files(A=1, B=1, C=1, D=1, HALF=1)
    cursor, seen = None, []
    for _ in range(4):
        changes = reader.look(cursor, state)
        cursor = changes.cursor.text()
        seen.append((changes.settled, len(changes.unread)))
    assert seen == [(False, 0), (False, 3), (False, 1), (True, 0)]
    assert reader.read == ["A", "B", "C", "D", "HALF"]
    in_one_look = Reader(5)
    assert changes == in_one_look.look(in_one_look.look(None, state).cursor.text(), state)


def test_what_was_read_of_a_file_that_changed_since_is_read_again() -> None:
    reader = Reader(1)
    cursor = reader.look(None, files(A=1, B=1)).cursor.text()
    cursor = reader.look(cursor, files(A=1, B=1)).cursor.text()
    for _ in range(3):
        changes = reader.look(cursor, files(A=2, B=1))
        cursor = changes.cursor.text()
    assert reader.read == ["A", "A", "B"]
    assert (changes.settled, changes.cursor.done["A.parquet"].digest) == (True, "2")


def test_a_look_reads_one_file_however_little_time_it_has() -> None:
    state = files(A=1, B=1)
    cursor = looks(state)[0].cursor.text()
    left = []
    for _ in range(2):
        changes = market_changes(cursor, state, by_size, lambda: False)
        cursor = changes.cursor.text()
        left.append(changes.unread)
    assert left == [("B.parquet",), ()]
    assert changes.added == ("A.parquet", "B.parquet")


def test_files_that_never_rest_do_not_keep_a_large_batch_from_being_read_to_its_end() -> None:
    reader, cursor = Reader(1), None
    for look in range(5 + MAX_WAIT_LOOKS):
        changes = reader.look(cursor, files(A=1, B=1, C=1, RESTLESS=look))
        cursor = changes.cursor.text()
        if changes.settled:
            break
    assert changes.added == ("A.parquet", "B.parquet", "C.parquet")
    assert reader.read == ["A", "B", "C"]


@pytest.mark.parametrize(
    "cursor", ["", "no json", "[]", '{"done": 3}', '{"done": {"a": []}, "seen": {}}', '{"done": {"a": [1, 2]}}', '{"n_batches": "x"}', '{"read": {"a": [1]}}']
)
def test_a_cursor_of_another_form_is_an_empty_one(cursor: str) -> None:
    assert compare(cursor, files(A=1), by_size).added == ("A.parquet",)


def digest(path: Path, size_bytes: int | None = None, max_bytes: int = 10_000_000) -> str | None:
    return whole_digest(MarketFile(str(path), None, path.stat().st_size if size_bytes is None else size_bytes, 0), max_bytes)


@pytest.mark.parametrize(
    ("content", "whole"), [(b"PAR1 rows PAR1", True), (b"PAR1 rows, no end", False), (b"rows PAR1", False), (b"PAR1", False), (b"", False)]
)
def test_parquet_is_whole_once_its_footer_is_there(content: bytes, whole: bool, tmp_path: Path) -> None:
    path = tmp_path / "A.parquet"
    path.write_bytes(content)
    assert (digest(path) is not None) is whole


def test_text_has_a_digest_of_its_content_and_a_missing_file_has_none(tmp_path: Path) -> None:
    for name, content in (("A", "x,y\n1,2\n"), ("B", "x,y\n1,3\n"), ("C", "x,y\n1,2\n")):
        (tmp_path / f"{name}.csv").write_text(content, encoding="utf-8")
    a, b, c, gone = (digest(tmp_path / f"{name}.csv", size_bytes=8) for name in "ABCD")
    assert (a == c, a == b, gone) == (True, False, None)


LINES = b"timestamp,close\n" + b"".join(b"2020-01-01,%d\n" % number for number in range(200_000))
ZIPPED = gzip.compress(LINES, mtime=0)


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        (ZIPPED, True),
        (ZIPPED[: len(ZIPPED) // 2], False),
        (ZIPPED[:-1], False),
        (ZIPPED + ZIPPED, True),
        (ZIPPED + ZIPPED[:-8], False),
        (ZIPPED + b"\0" * 512, True),
        (ZIPPED[:5_000] + b"damaged" + ZIPPED[5_007:], True),
        (b"no gzip at all", True),
    ],
)
def test_gzip_is_whole_once_its_end_mark_is_there(content: bytes, whole: bool, tmp_path: Path) -> None:
    path = tmp_path / "A.csv.gz"
    path.write_bytes(content)
    assert (digest(path) is not None) is whole


def test_gzip_is_unzipped_no_further_than_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "A.csv.gz"
    path.write_bytes(ZIPPED[:-1])
    assert (digest(path), digest(path, max_bytes=1_000_000) is None) == (None, False)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir], ids=["pipe", "device", "folder"])
@pytest.mark.parametrize("name", ["A.csv", "A.parquet", "A.csv.gz"])
def test_what_is_no_file_has_no_digest_and_nobody_waits_for_it(make: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    make(tmp_path / name)
    assert digest(tmp_path / name, size_bytes=100) is None


def test_no_more_of_a_file_is_read_than_was_listed(tmp_path: Path) -> None:
    path = tmp_path / "A.csv"
    path.write_bytes(LINES)
    listed = digest(path, size_bytes=5_000)
    path.write_bytes(LINES[:5_000])
    assert digest(path) == listed
    assert digest(path, size_bytes=5_001) is None
