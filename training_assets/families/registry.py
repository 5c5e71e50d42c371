"""The model families, by name: the one list that planner, trainer and tests go through.

Belongs here: one import and one line a family. Does not: anything a family does; importing this module loads no modelling library.
"""

import difflib

from training_assets.families import (
    change_point,
    cnn1d,
    ensemble,
    ftrl_proximal,
    gan,
    gmm_regime,
    lightgbm_model,
    lstm,
    meta_learning,
    mlp,
    multi_task,
    ngboost_model,
    quantile_lightgbm,
    reward_based,
    ridge,
    tab_cnn,
    tab_lstm,
    tab_transformer,
    transformer,
    vae,
    xgboost_model,
)
from training_assets.families.base import Family

FAMILIES: dict[str, Family] = {
    "Ridge": ridge.FAMILY,
    "LightGBM": lightgbm_model.FAMILY,
    "XGBoost": xgboost_model.FAMILY,
    "QuantileLightGBM": quantile_lightgbm.FAMILY,
    "RewardBased": reward_based.FAMILY,
    "NGBoost": ngboost_model.FAMILY,
    "GMMRegime": gmm_regime.FAMILY,
    "ChangePoint": change_point.FAMILY,
    "FTRLProximal": ftrl_proximal.FAMILY,
    "Ensemble": ensemble.FAMILY,
    "MetaLearning": meta_learning.FAMILY,
    "MLP": mlp.FAMILY,
    "VAE": vae.FAMILY,
    "GAN": gan.FAMILY,
    "MultiTask": multi_task.FAMILY,
    "CNN1D": cnn1d.FAMILY,
    "LSTM": lstm.FAMILY,
    "Transformer": transformer.FAMILY,
    "TabCNN": tab_cnn.FAMILY,
    "TabLSTM": tab_lstm.FAMILY,
    "TabTransformer": tab_transformer.FAMILY,
}


def find_family(name: str) -> Family:
    """The family of that name, upper or lower case alike.

    Raises
    ------
    KeyError
        No such family; names the nearest one, or all of them.
    """
    by_folded = {known.casefold(): family for known, family in FAMILIES.items()}
    family = by_folded.get(name.casefold())
    if family is None:
        close = difflib.get_close_matches(name.casefold(), by_folded, n=1)
        hint = f"did you mean '{by_folded[close[0]].name}'?" if close else f"known: {', '.join(FAMILIES)}"
        raise KeyError(f"family '{name}' is not in the registry; {hint}")
    return family
