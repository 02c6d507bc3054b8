"""General speech is divided by sentence, and the recipe that keeps it within the bound is taken."""

from pathlib import Path

import pytest

from asr_tv.config.run import AdaptConfig, Recipe
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import ConfigError
from asr_tv.pipeline.bound import least_kept
from asr_tv.pipeline.material import split_general
from asr_tv.testing.runs import fake_config

PLAIN = str.lower


def general(*texts: str, speaker: str | None = None) -> Manifest:
    return Manifest("general", tuple(Utterance(f"g{n}", text, speaker=speaker) for n, text in enumerate(texts)))


@pytest.fixture
def config(tmp_path: Path) -> AdaptConfig:
    return fake_config(tmp_path)


def test_dev_chooses_and_test_reports_and_no_sentence_is_in_both(config: AdaptConfig) -> None:
    said = [f"sentence {n // 2}" for n in range(40)]  # each twice, by the same speaker
    dev, test = split_general(config, general(*said, speaker="the only one"), PLAIN)
    assert dev is not None
    assert test is not None
    assert len(dev) + len(test) == 40
    assert not {u.text for u in dev} & {u.text for u in test}
    assert len(dev) == len(test) == 20


def test_without_dev_all_is_reported_and_nothing_chooses(tmp_path: Path) -> None:
    whole = general("one", "two", "three")
    assert split_general(fake_config(tmp_path, forgetting__dev=0), whole, PLAIN) == (None, whole)
    given = {"method": "fixed", "fixed": {"scaling_coef": 0.5, "pretrained_weight": 0.2}}
    assert split_general(fake_config(tmp_path, selection=given), whole, PLAIN) == (None, whole)
    assert split_general(fake_config(tmp_path), None, PLAIN) == (None, None)


def test_too_few_sentences_are_refused_with_the_way_out(config: AdaptConfig) -> None:
    with pytest.raises(ConfigError, match=r"3 recordings of fewer than \d+ sentences.*or set forgetting.dev to 0"):
        split_general(config, general("one", "one", "ONE"), PLAIN)


@pytest.mark.parametrize(
    ("rates", "taken"),
    [
        ({0.2: 0.10, 0.35: 0.09}, 0.2),
        ({0.2: 0.12, 0.35: 0.10, 0.5: 0.09}, 0.35),
        ({0.2: 0.15, 0.35: 0.12, 0.5: 0.13}, 0.35),  # none within: the one that loses least
    ],
)
def test_the_least_share_within_the_bound(rates: dict[float, float], taken: float) -> None:
    recipes = {Recipe(pretrained_weight=weight): wer for weight, wer in rates.items()}
    assert least_kept(recipes, 0.1).pretrained_weight == taken
