"""The source `sample`: daily bars of AAPL, FB, GOOG, IBM and MSFT that come with the package bokeh-sampledata.

Belongs here: reading that package, and undoing splits and dividends. Does not: any other source.
The data are public domain (Quandl WIKI), 2000-03-01 to 2013-03-01; FB begins 2012-05-18.
"""

import os
from pathlib import Path

import pandas as pd

from config.sections.data import DataConfig
from resources.market_data.names import require_known
from resources.market_data.records import Layout, MarketData, MarketFile

PRICES = ("open", "high", "low", "close")


def load_sample(config: DataConfig) -> MarketData:
    """Read the sample, adjusted for splits and dividends.

    The package states raw prices and an adjusted close. Raw, a 2-for-1 split reads as a loss of one half; so every price is multiplied by
    `adj_close / close` and the volume divided by it, which leaves returns as a holder had them and price times volume as traded.

    Raises
    ------
    DataError
        A symbol asked for is not in the sample.
    """
    from bokeh_sampledata.stocks import data as packaged

    names = sorted(packaged["ticker"].unique())
    require_known(config.symbols, names, "the embedded sample")
    wanted = names if config.symbols is None else sorted(config.symbols)
    frames = {symbol: _adjusted(packaged[packaged["ticker"] == symbol]) for symbol in wanted}
    files = list_sample(config)
    return MarketData(frames, Layout.SAMPLE, files[0].path, files, (), 1440, (), {})


def list_sample(config: DataConfig) -> tuple[MarketFile, ...]:
    """The one file of the package that holds the bars; `config` does not matter."""
    from bokeh_sampledata import package_path

    path = Path(package_path("stocks.csv.gz"))
    status = os.stat(path)
    return (MarketFile(str(path), None, status.st_size, status.st_mtime_ns),)


def _adjusted(rows: pd.DataFrame) -> pd.DataFrame:
    factor = (rows["adj_close"] / rows["close"]).to_numpy()
    frame = pd.DataFrame({"timestamp": rows["date"].to_numpy()})
    for price in PRICES:
        frame[price] = rows[price].to_numpy() * factor
    frame["volume"] = rows["volume"].to_numpy() / factor
    return frame
