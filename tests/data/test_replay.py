from dataclasses import replace

import pytest

from asr_tv.config.run import ReplayConfig
from asr_tv.data.manifest import Manifest
from asr_tv.data.replay import with_replay
from asr_tv.errors import ConfigError
from asr_tv.testing.speech import dummy_texts

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
