"""Settings travel through the environment and back, and find their configuration."""

from pathlib import Path

import pytest

from config.load import PACKAGED_CONFIG_DIR, ConfigError
from resources.settings import Settings, resolve_config_dir, settings_from_environment


def test_settings_come_back_from_their_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(output_dir="out", overrides=["seed=3", "routing.significance.max_q=0.05"], values_json='{"data.symbols": ["A"]}', training_plan_dir="p")
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert settings_from_environment() == settings


def test_values_come_before_overrides() -> None:
    config = Settings(values_json='{"seed": 1, "data.symbols": ["AAPL"]}', overrides=["seed=2"]).load()
    assert (config.seed, config.data.symbols) == (2, ("AAPL",))


def test_without_a_config_folder_the_packaged_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_config_dir(None) == PACKAGED_CONFIG_DIR
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "a.yaml").write_text("seed: 7\n", encoding="utf-8")
    assert Settings().load().seed == 7


def test_a_config_folder_that_is_named_and_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        Settings(config_dir=str(tmp_path / "none")).load()
