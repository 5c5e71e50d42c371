"""Agreement of selections held against the published formula, hand cases and simulation."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from routing_assets.evidence.agreement import nogueira, pairwise_overlap, pairwise_tau


def by_formula(z: NDArray[np.bool_]) -> float:
    """Nogueira et al. 2018, equation 4, written out."""
    m, d = z.shape
    p = z.mean(axis=0)
    k = z.sum(axis=1).mean()
    return float(1 - (m / (m - 1) * p * (1 - p)).mean() / (k / d * (1 - k / d)))


def variance_by_formula(z: NDArray[np.bool_]) -> float:
    """Nogueira et al. 2018, theorem 7, written out."""
    m, d = z.shape
    p, k = z.mean(axis=0), z.sum(axis=1)
    k_bar, phi = k.mean(), by_formula(z)
    parts = [
        (1 / ((k_bar / d) * (1 - k_bar / d))) * ((z[i] * p).mean() - k[i] * k_bar / d**2 + phi / 2 * (2 * k_bar * k[i] / d**2 - k[i] / d - k_bar / d + 1))
        for i in range(m)
    ]
    return float(4 / m**2 * np.sum((np.array(parts) - np.mean(parts)) ** 2))


def random_selections(rng: np.random.Generator, n_sides: int, n_snapshots: int, n_features: int, top: int, strength: float = 0.0) -> NDArray[np.bool_]:
    """Top features by noise, the first `top` of them favoured by `strength`."""
    scores = rng.normal(size=(n_sides, n_snapshots, n_features))
    scores[..., :top] += strength
    threshold = np.sort(scores, axis=-1)[..., [-top]]
    return scores >= threshold


@pytest.mark.parametrize("seed", range(5))
def test_the_measure_and_its_interval_are_the_published_ones(seed: int) -> None:
    z = np.random.default_rng(seed).random((4, 7)) < 0.4
    agreement = nogueira(z, 0.95)
    assert agreement.score == pytest.approx(by_formula(z))
    half = stats.norm.ppf(0.975) * np.sqrt(variance_by_formula(z))
    assert agreement.ci_low == pytest.approx(by_formula(z) - half)
    assert agreement.ci_high == pytest.approx(by_formula(z) + half)


def test_identical_selections_score_one_with_no_doubt() -> None:
    agreement = nogueira(np.tile(np.arange(12) < 4, (20, 1)), 0.95)
    assert (agreement.score, agreement.ci_low, agreement.ci_high) == (1.0, pytest.approx(1.0), pytest.approx(1.0))


def test_a_hand_case_of_two_disjoint_halves_is_minus_one() -> None:
    assert nogueira(np.array([[True, True, False, False], [False, False, True, True]]), 0.95).score == pytest.approx(-1.0)


def test_nothing_or_everything_selected_has_no_measure() -> None:
    assert np.isnan(nogueira(np.zeros((5, 6), bool), 0.95).score)
    assert np.isnan(nogueira(np.ones((5, 6), bool), 0.95).score)


@pytest.mark.parametrize("n_features", [25, 60, 200])
def test_random_selections_score_zero_whatever_the_number_of_features(n_features: int) -> None:
    selections = random_selections(np.random.default_rng(1), 200, 30, n_features, 20)
    assert nogueira(selections, 0.95).score.mean() == pytest.approx(0.0, abs=0.005)
    assert pairwise_overlap(selections)[0].mean() == pytest.approx({25: 0.669, 60: 0.204, 200: 0.054}[n_features], abs=0.01)


@pytest.mark.parametrize(("n_snapshots", "lowest", "highest"), [(5, 0.60, 0.85), (20, 0.87, 0.96), (30, 0.88, 0.97)])
def test_the_interval_covers_as_published_and_well_enough_from_twenty_snapshots(n_snapshots: int, lowest: float, highest: float) -> None:
    rng = np.random.default_rng(2)
    truth = nogueira(random_selections(rng, 1, 20_000, 40, 8, 1.0), 0.95).score[0]
    agreement = nogueira(random_selections(rng, 1_000, n_snapshots, 40, 8, 1.0), 0.95)
    assert lowest <= np.mean((agreement.ci_low <= truth) & (truth <= agreement.ci_high)) <= highest


def test_overlap_of_hand_cases() -> None:
    mean, spread = pairwise_overlap(np.array([[[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]], [[1, 1, 1, 0]] * 3], bool))
    np.testing.assert_allclose(mean, [(1 / 3 + 1 + 1 / 3) / 3, 1.0])
    np.testing.assert_allclose(spread, [np.std([1 / 3, 1, 1 / 3]), 0.0])


def test_tau_of_every_pair_of_blocks_is_that_of_scipy() -> None:
    association = np.random.default_rng(3).random((2, 4, 9))
    mean, spread = pairwise_tau(association)
    for side in range(2):
        taus = [stats.kendalltau(association[side, a], association[side, b]).statistic for a in range(4) for b in range(a + 1, 4)]
        assert mean[side] == pytest.approx(np.mean(taus))
        assert spread[side] == pytest.approx(np.std(taus))


def test_one_cluster_has_no_order_to_agree_on() -> None:
    assert np.isnan(pairwise_tau(np.ones((2, 5, 1)))[0]).all()
