"""Average uniqueness held against its definition."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training_assets.uniqueness import average_uniqueness, effective_sample_size, panel_uniqueness


def by_definition(codes: NDArray[np.int32], ends: NDArray[np.int32]) -> NDArray[np.float64]:
    """Lopez de Prado 2018, snippets 4.1 and 4.2, bar by bar."""
    spans = [set(range(code + 1, end + 1)) for code, end in zip(codes, ends, strict=True)]
    alive = {bar: sum(bar in span for span in spans) for span in spans for bar in span}
    return np.array([np.mean([1.0 / alive[bar] for bar in span]) if span else 0.0 for span in spans])


def test_labels_that_do_not_overlap_are_unique() -> None:
    codes, ends = np.array([0, 5, 10], np.int32), np.array([5, 10, 15], np.int32)
    assert average_uniqueness(codes, ends).tolist() == [1.0, 1.0, 1.0]


def test_identical_labels_share_their_uniqueness() -> None:
    codes, ends = np.zeros(4, np.int32), np.full(4, 7, np.int32)
    np.testing.assert_allclose(average_uniqueness(codes, ends), 0.25)


def test_one_overlapping_bar_is_shared() -> None:
    np.testing.assert_allclose(average_uniqueness(np.array([0, 1], np.int32), np.array([2, 3], np.int32)), [0.75, 0.75])


@pytest.mark.parametrize("seed", range(8))
def test_uniqueness_agrees_with_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.sort(rng.choice(80, 40, replace=False)).astype(np.int32)
    ends = np.where(rng.random(40) < 0.2, -1, codes + rng.integers(1, 15, 40)).astype(np.int32)
    np.testing.assert_allclose(average_uniqueness(codes, ends), by_definition(codes, ends), atol=1e-6)


def test_rows_without_a_label_weigh_nothing_and_crowd_nobody() -> None:
    codes = np.arange(6, dtype=np.int32)
    ends = np.array([3, -1, -1, 6, -1, -1], np.int32)
    assert average_uniqueness(codes, ends).tolist() == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    assert average_uniqueness(codes, np.full(6, -1, np.int32)).tolist() == [0.0] * 6


def test_labels_of_h_bars_on_every_row_come_to_n_over_h() -> None:
    codes = np.arange(1_000, dtype=np.int32)
    effective = effective_sample_size(average_uniqueness(codes, codes + np.int32(10)))
    assert effective == pytest.approx(1_009 / 10, rel=0.02)


def test_symbols_of_a_panel_do_not_crowd_each_other() -> None:
    codes = np.array([0, 1, 0, 1, 2], np.int32)
    ends = np.array([2, 3, 1, 2, 3], np.int32)
    panel = panel_uniqueness(codes, ends, np.array([0, 2, 5, 5]))
    np.testing.assert_allclose(panel, [0.75, 0.75, 1.0, 1.0, 1.0])
    assert effective_sample_size(panel) == pytest.approx(4.5)
