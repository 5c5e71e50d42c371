"""Settings told from the schema: every leaf once, in words that are right, and text that reads back as the same settings."""

from pathlib import Path

import pytest

from config.load import PACKAGED_CONFIG_DIR, known_keys, load_config, parse_yaml
from config.reference import SECTION_FILES, render_section, settings_reference, yaml_line
from config.schema import Config

BY_KEY = {setting.key: setting for setting in settings_reference()}


def test_every_leaf_of_the_schema_is_told_once_with_an_effect() -> None:
    leaves = [key for key in known_keys() if not any(other.startswith(f"{key}.") for other in known_keys())]
    assert sorted(BY_KEY) == sorted(leaves)
    assert len(settings_reference()) == len(leaves)
    assert [key for key, setting in BY_KEY.items() if not setting.effect.strip() or not setting.kind] == []


def test_the_file_of_a_section_is_the_one_it_is_shipped_in() -> None:
    assert set(SECTION_FILES) == set(Config.model_fields)
    for section, name in SECTION_FILES.items():
        document = parse_yaml((PACKAGED_CONFIG_DIR / name).read_text(encoding="utf-8"), name)
        assert section in document or section == "seed"


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("splits.purge_bars", "whole number or null, bars, >= 0"),
        ("splits.n_folds", "whole number, >= 2, <= 50"),
        ("scoring.confidence", "number, > 0.5, < 1"),
        ("routing.significance.method", "one of `fdr_bh` `fdr_by` `none`"),
        ("routing.symbol.min_score.classification", "number, AUC"),
        ("routing.cross_sectional.strong_score.regression.long", "number or null, rank IC"),
        ("features.exclude", "list of text"),
        ("targets.builtin", "list of {builder, horizon, name, params}"),
        ("training.hyperparameters", "mapping of name to mapping of name to value"),
    ],
)
def test_the_value_of_a_setting_is_told_with_type_unit_and_bounds(key: str, kind: str) -> None:
    assert BY_KEY[key].kind == kind


def test_a_default_is_yaml_that_reads_as_the_default() -> None:
    overrides = [f"{key}={setting.default}" for key, setting in BY_KEY.items()]
    assert load_config(None, overrides) == Config()


def test_rendered_sections_read_back_as_the_same_settings(tmp_path: Path) -> None:
    changed = load_config(
        None,
        [
            "seed=7",
            "data.path='a: b # c'",
            "targets.builtin=[{builder: triple_barrier, horizon: 3d, name: 'x: y', params: {k: 0.5}}]",
            "targets.supplied={y_up: {horizon: 5d, task_type: BINARY_CLASSIFICATION}}",
            "leakage.accept=[{target: '*', feature: f, detector: near_copy, reason: 'looked at, is no leak'}]",
            "training.hyperparameters={LightGBM: {max_rounds: 10}}",
            "splits.purge_bars=20",
        ],
    )
    for section in SECTION_FILES:
        (tmp_path / f"{section}.yaml").write_text(render_section(section, changed, {"targets.only": "a note"}), encoding="utf-8")
    assert load_config(tmp_path) == changed
    assert "# a note\n  only: null" in (tmp_path / "targets.yaml").read_text(encoding="utf-8")


def test_a_value_on_one_line_stays_on_one_line() -> None:
    assert yaml_line(("a", "b")) == "[a, b]"
    assert yaml_line(None) == "null"
    assert "\n" not in yaml_line(tuple(f"name_{number}" for number in range(500)))
