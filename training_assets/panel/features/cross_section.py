"""Cross-section: the market, each symbol's place in it, and what is left of its moves without it.

The market is the equally weighted mean of the symbols that have a bar at the time, the symbol itself among them. Nothing of another symbol is
read that is not known at the row's bar close. Below `view.MIN_SYMBOLS` symbols at a time the values are NaN.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training_assets.panel.features.base import Feature
from training_assets.panel.features.momentum import log_return
from training_assets.panel.features.rolling import FloatVector
from training_assets.panel.features.view import BarView
from training_assets.panel.features.volatility import parkinson_variance
from training_assets.panel.features.volume import dollar_volume, illiquidity

Formula = Callable[[BarView], FloatVector]

# A window of market returns holds at least this share of known ones: thin hours of one or two symbols do not blank a month.
MIN_KNOWN_SHARE = 0.8


def _market_return(n_bars: int) -> Formula:
    """Sum of the market's returns at the symbol's own last `n_bars` bars."""

    def compute(view: BarView) -> FloatVector:
        if n_bars == 1:
            return view.market_returns
        known = np.isfinite(view.market_returns)
        total = view.total(np.where(known, view.market_returns, 0.0), n_bars)
        return np.where(view.mean(known.astype(np.float64), n_bars) >= MIN_KNOWN_SHARE, total, np.nan)

    return compute


def _market_volatility(view: BarView) -> FloatVector:
    return np.sqrt(_market_fit(view, 21).market_variance)


def _market_volatility_ratio(view: BarView) -> FloatVector:
    return np.log(_market_fit(view, 21).market_variance / _market_fit(view, 126).market_variance) / 2.0


def _breadth(n_bars: int) -> Formula:
    """Share of symbols that rose over the span less the share that fell."""

    def compute(view: BarView) -> FloatVector:
        moves = log_return(n_bars)(view)
        return view.cross_mean(np.sign(moves))

    return compute


def _dispersion(n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return view.cross_std(log_return(n_bars)(view))

    return compute


def _excess(formula: Formula) -> Formula:
    def compute(view: BarView) -> FloatVector:
        values = formula(view)
        return values - view.cross_mean(values)

    return compute


def _z_score(formula: Formula) -> Formula:
    def compute(view: BarView) -> FloatVector:
        values = formula(view)
        return (values - view.cross_mean(values)) / view.cross_std(values)

    return compute


def _rank(formula: Formula) -> Formula:
    return lambda view: view.cross_rank(formula(view))


@dataclass(frozen=True)
class MarketFit:
    """Least squares of a symbol's returns on the market's over a window, one fit a row; every array of shape (n_rows,)."""

    n_known: FloatVector
    own_mean: FloatVector
    market_mean: FloatVector
    own_variance: FloatVector
    market_variance: FloatVector
    covariance: FloatVector

    @property
    def beta(self) -> FloatVector:
        return self.covariance / self.market_variance

    @property
    def residual_volatility(self) -> FloatVector:
        return np.sqrt(np.maximum(self.own_variance - self.covariance**2 / self.market_variance, 0.0))

    @property
    def correlation(self) -> FloatVector:
        return np.clip(self.covariance / np.sqrt(self.own_variance * self.market_variance), -1.0, 1.0)


def _market_fit(view: BarView, n_bars: int, delay_bars: int = 0) -> MarketFit:
    """Moments over the symbol's last `n_bars` bars, of those with a market return; the market `delay_bars` earlier on request.

    Returns are small against their spread, so sums of squares lose nothing to cancellation here, and unlike merged moments they
    can leave out single bars.
    """
    market = view.lagged(view.market_returns, delay_bars) if delay_bars else view.market_returns
    known = np.isfinite(view.returns) & np.isfinite(market)
    own, market = np.where(known, view.returns, 0.0), np.where(known, market, 0.0)
    count = view.total(known.astype(np.float64), n_bars)
    count[count < MIN_KNOWN_SHARE * n_bars] = np.nan
    own_mean, market_mean = view.total(own, n_bars) / count, view.total(market, n_bars) / count
    own_variance = view.total(own**2, n_bars) / count - own_mean**2
    market_variance = view.total(market**2, n_bars) / count - market_mean**2
    covariance = view.total(own * market, n_bars) / count - own_mean * market_mean
    return MarketFit(count, own_mean, market_mean, np.maximum(own_variance, 0.0), np.maximum(market_variance, 0.0), covariance)


def _beta(n_bars: int) -> Formula:
    return lambda view: _market_fit(view, n_bars).beta


def _market_correlation(view: BarView) -> FloatVector:
    return _market_fit(view, 63).correlation


def _residual_volatility(view: BarView) -> FloatVector:
    return _market_fit(view, 63).residual_volatility


def _delayed_correlation(view: BarView) -> FloatVector:
    """Correlation with the market's previous bar: slow news (Hou and Moskowitz 2005)."""
    return _market_fit(view, 63, delay_bars=1).correlation


def _beta_change(view: BarView) -> FloatVector:
    return _market_fit(view, 21).beta - _market_fit(view, 126).beta


