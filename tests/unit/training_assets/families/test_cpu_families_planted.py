"""What each CPU family is for: a planted task on which it beats its naive twin, and the mechanism behind it held against an independent computation."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.families import change_point, ensemble, ftrl_proximal, gmm_regime, meta_learning, ngboost_model, quantile_lightgbm, reward_based
from training_assets.families.base import FitError, FitRequest, Sample, sample_from_arrays
from training_assets.families.market_features import state_columns
from training_assets.families.preprocessing import Rows, Standardiser, part_of
from training_assets.families.registry import FAMILIES

REGRESSION, BINARY = TaskType.REGRESSION, TaskType.BINARY_CLASSIFICATION
Values = NDArray[Any]


def cut(sample: Sample, train_until: int, inner_until: int, task: TaskType = REGRESSION, purge: int = 5) -> tuple[FitRequest, Sample]:
    """A request and the later rows, by time code."""
    codes = sample.time_codes
    train, inner = part_of(sample, codes < train_until), part_of(sample, (codes >= train_until + purge) & (codes < inner_until))
    return FitRequest(train, inner, task, 2, {}, seed=3), part_of(sample, codes >= inner_until + purge)


def one_symbol(x: Values, y: Values, names: tuple[str, ...] | None = None) -> Sample:
    return sample_from_arrays(x.astype(np.float32), y.astype(np.float32), feature_names=names)


def squared_error(predictions: Values, sample: Sample) -> float:
    return float(((predictions - sample.y) ** 2).mean())


def hit_rate(predictions: Values, sample: Sample) -> float:
    return float(((predictions > 0.5) == (sample.y > 0.5)).mean())


@pytest.mark.parametrize("name", ["LightGBM", "XGBoost"])
def test_trees_find_an_interaction_that_ridge_cannot(name: str) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2000, 4))
    raw = x[:, 0] * x[:, 1] + 0.5 * generator.normal(size=2000)
    request, later = cut(one_symbol(x, raw), 1200, 1500)
    assert squared_error(FAMILIES[name].fit(request).predict(later), later) < 0.7 * squared_error(FAMILIES["Ridge"].fit(request).predict(later), later)
    request, later = cut(one_symbol(x, raw > 0), 1200, 1500, BINARY)
    assert hit_rate(FAMILIES[name].fit(request).predict(later), later) > hit_rate(FAMILIES["Ridge"].fit(request).predict(later), later) + 0.15


def test_ridge_beats_least_squares_where_features_are_many_and_rows_few() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(700, 60))
    y = x @ generator.normal(0.0, 0.05, 60) + generator.normal(size=700)
    request, later = cut(one_symbol(x, y), 90, 200)
    unpenalised = FAMILIES["Ridge"].fit(replace(request, hyperparameters={"penalties": [1e-9]}))
    assert squared_error(FAMILIES["Ridge"].fit(request).predict(later), later) < 0.95 * squared_error(unpenalised.predict(later), later)


def test_quantiles_are_in_order_cover_as_they_say_and_follow_the_spread() -> None:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(3600, 3))
    y = x[:, 0] + np.exp(0.6 * x[:, 1]) * generator.normal(size=3600)
    request, later = cut(one_symbol(x, y), 2000, 2600)
    model = quantile_lightgbm.fit_quantile(request)
    quantiles = model.predict_quantiles(later)
    assert (np.diff(quantiles, axis=1) >= 0.0).all()
    inside = (later.y >= quantiles[:, 0]) & (later.y <= quantiles[:, -1])
    assert inside.mean() == pytest.approx(0.9, abs=0.05)
    assert model.fit_details["inner_coverage"] == pytest.approx(0.9, abs=0.06)
    assert quantile_lightgbm.told_out_of_sample(model, later)["coverage"] == pytest.approx(inside.mean(), abs=1e-6)
    constant = np.tile(np.quantile(request.train.y, model.levels), (later.n_rows, 1))
    pinball, naive = (quantile_lightgbm.quantile_details(table, later, model.levels)["pinball"] for table in (quantiles, constant))
    assert all(pinball[level] < 0.95 * naive[level] for level in pinball)


def test_the_median_is_interpolated_between_levels() -> None:
    quantiles = np.array([[0.0, 1.0, 3.0]])
    assert quantile_lightgbm.median_of(quantiles, (0.1, 0.4, 0.6)).tolist() == [2.0]
    assert quantile_lightgbm.median_of(quantiles, (0.1, 0.5, 0.6)).tolist() == [1.0]
    assert quantile_lightgbm.median_of(quantiles, (0.6, 0.7, 0.8)).tolist() == [0.0]
    assert quantile_lightgbm.median_of(quantiles, (0.1, 0.2, 0.3)).tolist() == [3.0]


def reward_task() -> tuple[FitRequest, Sample]:
    """A slow signal worth holding and a fast one that costs more to follow than it brings."""
    generator = np.random.default_rng(3)
    slow = np.zeros(4000)
    for t in range(1, 4000):
        slow[t] = 0.98 * slow[t - 1] + 0.2 * generator.normal()
    fast = generator.normal(size=4000)
    y = 0.01 * (0.15 * slow + 0.1 * fast + generator.normal(size=4000))
    return cut(one_symbol(np.column_stack([slow, fast]), y), 2000, 2600)


def test_a_rewarded_position_earns_more_after_cost_than_the_sign_of_a_forecast() -> None:
    request, later = reward_task()
    costly = replace(request, hyperparameters={"cost": 0.15})
    model = reward_based.fit_reward(costly)
    positions = model.predict(later)
    assert np.abs(positions).max() <= 1.0
    unit = model.fit_details["label_unit"]

    def net(held: Values) -> float:
        return float((held * later.y / unit).mean() - 0.15 * np.abs(np.diff(held, prepend=0.0)).mean())

    told = reward_based.told_out_of_sample(model, later)
    assert told["net_reward"] == pytest.approx(net(positions), abs=1e-6)
    assert told["gross_reward"] - 0.15 * told["turnover"] == pytest.approx(told["net_reward"])
    sign_of_forecast = np.sign(FAMILIES["Ridge"].fit(request).predict(later))
    assert net(positions) > max(0.0, net(sign_of_forecast)) + 0.01


def test_the_gradient_of_the_reward_is_that_of_finite_differences() -> None:
    generator = np.random.default_rng(4)
    n_rows = 12
    symbols = np.repeat([0, 1], 6).astype(np.int32)
    rows = Rows(
        np.zeros((n_rows, 1)), np.zeros(n_rows), generator.uniform(0.5, 1.5, n_rows), np.zeros(n_rows), np.tile(np.arange(6), 2).astype(np.int32), symbols
    )
    positions, outcomes = generator.uniform(-1, 1, n_rows), generator.normal(size=n_rows)
    reward = reward_based.Reward(cost=0.3, risk_aversion=0.7)
    _, gradient = reward.value_and_gradient(positions, outcomes, rows)
    for row in range(n_rows):
        step = np.zeros(n_rows)
        step[row] = 1e-6
        up, down = (reward.value_and_gradient(positions + sign * step, outcomes, rows)[0] for sign in (1.0, -1.0))
        assert gradient[row] == pytest.approx((up - down) / 2e-6, abs=1e-6)


def test_a_label_that_never_changes_sign_is_traded_against_its_mean() -> None:
    request, later = reward_task()
    shifted = replace(request, train=replace(request.train, y=request.train.y + 5.0), inner=replace(request.inner, y=request.inner.y + 5.0))
    plain, of_one_sign = reward_based.fit_reward(request), reward_based.fit_reward(shifted)
    assert plain.fit_details["label_strike"] == 0.0
    assert of_one_sign.fit_details["label_strike"] == pytest.approx(5.0, abs=0.01)
    assert np.corrcoef(plain.predict(later), of_one_sign.predict(later))[0, 1] > 0.95
    assert of_one_sign.predict(later).min() < -0.5
    assert of_one_sign.predict(later).max() > 0.5


def test_a_predicted_distribution_beats_a_constant_one() -> None:
    generator = np.random.default_rng(5)
    x = generator.normal(size=(1500, 3))
    y = x[:, 0] + np.exp(0.7 * x[:, 1]) * generator.normal(size=1500)
    request, later = cut(one_symbol(x, y), 800, 1050)
    model = ngboost_model.fit_ngboost(request)
    mean, deviation = model.predict_distribution(later).T

    def log_score(location: Values, spread: Values) -> float:
        return float((np.log(spread) + 0.5 * ((later.y - location) / spread) ** 2).mean())

    assert log_score(mean, deviation) < log_score(request.train.y.mean(), request.train.y.std()) - 0.2
    assert np.corrcoef(deviation, np.exp(0.7 * later.x[:, 1]))[0, 1] > 0.7
    told = ngboost_model.told_out_of_sample(model, later)
    assert told["log_score"] == pytest.approx(log_score(mean, deviation) + 0.5 * np.log(2 * np.pi), abs=1e-6)
    assert told["coverage"] == pytest.approx(0.9, abs=0.06)


def test_copied_trees_predict_as_the_library_does() -> None:
    from ngboost import NGBoost
    from ngboost.distns import Normal

    generator = np.random.default_rng(6)
    x = generator.normal(size=(300, 4)).astype(np.float32)
    y = np.where(x[:, 0] > 0.3, 1.0, -1.0) * x[:, 1] + 0.3 * generator.normal(size=300)
    library_model = NGBoost(Dist=Normal, n_estimators=12, learning_rate=0.1, verbose=False, random_state=0).fit(x, y)
    for rounds in (1, 5, 12):
        expected = library_model.pred_param(x, max_iter=rounds)
        np.testing.assert_allclose(ngboost_model.trees_of(library_model, rounds).predict(x), expected, rtol=1e-12)


def test_thinning_keeps_whole_timestamps_and_the_bound() -> None:
    codes = np.tile(np.arange(100, dtype=np.int32), 3)
    kept = ngboost_model.thinned(codes, 70)
    assert kept.sum() <= 70
    assert (np.bincount(codes[kept]) % 3 == 0).all()
    assert ngboost_model.thinned(codes, 300).all()


def regime_task(seed: int = 7) -> tuple[FitRequest, Sample]:
    """A signal whose sign turns with a persistent regime that shows in a noisy volatility."""
    generator = np.random.default_rng(seed)
    regime = (np.cumsum(generator.random(2400) < 0.02) % 2).astype(float)
    x = np.column_stack([generator.normal(size=2400), 1.5 * regime + generator.normal(size=2400), generator.normal(size=2400)])
    y = np.where(regime > 0.5, -1.0, 1.0) * 0.8 * x[:, 0] + 0.5 * generator.normal(size=2400)
    return cut(one_symbol(x, y, ("signal", "volatility_20", "other")), 1400, 1800)


def test_filtered_regimes_beat_one_ridge_and_a_gate_without_memory() -> None:
    request, later = regime_task()
    model = gmm_regime.fit_gmm_regime(request)
    error = squared_error(model.predict(later), later)
    assert error < 0.8 * squared_error(FAMILIES["Ridge"].fit(request).predict(later), later)
    forgetful = replace(model, regimes=replace(model.regimes, transition=np.tile(model.regimes.start, (2, 1))))
    assert error < 0.9 * squared_error(forgetful.predict(later), later)
    assert model.fit_details["state_features"] == ["volatility_20"]


def test_a_regime_probability_never_looks_ahead() -> None:
    request, later = regime_task()
    model = gmm_regime.fit_gmm_regime(request)
    before = model.predict(later)
    changed = later.history.copy()
    middle = int(later.history_rows[later.n_rows // 2])
    changed[middle + 1 :] = 9.0
    after = model.predict(replace(later, history=changed))
    np.testing.assert_array_equal(after[: later.n_rows // 2 + 1], before[: later.n_rows // 2 + 1])
    assert (after != before).any()


def break_task() -> tuple[FitRequest, Sample]:
    """At time 900 volatility trebles and the signal turns round."""
    generator = np.random.default_rng(8)
    new = np.arange(2000) >= 900
    returns = np.where(new, 3.0, 1.0) * generator.normal(size=2000)
    x = np.column_stack([generator.normal(size=(2000, 2)), returns])
    y = np.where(new, -0.5, 0.5) * x[:, 0] + 0.3 * x[:, 1] + generator.normal(size=2000)
    return cut(one_symbol(x, y, ("f0", "f1", "ret_1")), 1200, 1500)


def test_a_model_of_the_current_segment_beats_all_history_across_a_break() -> None:
    request, later = break_task()
    model = change_point.fit_change_point(request)
    assert squared_error(model.predict(later), later) < 0.9 * squared_error(FAMILIES["Ridge"].fit(request).predict(later), later)
    assert model.fit_details["segment_starts"] == [0, pytest.approx(900, abs=20)]
    assert model.fit_details["memory"] < 1.0


def test_no_break_is_found_where_none_is() -> None:
    generator = np.random.default_rng(9)
    x = generator.normal(size=(1500, 2))
    request, _ = cut(one_symbol(x, x[:, 0] + generator.normal(size=1500), ("ret_1", "atr_14")), 900, 1200)
    assert change_point.fit_change_point(request).fit_details["segment_starts"] == [0]


def test_state_features_are_past_returns_and_volatility_only() -> None:
    names = ("rsi_14", "volume_ratio", "ret_5", "ret_20", "atr_14", "parkinson_20", "dow")
    assert state_columns("ChangePoint", names, (), 3) == [2, 4, 5]
    assert state_columns("ChangePoint", names, ("dow", "rsi_14"), 3) == [6, 0]
    others = ("volume_ratio", "return_volume_correlation_63", "return_rank_21", "month_sin", "stochastic_k_14_3", "autocorrelation_21", "force_13")
    with pytest.raises(FitError, match="ChangePoint: 0 of 7 features look like"):
        state_columns("ChangePoint", others, (), 3)
    with pytest.raises(FitError, match="'ret_9' is not among the 7 features"):
        state_columns("ChangePoint", names, ("ret_9",), 3)


def test_online_learning_beats_a_static_ridge_under_drift() -> None:
    generator = np.random.default_rng(10)
    drift = np.cumsum(generator.normal(0.0, 0.03, size=(2400, 5)), axis=0)
    x = generator.normal(size=(2400, 5))
    raw = (x * drift).sum(axis=1) + 0.5 * generator.normal(size=2400)
    request, later = cut(one_symbol(x, raw), 1800, 2200)
    assert squared_error(FAMILIES["FTRLProximal"].fit(request).predict(later), later) < 0.8 * squared_error(
        FAMILIES["Ridge"].fit(request).predict(later), later
    )
    request, later = cut(one_symbol(x, raw > 0), 1800, 2200, BINARY)
    assert hit_rate(FAMILIES["FTRLProximal"].fit(request).predict(later), later) > hit_rate(FAMILIES["Ridge"].fit(request).predict(later), later)


def test_a_learner_follows_the_published_algorithm_coordinate_by_coordinate() -> None:
    generator = np.random.default_rng(11)
    gradients = generator.normal(size=(40, 3))
    alpha, beta, l1, l2 = 0.2, 1.0, 0.5, 0.3
    learner = ftrl_proximal.Learner(alpha, beta, np.full(3, l1), np.full(3, l2), np.zeros(3), np.zeros(3))
    z, n = [0.0] * 3, [0.0] * 3
    for gradient in gradients:
        expected = []
        for i in range(3):
            w = 0.0 if abs(z[i]) <= l1 else -(z[i] - np.sign(z[i]) * l1) / ((beta + np.sqrt(n[i])) / alpha + l2)
            sigma = (np.sqrt(n[i] + gradient[i] ** 2) - np.sqrt(n[i])) / alpha
            z[i], n[i] = z[i] + gradient[i] - sigma * w, n[i] + gradient[i] ** 2
            expected.append(w)
        weights = learner.weights()
        np.testing.assert_allclose(weights, expected, rtol=1e-12)
        learner.step(gradient, weights)


@pytest.mark.parametrize("task", [REGRESSION, BINARY, TaskType.MULTICLASS_CLASSIFICATION])
def test_a_stack_is_not_worse_than_its_mean_member(task: TaskType) -> None:
    generator = np.random.default_rng(12)
    x = generator.normal(size=(1600, 4))
    raw = x[:, 0] * x[:, 1] + 0.6 * x[:, 2] + 0.8 * generator.normal(size=1600)
    y = {REGRESSION: raw, BINARY: raw > 0, TaskType.MULTICLASS_CLASSIFICATION: np.digitize(raw, [-0.5, 0.5])}[task]
    request, later = cut(one_symbol(x, y), 900, 1100, task)
    request = replace(request, n_classes=3)
    model = ensemble.fit_ensemble(request)

    def loss(predictions: Values) -> float:
        if task is REGRESSION:
            return squared_error(predictions, later)
        table = predictions if predictions.ndim == 2 else np.column_stack([1.0 - predictions, predictions])
        return float(-np.log(table[np.arange(later.n_rows), later.y.astype(int)]).mean())

    assert (model.weights >= 0.0).all()
    assert loss(model.predict(later)) < np.mean([loss(member.predict(later)) for member in model.members.values()])


def test_the_parts_of_a_stack_keep_the_purge_of_the_request() -> None:
    generator = np.random.default_rng(13)
    request, _ = cut(one_symbol(generator.normal(size=(800, 2)), generator.normal(size=800)), 500, 600, purge=17)
    codes = request.train.time_codes
    met = np.zeros(codes.size, int)
    for train, inner, test in ensemble.walk_forward_parts(request, 3):
        assert codes[train].max() + 18 <= codes[inner].min()
        assert codes[inner].max() + 18 <= codes[test].min()
        met += test
    assert met.max() == 1
    assert met[codes >= 260].all()


def test_the_parts_of_a_stack_are_purged_by_the_ends_of_labels_that_missing_bars_stretch() -> None:
    """1,000 bars scattered over 1,500 times, labels of 10 bars: what lies a horizon apart in bars may still overlap in time."""
    generator = np.random.default_rng(15)
    codes = np.sort(generator.choice(1500, 1000, replace=False)).astype(np.int32)
    whole = sample_from_arrays(generator.normal(size=(990, 2)).astype(np.float32), generator.normal(size=990).astype(np.float32), codes[:-10])
    whole = replace(whole, label_end_codes=codes[10:])
    start = int(codes[800])
    train, inner = part_of(whole, whole.label_end_codes <= start), part_of(whole, whole.time_codes >= start)
    ends = train.label_end_codes
    for fitted, stopped, met in ensemble.walk_forward_parts(FitRequest(train, inner, REGRESSION, 2, {}, seed=3), 3):
        assert ends[fitted].max() <= train.time_codes[stopped].min()
        assert ends[stopped].max() <= train.time_codes[met].min()
        assert min(fitted.sum(), stopped.sum(), met.sum()) > 50


def meta_task(n_rows: int) -> tuple[FitRequest, Sample]:
    """Twenty short symbols whose coefficients scatter about common ones."""
    generator = np.random.default_rng(14)
    common = generator.normal(0.0, 0.5, 10)
    x = generator.normal(size=(20 * n_rows, 10))
    own = common + generator.normal(0.0, 0.3, size=(20, 10))
    symbols = np.repeat(np.arange(20, dtype=np.int32), n_rows)
    y = (x * own[symbols]).sum(axis=1) + generator.normal(size=symbols.size)
    sample = sample_from_arrays(x.astype(np.float32), y.astype(np.float32), symbol_codes=symbols)
    return cut(replace(sample, symbol_names=tuple(f"S{code}" for code in range(20))), 60, 85)


def test_an_adapted_initialisation_beats_local_ridges_and_plain_pooling_on_short_symbols() -> None:
    request, later = meta_task(400)
    model = meta_learning.fit_meta(request)
    error = squared_error(model.predict(later), later)
    local = np.empty(later.n_rows)
    for code in range(20):
        mine = replace(
            request, train=part_of(request.train, request.train.symbol_codes == code), inner=part_of(request.inner, request.inner.symbol_codes == code)
        )
        rows = later.symbol_codes == code
        local[rows] = FAMILIES["Ridge"].fit(mine).predict(part_of(later, rows))
    assert error < squared_error(local, later)
    assert error < 0.9 * squared_error(FAMILIES["Ridge"].fit(request).predict(later), later)
    assert model.fit_details["inner_gain_over_pooled"] > 0.0


def test_a_symbol_is_known_by_its_name_and_a_stranger_is_served_by_the_initialisation() -> None:
    request, later = meta_task(120)
    model = meta_learning.fit_meta(request)
    renumbered = replace(later, symbol_codes=(19 - later.symbol_codes).astype(np.int32), symbol_names=tuple(f"S{19 - code}" for code in range(20)))
    np.testing.assert_array_equal(model.predict(renumbered), model.predict(later))
    strangers = model.predict(replace(later, symbol_names=tuple(f"T{code}" for code in range(20))))
    raw = model.net.raw(model.initial, model.standardiser.apply(later.x))[:, 0]
    np.testing.assert_allclose(strangers, model.label_mean + model.label_scale * raw, rtol=1e-5)


def test_one_symbol_is_not_enough_to_learn_across_symbols() -> None:
    request, _ = cut(one_symbol(np.random.default_rng(0).normal(size=(400, 2)), np.arange(400.0)), 200, 300)
    with pytest.raises(FitError, match="1 symbol < 2"):
        meta_learning.fit_meta(request)


def test_the_gradient_of_the_net_is_that_of_finite_differences() -> None:
    generator = np.random.default_rng(15)
    net = meta_learning.Net(3, 4, REGRESSION, rate=1.0, weight_decay=0.0)
    flat, z, y, weight = generator.normal(size=net.n_parameters), generator.normal(size=(9, 3)), generator.normal(size=9), generator.uniform(0.5, 1.0, 9)
    share = weight / weight.sum()

    def loss(at: Values) -> float:
        return float(0.5 * (share * (net.raw(at, z)[:, 0] - y) ** 2).sum())

    numeric = np.array([(loss(flat + step) - loss(flat - step)) / 2e-6 for step in 1e-6 * np.eye(net.n_parameters)])
    np.testing.assert_allclose(flat - net.descend(flat, z, y, weight), numeric, atol=1e-7)


def test_a_standardiser_sees_training_rows_only() -> None:
    request, _ = break_task()
    model = FAMILIES["Ridge"].fit(request)
    assert isinstance(getattr(model, "standardiser", None), Standardiser)
    assert model.standardiser.fit_window == (0, 1199)  # type: ignore[attr-defined]


def test_a_fold_that_a_member_cannot_be_fitted_on_is_named() -> None:
    generator = np.random.default_rng(16)
    y = (np.arange(900) > 500).astype(np.float32)
    request, _ = cut(one_symbol(generator.normal(size=(900, 2)), y), 600, 800, BINARY)
    with pytest.raises(FitError, match=r"^Ensemble: fold 1: LightGBM: the training labels hold 1 distinct value"):
        ensemble.fit_ensemble(request)
