# %% [markdown]
# # From bars to an explained route
#
# Runs as a script, or cell by cell in an editor that knows `# %%`. A small panel keeps it to seconds.

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from routing_assets import api

# %% [markdown]
# ## Three symbols with persistent volatility
# Returns are noise, their size is not: a router that looks should train the volatility target and block the return.

# %%
folder = Path(tempfile.mkdtemp())
generator = np.random.default_rng(7)
times = pd.date_range("2014-01-01", periods=1_400, freq="B", tz="UTC")
log_volatility = pd.Series(generator.normal(size=times.size)).ewm(halflife=25).mean().to_numpy() * 3.0
for symbol in ("AAA", "BBB", "CCC"):
    returns = generator.normal(size=times.size) * 0.01 * np.exp(log_volatility)
    close = 100.0 * np.exp(np.cumsum(returns))
    opened = close * np.exp(-returns / 2)
    wick = 1.0 + np.abs(generator.normal(size=times.size)) * 0.004 * np.exp(log_volatility)
    bars = {"timestamp": times, "open": opened, "high": np.maximum(opened, close) * wick, "low": np.minimum(opened, close) / wick, "close": close}
    pd.DataFrame(bars).to_parquet(folder / f"{symbol}.parquet")

# %% [markdown]
# ## Load
# `problems` names symbols that could not be used, `notes` features that were left out, each with the reason.

# %%
settings = [
    "targets.builtin=[{builder: forward_return, horizon: 5d}, {builder: forward_realized_volatility, horizon: 5d}]",
    "features.include=[log_return_1, log_return_5, volatility_10, parkinson_5, parkinson_21]",
    "scoring.families=[Ridge]",
    "routing.min_sample_size={cross_sectional: 1000, symbol: 300, effective_cross_sectional: 60, effective_symbol: 40}",
]
loaded = api.load_panel(folder, overrides=settings)
print(loaded.panel.features.shape, loaded.problems)

# %% [markdown]
# ## Find candidates, route them
# One row a target (pooled) and one a pair (local); every score is out of sample, and the holdout is not read.

# %%
candidates = api.find_candidates(loaded)
routed = api.route_candidates(candidates, loaded.config)
print(routed.table()[["target", "symbol", "route", "cs_state", "local_state"]].to_string(index=False))

# %% [markdown]
# ## Explain one, and ask what if

# %%
print(api.explain(routed, "forward_return_5d", "AAA").text())
print(api.what_if(routed, {"routing.significance.method": "none", "routing.significance.max_q": 1.0}).text())
