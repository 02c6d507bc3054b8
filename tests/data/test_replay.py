from dataclasses import replace

import numpy as np
import pytest

from asr_tv.config.run import ReplayConfig
from asr_tv.data.manifest import Manifest
from asr_tv.data.replay import drawn_texts, even_shares, with_replay
from asr_tv.errors import ConfigError
from asr_tv.testing.speech import dummy_texts
from asr_tv.text.word_model import train_words

TARGET = Manifest("target", tuple(replace(u, origin="synthetic") for u in dummy_texts(10, "shop")))
REAL = Manifest(
    "real",
    tuple(replace(u, origin="real") for d, n in (("bank", 9), ("bus", 9), ("zoo", 1)) for u in dummy_texts(n, d)),
)
CLIPS = Manifest("clips", tuple(replace(u, id=f"{u.id}~c", origin="synthetic") for u in REAL))


def replayed(share: float, seed: int = 1, **more: str) -> Manifest:
    return with_replay(TARGET, REAL, CLIPS, ReplayConfig(share=share, **more), seed)  # type: ignore[arg-type]


def test_no_share_is_the_clips_themselves() -> None:
    assert replayed(0.0) is TARGET


@pytest.mark.parametrize(("share", "count"), [(0.05, 1), (0.3, 3), (0.31, 4), (1.0, 10), (9.0, 19)])
def test_the_number_is_the_share_rounded_up_and_no_more_than_there_is(share: float, count: int) -> None:
    assert len(replayed(share)) == 10 + count


def test_domains_share_evenly_and_a_small_one_leaves_its_part() -> None:
    domains = [u.domain for u in replayed(0.7) if u.domain != "shop"]
    assert {d: domains.count(d) for d in domains} == {"bank": 3, "bus": 3, "zoo": 1}


def test_origin_says_from_where() -> None:
    assert {u.origin for u in replayed(0.5) if u.domain != "shop"} == {"real"}
    assert {u.id[-2:] for u in replayed(0.5, origin="synthetic") if u.domain != "shop"} == {"~c"}


def test_the_draw_is_of_the_seed_and_not_of_the_order() -> None:
    backwards = Manifest("real", tuple(reversed(REAL.utterances)))
    again = with_replay(TARGET, backwards, CLIPS, ReplayConfig(share=0.5), 1)
    assert again.digest == replayed(0.5).digest
    assert replayed(0.5, seed=2).digest != replayed(0.5).digest


def test_without_source_speech_there_is_nothing_to_replay() -> None:
    empty = Manifest("none", ())
    with pytest.raises(ConfigError, match="no source speech"):
        with_replay(TARGET, empty, empty, ReplayConfig(share=0.1), 1)


def test_a_number_is_divided_evenly_and_the_first_domains_take_the_rest() -> None:
    assert even_shares(7, ("bank", "bus", "zoo")) == {"bank": 3, "bus": 2, "zoo": 2}
    assert even_shares(2, ("bank", "bus", "zoo")) == {"bank": 1, "bus": 1, "zoo": 0}


def test_texts_are_drawn_by_the_seed_and_each_counts_once() -> None:
    twice = Manifest("texts", (*REAL, *(replace(u, id=f"{u.id}-again") for u in REAL)))
    drawn = drawn_texts(twice, {"bank": 4, "zoo": 3}, 1)
    assert [u.domain for u in drawn].count("bank") == 4
    assert [u.domain for u in drawn].count("zoo") == 1
    assert len({u.text for u in drawn if u.domain == "bank"}) == 4
    backwards = Manifest("texts", tuple(reversed(twice.utterances)))
    assert {u.text for u in drawn_texts(backwards, {"bank": 4, "zoo": 3}, 1)} == {u.text for u in drawn}
    assert {u.text for u in drawn_texts(twice, {"bank": 4}, 2)} != {u.text for u in drawn if u.domain == "bank"}


@pytest.mark.parametrize("origin", ["texts", "generated"])
def test_what_was_spoken_to_be_replayed_is_taken_whole(origin: str) -> None:
    clips = Manifest("spoken", CLIPS.utterances[:5])
    found = with_replay(TARGET, REAL, clips, ReplayConfig(share=0.1, origin=origin), 1)  # type: ignore[arg-type]
    assert [u for u in found if u.domain != "shop"] == list(clips)
    assert with_replay(TARGET, REAL, clips, ReplayConfig(origin=origin), 1) is TARGET  # type: ignore[arg-type]


def test_what_is_replayed_keeps_a_bag_of_words_from_forgetting() -> None:
    """Two domains in sequence: nothing, sentences of a text model, both together (LAMOL's order)."""
    forgetting = {kind: forgot(kind) for kind in ("none", "generated", "joint")}
    assert forgetting["none"] > forgetting["generated"] + 0.1
    assert forgetting["generated"] >= forgetting["joint"] - 0.05


def forgot(kind: str) -> float:
    """The loss of accuracy on the first domain of a classifier of words, told apart by which of two topics they are of.

    The same words mean the opposite in the second domain, but for one that names the domain.
    """
    random = np.random.default_rng(3)
    first, second = ([sentence(domain, random) for _ in range(120)] for domain in (0, 1))
    weights = learnt(np.zeros((len(VOCABULARY), 2)), first)
    before = accuracy(weights, first)
    model = {label: train_words([text for text, own in first if own == label], 3) for label in (0, 1)}
    written = [(model[n % 2].draw(random), n % 2) for n in range(120)]
    replay = {"none": [], "generated": written, "joint": first}[kind]
    return before - accuracy(learnt(weights, [*second, *replay]), first)


VOCABULARY = ("bank", "zoo", "up", "down", "bank up", "bank down", "zoo up", "zoo down")


def sentence(domain: int, random: np.random.Generator) -> tuple[list[str], int]:
    label = int(random.integers(2))
    place, word = VOCABULARY[domain], VOCABULARY[2 + (label ^ domain)]
    return [word, place, f"{place} {word}"], label


def features(words: list[str]) -> np.ndarray:
    """A pair counts half of a word, so that the words are learnt first and later domains interfere."""
    return np.array([(0.5 if " " in word else 1.0) * (word in words) for word in VOCABULARY])


def learnt(weights: np.ndarray, data: list[tuple[list[str], int]]) -> np.ndarray:
    """Logistic regression, a few passes."""
    weights = weights.copy()
    for _ in range(30):
        for words, label in data:
            x = features(words)
            scores = np.exp(x @ weights - np.max(x @ weights))
            weights += 0.1 * np.outer(x, np.eye(2)[label] - scores / scores.sum())
    return weights


def accuracy(weights: np.ndarray, data: list[tuple[list[str], int]]) -> float:
    return float(np.mean([int(np.argmax(features(words) @ weights)) == label for words, label in data]))
