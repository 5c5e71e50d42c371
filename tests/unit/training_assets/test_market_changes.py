"""Market data asks for one plan per batch of changes, once it has come to rest."""

from resources.market_data.records import MarketFile
from training_assets.market_changes import MarketChanges, market_changes


def files(**sizes: int) -> tuple[MarketFile, ...]:
    return tuple(MarketFile(f"{name}.parquet", name, size, 1_000 + size) for name, size in sizes.items())


def looks(*states: tuple[MarketFile, ...], cursor: str | None = None) -> list[MarketChanges]:
    seen = []
    for state in states:
        changes = market_changes(cursor, state)
        cursor = changes.cursor.text()
        seen.append(changes)
    return seen


def test_a_first_look_waits_and_the_second_asks() -> None:
    first, second, third = looks(files(A=1), files(A=1), files(A=1))
    assert first.any
    assert not first.settled
    assert second.any
    assert second.settled
    assert not third.any


def test_a_growing_file_waits_until_it_is_whole() -> None:
    settled = [changes.settled for changes in looks(files(A=1), files(A=5), files(A=9), files(A=9))]
    assert settled == [False, False, False, True]


def test_new_changed_and_vanished_files_are_told_apart() -> None:
    *_, last = looks(files(A=1, B=1, C=1), files(A=1, B=1, C=1), files(A=1, B=2, D=1))
    assert (last.added, last.changed, last.vanished) == (("D.parquet",), ("B.parquet",), ("C.parquet",))


def test_a_crash_before_the_cursor_is_stored_asks_again_under_the_same_fingerprint() -> None:
    first = market_changes(None, files(A=1))
    cursor = first.cursor.text()
    lost, again = market_changes(cursor, files(A=1)), market_changes(cursor, files(A=1))
    assert lost.any
    assert lost.fingerprint == again.fingerprint


def test_many_files_at_once_are_one_batch() -> None:
    many = files(**{f"S{number}": number for number in range(500)})
    _, second, third = looks(many, many, many)
    assert len(second.added) == 500
    assert not third.any


def test_a_cursor_of_another_form_is_an_empty_one() -> None:
    for cursor in ("", "no json", "[]", '{"done": 3}', '{"done": {"a": []}, "seen": {}}'):
        assert market_changes(cursor, files(A=1)).added == ("A.parquet",)
