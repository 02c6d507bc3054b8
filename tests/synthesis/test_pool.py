"""Memory that runs out, processes that die, and the pace that is told."""

import json
from pathlib import Path

import pytest

from asr_tv.config.run import SynthesisConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import DataError
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis import pool
from asr_tv.synthesis.pool import _pace
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.testing.speech import FakeSynthesizer, dummy_texts


def speak(root: Path, engine: FakeSynthesizer, texts: Manifest | None = None, workers: int = 1) -> Record:
    config = SynthesisConfig(takes=1)
    return synthesize(
        Runtime(Store(root), workers=workers), texts or dummy_texts(20), config, seed=7, synthesizer=engine
    )


class Counting(FakeSynthesizer):
    """Notes how many clips each call was for."""

    calls: list[int]

    def speak(self, requests):
        self.__dict__.setdefault("calls", []).append(len(requests))
        return super().speak(requests)


def test_a_batch_that_memory_does_not_hold_is_halved_and_stays_halved(tmp_path: Path):
    engine = Counting(batch_size=8, memory=3)
    record = speak(tmp_path / "halved", engine)
    assert engine.calls == [8, 4, *[2] * 10]
    assert record.details["executed_clips"] == 20
    assert record.digest == speak(tmp_path / "plain", FakeSynthesizer()).digest


def test_memory_that_does_not_suffice_for_one_loses_nothing(tmp_path: Path):
    class Greedy(FakeSynthesizer):
        def _clip(self, request):
            if request.text.endswith(("number 3.", "number 4.")):
                raise MemoryError("CUDA out of memory")
            return super()._clip(request)

    with pytest.raises(DataError) as caught:
        speak(tmp_path, Greedy(batch_size=4))
    first, second, advice = caught.value.problems
    assert first == (
        "dummy: id 'default-0003', voice tone: fake ran out of memory on this text alone: CUDA out of memory"
    )
    assert "'default-0004'" in second
    assert advice.startswith("dummy: 18 clips are finished and kept; run again with more memory")
    record = speak(tmp_path, FakeSynthesizer())
    assert (record.details["executed_clips"], record.details["reused_clips"]) == (2, 18)
    assert record.details["dropped_clips"] == 0


def test_a_sentence_that_ends_its_process_is_listed_and_the_rest_is_spoken(tmp_path: Path):
    texts = dummy_texts(50)
    bad = Utterance("bad", "This one crashes.", origin="text")
    record = speak(tmp_path, FakeSynthesizer(crashing="crashes"), Manifest("t", (*texts.utterances, bad)), workers=2)
    (dropped,) = json.loads((record.path / "dropped.json").read_text())
    assert dropped == {"id": "bad", "reason": "fake ended the process that spoke it", "clips": ["bad_tone_t0"]}
    assert record.details["clips"] == 50


def test_processes_that_end_again_and_again_are_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"crash again and again.*Try fewer processes with run\.workers"):
        speak(tmp_path, FakeSynthesizer(crashing="Please"), dummy_texts(50), workers=2)


@pytest.mark.parametrize(
    ("done", "total", "seconds", "told"),
    [
        (1, 10, 2.0, "0.5 clips/s, 18 s left"),
        (10, 1000, 1.0, "10.0 clips/s, 1 min 39 s left"),
        (10, 10, 4.0, "2.5 clips/s"),
    ],
)
def test_the_pace(done: int, total: int, seconds: float, told: str):
    assert _pace(done, total, seconds) == told


@pytest.mark.parametrize(("worth", "processes"), [(20, 2), (100, 1)])
def test_a_fast_engine_has_more_clips_to_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worth: int, processes: int
):
    opened: list[int] = []
    real = pool.open_pool
    monkeypatch.setattr(pool, "open_pool", lambda count, *rest: opened.append(count) or real(count, *rest))
    monkeypatch.setattr(FakeSynthesizer, "clips_worth_a_process", worth, raising=False)
    speak(tmp_path, FakeSynthesizer(), dummy_texts(40), workers=4)
    assert (opened or [1]) == [processes]
