"""The catalogue of configuration that must be refused: files, `--set` texts and options, each with the words that its message holds."""

from dataclasses import dataclass
from pathlib import Path

BILLION_LAUGHS = "a: &a [x, x]\n" + "".join(f"{after}: &{after} [*{before}, *{before}]\n" for before, after in zip("abcdefghi", "bcdefghij", strict=True))
DEEP = "features: " + "[" * 30 + "]" * 30 + "\n"


@dataclass(frozen=True)
class SettingCase:
    """`text` is a configuration file; `options` go to the command; `words` stand in the message."""

    words: tuple[str, ...]
    text: str | None = None
    options: tuple[str, ...] = ()


def given(value: str, *words: str) -> SettingCase:
    return SettingCase(words, options=("--set", value))


def written(text: str, *words: str) -> SettingCase:
    return SettingCase(("all.yaml", *words), text=text)


SETTING_CASES: dict[str, SettingCase] = {
    "file: not YAML": written("routing: [unclosed\n", "not valid YAML"),
    "file: tabs for indents": written("routing:\n\tdev_mode: true\n", "not valid YAML"),
    "file: a list at the top": written("- routing\n", "expected sections", "list"),
    "file: a text at the top": written("routing\n", "expected sections"),
    "file: a null byte": written("seed: 1\x00\n", "not valid YAML"),
    "file: an unknown section": written("rooting: {dev_mode: true}\n", "unknown key 'rooting'", "did you mean 'routing'?"),
    "file: an unknown key": written("routing: {min_sampel_size: {symbol: 5}}\n", "did you mean 'routing.min_sample_size'?"),
    "file: a key twice": written("routing:\n  dev_mode: true\n  dev_mode: false\n", "line 3", "key 'dev_mode' stands twice"),
    "file: a section twice": written("seed: 1\nseed: 2\n", "key 'seed' stands twice"),
    "file: an alias": written("seed: &s 1\ndata: {min_rows: *s}\n", "line 2", "aliases"),
    "file: a merge key": written("routing: &r {dev_mode: true}\ntraining:\n  <<: *r\n", "aliases"),
    "file: a bomb of aliases": written(BILLION_LAUGHS, "aliases"),
    "file: deep nesting": written(DEEP, "nested deeper than 20 levels"),
    "file: too long": written("# " + "x" * 1_100_000 + "\nseed: 1\n", "more than 1,000,000 characters"),
    "file: a Python object": written("seed: !!python/object/apply:os.system [ls]\n", "not valid YAML", "python/object"),
    "file: an unknown tag": written("seed: !secret 1\n", "not valid YAML"),
    "file: two documents": written("seed: 1\n---\nseed: 2\n", "not valid YAML"),
    "file: no date": written("seed: 2020-99-99\n", "not valid YAML"),
    "file: a key that is a list": written("? [a, b]\n: 1\n", "all.yaml"),
    "file: a key that is a number": written("1: {a: 2}\n", "all.yaml"),
    "file: a section that is null": written("routing: null\n", "routing"),
    "file: a section that is a number": written("routing: 5\n", "routing", "got 5"),
    "set: no value": given("seed", "expected section.key=value"),
    "set: no key": given("=5", "expected section.key=value"),
    "set: an unknown key": given("routing.significance.max_p=0.05", "--set", "unknown key 'routing.significance.max_p'", "max_q"),
    "set: an unknown section": given("rooting.max_q=0.05", "unknown key 'rooting'"),
    "set: below a value": given("seed.deep=1", "seed", "--set"),
    "set: dots only": given("...=1", "--set"),
    "set: not YAML": given("features.include=[a", "--set features.include", "not valid YAML"),
    "set: a Python object": given("seed=!!python/name:os.system", "not valid YAML"),
    "type: text for a number": given("seed=many", "seed", "'many'"),
    "type: a fraction for a count": given("seed=1.5", "seed", "1.5"),
    "type: a truth value for a list": given("targets.only=true", "targets.only", "truth value", "True"),
    "type: a truth value for a count": given("seed=true", "seed", "truth value", "True"),
    "type: a list for a group": given("routing=[1]", "routing", "a group of keys", "[1]"),
    "type: a text for a list": given("training.families=Ridge", "training.families", "'Ridge'"),
    "type: null for a number": given("targets.top_n=null", "targets.top_n", "None"),
    "range: a fraction above 1": given("routing.significance.max_q=1.5", "routing.significance.max_q", "less than or equal to 1", "1.5"),
    "range: below zero": given("seed=-1", "seed", "greater than or equal to 0", "-1"),
    "range: not a number": given("routing.significance.max_q=.nan", "routing.significance.max_q", "nan"),
    "range: infinite": given("routing.symbol.min_score.classification=.inf", "min_score.classification", "inf"),
    "range: no workers": given("resources.workers=0", "resources.workers", "greater than or equal to 1"),
    "range: no folds": given("splits.n_folds=0", "splits.n_folds"),
    "range: all is holdout": given("splits.holdout_fraction=1.0", "splits.holdout_fraction"),
    "range: a time limit of none": given("training.fit_timeout_seconds=0", "training.fit_timeout_seconds"),
    "word: no such method": given("routing.significance.method=bonferroni", "routing.significance.method", "fdr_bh", "'bonferroni'"),
    "word: no such source": given("data.source=oracle", "data.source", "'oracle'"),
    "word: no such stability": given("routing.stability_allowlist.symbol=[SOLID]", "stability_allowlist.symbol", "SOLID"),
    "word: no such format": given("routing.dump_plan_as=[pickle]", "routing.dump_plan_as", "pickle"),
    "word: no such family": given("training.families=[LightGMB]", "LightGMB", "LightGBM"),
    "word: no such builder": given("targets.builtin=[{builder: forward_retrun, horizon: 5d}]", "forward_retrun", "did you mean 'forward_return'?"),
    "word: no such feature": given("features.include=[rsi_41]", "features.include", "did you mean 'rsi_"),
    "word: no such target": SettingCase(("no target 'nothing'",), options=("--targets", "nothing")),
    "word: no such symbol": SettingCase(("'APPL'", "did you mean 'AAPL'?"), options=("--symbols", "APPL")),
    "store: a password in the address": given("resources.store=s3://me:geheim@bucket/a", "resources.store", "user or a password", "'s3://bucket/a'"),
    "horizon: no unit": given("targets.builtin=[{builder: forward_return, horizon: '5'}]", "horizon", "'5'"),
    "name: longer than a key may be": given(
        f"targets.builtin=[{{builder: forward_return, horizon: 5d, name: {'x' * 201}}}]", "targets.builtin", "201 characters > 200"
    ),
    "horizon: zero": given("targets.builtin=[{builder: forward_return, horizon: 0d}]", "0d"),
    "horizon: past any history": given("targets.builtin=[{builder: forward_return, horizon: 999999999999d}]", "999999999999d"),
    "horizon: an unknown parameter": given("targets.builtin=[{builder: triple_barrier, horizon: 5d, params: {kk: 1}}]", "no parameter 'kk'"),
    "pattern: no regular expression": given("targets.column_patterns=['(']", "targets.column_patterns", "no regular expression"),
    "conflict: purge shorter than the horizon": given("splits.purge_bars=1", "purge_bars", "at least 10"),
    "conflict: strong below min": given("routing.symbol.strong_score.classification=0.1", "strong_score.classification 0.1 < min_score.classification"),
    "conflict: too few snapshots": given("routing.stability_classification.n_bootstraps=1", "snapshots < 20"),
    "conflict: leaks pass outside of dev mode": given("routing.block_on_leakage=false", "block_on_leakage", "dev_mode"),
    "conflict: no target is left": given("targets.builtin=[]", "no target", "targets.builtin"),
    "conflict: no feature is left": given("features.builtin=false", "no feature is left"),
    "conflict: no family is left": given("training.families=[]", "training.families", "at least 1"),
    "conflict: two targets of one name": given(
        "targets.builtin=[{builder: forward_return, horizon: 5d}, {builder: forward_return, horizon: 5d}]", "two targets are named 'forward_return_5d'"
    ),
    "conflict: a folder is not named": given("data.source=directory", "data.path"),
    "option: workers is no number": SettingCase(("--workers", "two"), options=("--workers", "two")),
    "option: no such model type": SettingCase(("--model-types", "quantum"), options=("--model-types", "quantum")),
    "option: workers below 1": SettingCase(("resources.workers", "-3"), options=("--workers", "-3")),
    "option: top of none": SettingCase(("targets.top_n", "greater than or equal to 1"), options=("--top-n-targets", "0")),
    "option: a family in a list of commas": SettingCase(("'Ridge,LightGBM'",), options=("--families", "Ridge,LightGBM")),
    "range: a seed that no library holds": given("seed=99999999999999999999999999", "seed", "less than 2147483648"),
    "option: an unknown one near a known one": SettingCase(
        ("unrecognized arguments: --outptu-dir=x", "did you mean --output-dir?"), options=("--outptu-dir=x",)
    ),
    "option: a place of bytes that are no text": SettingCase(("--output-dir", "is no UTF-8"), options=("--output-dir", "a\udcff")),
    "option: an empty place": SettingCase(("--data-dir", "'' names no place"), options=("--data-dir", "")),
    "option: a null in a place": SettingCase(("--data-dir", "names no place"), options=("--data-dir", "a\0b")),
    "option: a configuration folder that is a file": SettingCase(("is a file, not a folder",), options=("--config-dir", __file__)),
    "option: a configuration folder without YAML": SettingCase(("holds no *.yaml",), options=("--config-dir", str(Path(__file__).parent))),
    "option: bytes that are no text": SettingCase(("no target '\\udcff'",), options=("--targets", "\udcff")),
    "option: a value too few": SettingCase(("--targets", "expected at least one argument"), options=("--targets",)),
    "option: no such configuration folder": SettingCase(("/nowhere/at/all", "--config-dir"), options=("--config-dir", "/nowhere/at/all")),
    "option: unknown": SettingCase(("--colour",), options=("--colour", "red")),
}