def _residual_momentum(n_bars: int, skip_bars: int) -> Formula:
    """Sum of residuals over the last `n_bars` bars less those of the last `skip_bars`, in residual volatilities (Blitz, Huij and Martens 2011).

    Beta and its alpha are fitted over 126 bars, so that the residuals of a shorter span need not sum to zero.
    """

    def compute(view: BarView) -> FloatVector:
        fit = _market_fit(view, 126)
        known = np.isfinite(view.market_returns)
        own = np.where(known, view.returns, 0.0)
        market = np.where(known, view.market_returns, 0.0)
        sums = [view.total(part, n_bars) - (view.total(part, skip_bars) if skip_bars else 0.0) for part in (own, market, known.astype(np.float64))]
        residual = (sums[0] - sums[2] * fit.own_mean) - fit.beta * (sums[1] - sums[2] * fit.market_mean)
        return residual / (fit.residual_volatility * math.sqrt(n_bars - skip_bars))

    return compute


def _parkinson_21(view: BarView) -> FloatVector:
    return np.sqrt(view.mean(parkinson_variance(view), 21))


def _below_high(view: BarView) -> FloatVector:
    return view.close / view.maximum(view.high, 252)


def _relative_volume(view: BarView) -> FloatVector:
    return view.mean(view.volume, 5) / view.mean(view.volume, 63)


def _money_traded(view: BarView) -> FloatVector:
    return view.mean(dollar_volume(view), 21)


def _illiquidity(view: BarView) -> FloatVector:
    return illiquidity(view, 21)


def _momentum(view: BarView) -> FloatVector:
    return view.lagged(view.log_close, 21) - view.lagged(view.log_close, 252)


def _entry(name: str, lookback_bars: int, compute: Formula, description: str, inputs: tuple[str, ...] = ("close",), lag_bars: int = 0) -> Feature:
    return Feature(name, inputs, lookback_bars, compute, description, lag_bars, cross_sectional=True)


_CLOSE_VOLUME = ("close", "volume")

CROSS_SECTION: tuple[Feature, ...] = (
    *(_entry(f"market_return_{n}", n, _market_return(n), f"market return over {n} bars") for n in (1, 5, 21, 63)),
    _entry("market_volatility_21", 21, _market_volatility, "standard deviation of 21 market returns"),
    _entry("market_volatility_ratio_21_126", 126, _market_volatility_ratio, "log of 21-bar over 126-bar market volatility"),
    *(_entry(f"breadth_{n}", n, _breadth(n), f"share of symbols up less down over {n} bars") for n in (1, 21)),
    *(_entry(f"dispersion_{n}", n, _dispersion(n), f"spread of {n}-bar returns over the symbols") for n in (1, 21)),
    *(_entry(f"excess_return_{n}", n, _excess(log_return(n)), f"{n}-bar return less the symbols' mean") for n in (1, 5, 21, 63, 126)),
    *(_entry(f"return_rank_{n}", n, _rank(log_return(n)), f"rank of the {n}-bar return, -1 to 1") for n in (1, 5, 21, 63, 126, 252)),
    *(_entry(f"return_z_{n}", n, _z_score(log_return(n)), f"{n}-bar return in spreads of the symbols") for n in (1, 5, 21)),
    _entry("momentum_rank_252_21", 231, _rank(_momentum), "rank of the return from 252 to 21 bars ago", lag_bars=21),
    _entry("volatility_rank_21", 21, _rank(lambda view: view.volatility_21), "rank of the 21-bar volatility"),
    _entry("volatility_z_21", 21, _z_score(lambda view: np.log(view.volatility_21)), "log 21-bar volatility in spreads of the symbols"),
    _entry("range_rank_21", 20, _rank(_parkinson_21), "rank of the 21-bar range volatility", ("high", "low")),
    _entry("below_high_rank_252", 251, _rank(_below_high), "rank of close over the 252-bar high (George and Hwang 2004)", ("high", "close")),
    _entry("relative_volume_rank_5_63", 62, _rank(_relative_volume), "rank of 5-bar over 63-bar volume", ("volume",)),
    _entry("dollar_volume_rank_21", 20, _rank(_money_traded), "rank of money traded in 21 bars", _CLOSE_VOLUME),
    _entry("illiquidity_rank_21", 21, _rank(_illiquidity), "rank of 21-bar illiquidity", _CLOSE_VOLUME),
    *(_entry(f"beta_{n}", n, _beta(n), f"beta to the market over {n} bars") for n in (63, 126, 251)),
    _entry("beta_change_21_126", 126, _beta_change, "21-bar less 126-bar beta"),
    _entry("market_correlation_63", 63, _market_correlation, "correlation with the market over 63 bars"),
    _entry("delayed_market_correlation_63", 64, _delayed_correlation, "correlation with the market one bar earlier over 63 bars"),
    _entry("residual_volatility_63", 63, _residual_volatility, "volatility left without the market"),
    *(
        _entry(
            f"residual_momentum_{n}_{skip}", 126, _residual_momentum(n, skip), f"residual return of {n} bars without the last {skip}, in residual volatilities"
        )
        for n, skip in ((1, 0), (5, 0), (21, 0), (63, 21))
    ),
)
