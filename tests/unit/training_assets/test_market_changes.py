"""Market data asks for one plan per batch of changes, once it has come to rest."""

from pathlib import Path

import pytest

from resources.market_data.digest import whole_digest
from resources.market_data.records import MarketFile
from training_assets.market_changes import MarketChanges, market_changes


def files(**sizes: int) -> tuple[MarketFile, ...]:
    return tuple(MarketFile(f"{name}.parquet", name, size, 1_000 + size) for name, size in sizes.items())


def by_size(file: MarketFile) -> str:
    return str(file.size_bytes)


def looks(*states: tuple[MarketFile, ...], cursor: str | None = None) -> list[MarketChanges]:
    seen = []
    for state in states:
        changes = market_changes(cursor, state, by_size)
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


def test_new_grown_corrected_and_vanished_files_are_told_apart() -> None:
    before, after = files(A=1, B=1, C=1, E=5), files(A=1, B=2, D=1, E=4)
    *_, last = looks(before, before, after, after)
    assert (last.added, last.grown, last.corrected, last.vanished) == (("D.parquet",), ("B.parquet",), ("E.parquet",), ("C.parquet",))
    assert last.describe() == "1 new (D.parquet), 1 grown (B.parquet), 1 corrected (E.parquet), 1 vanished (C.parquet)"


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
    cursor = market_changes(None, now, whole_but_b).cursor.text()
    asked = market_changes(cursor, now, whole_but_b)
    assert (asked.added, asked.held) == (("A.parquet",), ("B.parquet",))
    waiting = market_changes(asked.cursor.text(), now, whole_but_b)
    assert (waiting.any, waiting.held) == (False, ("B.parquet",))
    assert market_changes(waiting.cursor.text(), now, by_size).added == ("B.parquet",)


def test_a_known_file_that_is_being_written_again_has_not_vanished() -> None:
    *_, known = looks(files(A=1), files(A=1))
    begun = files(A=7)
    second = market_changes(known.cursor.text(), begun, lambda _: None)
    third = market_changes(second.cursor.text(), begun, lambda _: None)
    assert (third.any, third.held) == (False, ("A.parquet",))
    assert market_changes(third.cursor.text(), begun, by_size).grown == ("A.parquet",)


def test_a_crash_before_the_cursor_is_stored_asks_again_under_the_same_key() -> None:
    cursor = market_changes(None, files(A=1), by_size).cursor.text()
    lost, again = market_changes(cursor, files(A=1), by_size), market_changes(cursor, files(A=1), by_size)
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


@pytest.mark.parametrize("cursor", ["", "no json", "[]", '{"done": 3}', '{"done": {"a": []}, "seen": {}}', '{"done": {"a": [1, 2]}}', '{"n_batches": "x"}'])
def test_a_cursor_of_another_form_is_an_empty_one(cursor: str) -> None:
    assert market_changes(cursor, files(A=1), by_size).added == ("A.parquet",)


@pytest.mark.parametrize(
    ("content", "whole"), [(b"PAR1 rows PAR1", True), (b"PAR1 rows, no end", False), (b"rows PAR1", False), (b"PAR1", False), (b"", False)]
)
def test_parquet_is_whole_once_its_footer_is_there(content: bytes, whole: bool, tmp_path: Path) -> None:
    path = tmp_path / "A.parquet"
    path.write_bytes(content)
    assert (whole_digest(MarketFile(str(path), "A", len(content), 0)) is not None) is whole


def test_text_has_a_digest_of_its_content_and_a_missing_file_has_none(tmp_path: Path) -> None:
    for name, content in (("A", "x,y\n1,2\n"), ("B", "x,y\n1,3\n"), ("C", "x,y\n1,2\n")):
        (tmp_path / f"{name}.csv").write_text(content, encoding="utf-8")
    a, b, c, gone = (whole_digest(MarketFile(str(tmp_path / f"{name}.csv"), name, 8, 0)) for name in "ABCD")
    assert (a == c, a == b, gone) == (True, False, None)
