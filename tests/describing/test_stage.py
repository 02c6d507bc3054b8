"""The stage that describes clips: each is measured once, whatever asks for it; unreadable ones are all told."""

from pathlib import Path

import numpy as np
import pytest

from asr_tv.audio.recordings import write_audio
from asr_tv.data.corpora.local import opened
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.describing import stage
from asr_tv.describing.stage import describe, read_described, sampled
from asr_tv.errors import DataError
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime


@pytest.fixture
def clips(tmp_path: Path) -> Manifest:
    rng, rows = np.random.default_rng(0), []
    for number, text in enumerate(["Press 1 to go on.", "Goodbye.", ""]):
        path = tmp_path / f"{number}.wav"
        wave = np.sin(np.arange(16_000) * 0.1) * np.where(np.arange(16_000) % 8_000 < 5_000, 0.2, 0)
        write_audio(path, (wave + 1e-3 * rng.standard_normal(16_000)).astype(np.float32), 16_000)
        rows.append(Utterance(f"clip {number}", text, audio=str(path)))
    return opened(Manifest("clips", tuple(rows)))


def test_rows_in_the_manifest_s_order_with_words_as_they_are_spoken(tmp_path: Path, clips: Manifest) -> None:
    runtime = Runtime(Store(tmp_path / "store"), workers=1)
    record = describe(runtime, clips, pitch=False)
    first, second, silent = read_described(record)
    assert [d.id for d in (first, second, silent)] == ["clip 0", "clip 1", "clip 2"]
    a, b = first.attributes, second.attributes
    assert a.words_a_second is not None
    assert a.speech_seconds is not None
    assert a.words_a_second * a.speech_seconds == pytest.approx(5, rel=1e-3)
    assert a.letters_a_second == pytest.approx(14 / a.speech_seconds, rel=1e-3)  # "press one to go on"
    assert b.words_a_second == pytest.approx(1 / (b.speech_seconds or 0), rel=1e-3)
    assert silent.attributes.words_a_second is None
    assert record.reads == (clips.ref(),)


def test_a_clip_is_measured_once_whatever_manifest_it_is_in(
    tmp_path: Path, clips: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime(Store(tmp_path / "store"), workers=1)
    before = read_described(describe(runtime, clips, pitch=False))
    monkeypatch.setattr(stage, "measure", None)
    part = Manifest("a part", clips.utterances[1:])
    assert read_described(describe(runtime, part, pitch=False)) == before[1:]
    with pytest.raises(TypeError):
        describe(runtime, part, pitch=True)


def test_what_was_measured_before_a_kill_is_kept(
    tmp_path: Path, clips: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, seen = Runtime(Store(tmp_path / "store"), workers=1), []
    real = stage.measure

    def killed_at_the_third(*arguments: object, **more: object) -> object:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(arguments)
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(stage, "measure", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        describe(runtime, clips, pitch=False)
    monkeypatch.setattr(stage, "measure", lambda *a, **k: seen.append(a) or real(*a, **k))
    describe(runtime, clips, pitch=False)
    assert len(seen) == 3


def test_every_unreadable_clip_is_told(tmp_path: Path, clips: Manifest) -> None:
    for number in (0, 2):
        (tmp_path / f"{number}.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError) as found:
        describe(Runtime(Store(tmp_path / "store"), workers=1), clips, pitch=False)
    assert [p.partition(":")[0] for p in found.value.problems] == ["utterance 'clip 0'", "utterance 'clip 2'"]


def test_a_sample_is_the_same_whatever_the_order(clips: Manifest) -> None:
    turned = Manifest("clips", tuple(reversed(clips.utterances)))
    assert {u.id for u in sampled(clips, 2)} == {u.id for u in sampled(turned, 2)}
    assert len(sampled(clips, 2)) == 2
