"""Partition keys hold for any name a market has, and keys follow a plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_assets.partition_keys import key_name, name_key, pair_key, parse_pair_key, partition_changes

MARKET_NAMES = [
    "AAPL",
    "BRK.B",
    "^GSPC",
    "ES=F",
    "BTC/USDT:PERP",
    "a b",
    " lead",
    "日本",
    "x|y",
    "..",
    ".",
    "...",
    "a...b",
    "%2F",
    "[x]",
    "a,b",
    "tab\there",
    "\u202ertl",
]
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@pytest.mark.parametrize("name", MARKET_NAMES)
def test_a_market_name_comes_back_from_its_key(name: str) -> None:
    assert key_name(name_key(name)) == name


@pytest.mark.parametrize("name", ["AAPL", "BRK.B", "^GSPC", "ES=F", "a b", "日本"])
def test_a_harmless_name_is_its_own_key(name: str) -> None:
    assert name_key(name) == name


@given(names)
def test_no_key_holds_what_folders_ranges_or_pairs_trip_over(name: str) -> None:
    key = name_key(name)
    assert key_name(key) == name
    assert not set(key) & set('/\\|,[]"\n\r\t\x00')
    assert "..." not in key
    assert key not in (".", "..")
    assert key == key.strip()


@given(names, names)
def test_a_pair_comes_back_from_its_key(target: str, symbol: str) -> None:
    assert parse_pair_key(pair_key(target, symbol)) == (target, symbol)


@given(names, names, names, names)
def test_two_pairs_never_share_a_key(a: str, b: str, c: str, d: str) -> None:
    assert (pair_key(a, b) == pair_key(c, d)) == ((a, b) == (c, d))


@pytest.mark.parametrize("name", ["", "x" * 201, "\ud800"])
def test_a_name_that_cannot_be_a_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a partition key"):
        name_key(name)


@pytest.mark.parametrize("key", ["target", "|symbol", "target|", "a|b|c"])
def test_a_key_that_is_no_pair_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="no pair key"):
        parse_pair_key(key)


def test_new_keys_are_added_in_the_plans_order_and_retired_ones_deleted() -> None:
    changes = partition_changes(["c", "a", "b"], ["a", "old"], [])
    assert (changes.add, changes.delete, changes.deferred) == (("c", "b"), ("old",), ())


def test_a_retired_key_that_a_run_uses_waits() -> None:
    changes = partition_changes(["a"], ["a", "busy", "idle"], ["busy", "a"])
    assert (changes.delete, changes.deferred) == (("idle",), ("busy",))


def test_a_plan_that_could_not_be_read_changes_nothing() -> None:
    assert not partition_changes(None, ["a", "b"], []).any


def test_an_empty_plan_retires_everything() -> None:
    assert partition_changes([], ["a", "b"], []).delete == ("a", "b")
