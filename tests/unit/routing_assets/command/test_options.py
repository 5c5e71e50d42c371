"""What the words of a command line mean as settings."""

import json

from routing_assets.command.options import parse_words, settings_of


def test_given_candidates_change_no_setting_so_that_a_plan_can_be_made_again() -> None:
    words = ["plan", "--targets", "fwd_ret_5d", "--candidates", "candidates.parquet"]
    settings = settings_of(parse_words(words))
    assert settings.candidates_file == "candidates.parquet"
    assert json.loads(settings.values_json) == {"targets.only": ["fwd_ret_5d"]}
