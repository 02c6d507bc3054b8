"""Sentences kept out of training, and who may speak them."""

import pytest

from asr_tv.config.run import AdaptConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import ConfigError
from asr_tv.pipeline.proxy.sentences import keep_out
from asr_tv.pipeline.proxy.voices import proxy_speech
from asr_tv.text.normalize import get_normalizer

NORMALIZE = get_normalizer("basic")


def config(**settings: object) -> AdaptConfig:
    return AdaptConfig(name="t", model="m", selection={"method": "fixed", "fixed": {"scaling_coef": 0}}, **settings)


def texts(count: int) -> Manifest:
    rows = [Utterance(f"u{n}", f"Sentence {n // 2} of them.", domain="t", split="train") for n in range(count)]
    return Manifest("target texts", tuple(rows))


def test_nothing_is_kept_out_where_no_proxy_is_asked_for():
    given = texts(10)
    assert keep_out(config(), given, NORMALIZE) == (given, None)


def test_a_sentence_is_on_one_side_only_and_none_is_lost():
    given = texts(60)
    train, proxy = keep_out(config(proxy={"share": 0.3}), given, NORMALIZE)
    assert proxy is not None
    assert sorted(u.id for u in (*train, *proxy)) == sorted(u.id for u in given)
    assert not {u.text for u in train} & {u.text for u in proxy}
    assert 0.15 < len(proxy) / len(given) < 0.45
    assert keep_out(config(proxy={"share": 0.3}), given, NORMALIZE)[1] == proxy


def test_the_proxy_needs_an_engine_that_training_has_not_heard():
    assert proxy_speech(config(proxy={})).voices == ("hibari:heart",)
    with pytest.raises(ConfigError, match=r"proxy\.voices: hibari speaks the training's clips, too"):
        proxy_speech(config(proxy={}, synthesis={"voices": ["en_US-joe-medium", "hibari:heart"]}))
