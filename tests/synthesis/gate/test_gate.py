"""The stage on planted clips and a planted judge; and on a real voice with planted faults, marked so."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr_tv.audio.clipping import clipped_share
from asr_tv.audio.recordings import read_audio, write_audio
from asr_tv.config.run import GateConfig, SynthesisConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.manifest import Manifest, Utterance, concatenate
from asr_tv.errors import DataError
from asr_tv.store.payload import DROPPED
from asr_tv.store.results import Identity, Produced, Record, Store, file_digest, result_problems
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.gate import gate as stage
from asr_tv.synthesis.gate.gate import AGAIN, VERDICTS, Round, gate, sentences_to_repeat
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.testing import faults
from asr_tv.testing.speech import EnergyDetector
from asr_tv.testing.whisper import tiny_whisper

RATE = 16_000
TEXTS = ("leave a message after the tone", "press one for the next message", "your balance is very low today")


@pytest.fixture(autouse=True)
def _detector(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real" not in request.keywords:
        monkeypatch.setattr(stage, "SpeechDetector", EnergyDetector)


def spoken(seconds: float, *, before: float = 0.0, after: float = 0.0, gain: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    wave = gain * np.sin(2 * np.pi * (200 + 40 * time) * time) * (1 + 0.3 * np.sin(2 * np.pi * 5 * time))
    silence = [np.zeros(round(s * RATE)) for s in (before, after)]
    return np.concatenate((silence[0], wave, silence[1])).astype(np.float32)


def written(folder: Path, text: str, take: int, wave: np.ndarray | None = None) -> Utterance:
    wave = spoken(0.06 * (len(text.replace(" ", "")) + 3)) if wave is None else wave
    path = folder / f"{text} {take}.flac"
    write_audio(path, wave, RATE)
    return Utterance(
        f"{text} {take}", text, audio=str(path), domain="d", origin="synthetic", speaker="joe",
        duration=wave.size / RATE, audio_digest=file_digest(path)
    )  # fmt: skip


def heard(store: Store, clips: Manifest, **changed: str) -> Record:
    """A transcription that hears each clip's text, but for those changed."""
    rows = [{"id": u.id, "text": changed.get(u.id, u.text)} for u in clips]

    def produce(folder: Path) -> Produced:
        (folder / "hyp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return Produced()

    return store.build(Identity("transcribe", 1, {"rows": rows}), produce)


@pytest.fixture
def judge(tmp_path: Path) -> Record:
    def produce(folder: Path) -> Produced:
        tiny_whisper(folder / "model")
        return Produced((), {"source": "tiny"})

    return Store(tmp_path / "store").build(Identity("checkpoint", 1, {}), produce)


def corpus(folder: Path, *special: Utterance) -> Manifest:
    planted = {u.id: u for u in special}
    ids = [(f"{text} {take}", text, take) for text in TEXTS for take in range(2)]
    return Manifest("target clips", tuple(planted.get(i) or written(folder, t, n) for i, t, n in ids))


def verdicts(record: Record) -> dict[str, dict]:
    return {row["id"]: row for row in map(json.loads, (record.path / VERDICTS).read_text().splitlines())}


def run(tmp_path: Path, judge: Record, *rounds: Round, **settings: object) -> Record:
    return gate(Runtime(Store(tmp_path / "store")), rounds, GateConfig(**settings), judge, engine="fake")  # type: ignore[arg-type]


def test_good_clips_pass_as_they_are(tmp_path: Path, judge: Record):
    clips = corpus(tmp_path)
    record = run(tmp_path, judge, Round(clips, heard(Store(tmp_path / "store"), clips)))
    assert stored_manifest(record).digest == clips.digest
    assert (record.details["clips"], record.details["trimmed"], record.details["lost_texts"]) == (6, 0, [])
    assert record.details["voices"] == {"joe": {"clips": 6, "kept": 6, "rate": 1.0}}
    assert record.details["judge"] == "tiny"
    assert record.reads == (clips.ref(),)
    assert json.loads((record.path / DROPPED).read_text()) == json.loads((record.path / AGAIN).read_text()) == []
    assert result_problems(record.path) == []


def test_faults_are_dropped_with_reasons_and_asked_for_again(tmp_path: Path, judge: Record):
    rng = np.random.default_rng(0)
    bad = written(tmp_path, TEXTS[0], 1, faults.clipped(spoken(1.7), rng))
    clips = corpus(tmp_path, bad)
    hypotheses = heard(Store(tmp_path / "store"), clips, **{f"{TEXTS[1]} 0": TEXTS[2]})
    record = run(tmp_path, judge, Round(clips, hypotheses))
    rows = verdicts(record)
    assert {name: row["reasons"] for name, row in rows.items() if not row["kept"]} == {
        f"{TEXTS[0]} 1": ["clipped"],
        f"{TEXTS[1]} 0": ["other words than its text"],
    }
    assert [row["id"] for row in json.loads((record.path / DROPPED).read_text())] == [bad.id, f"{TEXTS[1]} 0"]
    assert len(stored_manifest(record)) == 4
    texts = Manifest("t", tuple(Utterance(f"t{n}", t, domain="d", origin="text") for n, t in enumerate(TEXTS)))
    assert [u.id for u in sentences_to_repeat(record, texts)] == ["t0", "t1"]


def test_a_retake_takes_the_place_of_a_rejected_clip(tmp_path: Path, judge: Record):
    store = Store(tmp_path / "store")
    clips = corpus(tmp_path)
    first = Round(clips, heard(store, clips, **{f"{TEXTS[1]} 0": TEXTS[2]}))
    again = Manifest("again", (written(tmp_path, TEXTS[1], 2), written(tmp_path, TEXTS[0], 2)))
    record = run(tmp_path, judge, first, Round(again, heard(store, again)))
    kept = [u.id for u in stored_manifest(record)]
    assert len(kept) == 6
    assert f"{TEXTS[1]} 2" in kept
    assert f"{TEXTS[0]} 2" not in kept, "a text never has more clips than were planned"
    assert record.details["retakes"] == 2


def test_long_silence_at_the_ends_is_cut_off(tmp_path: Path, judge: Record):
    length = 0.06 * (len(TEXTS[0].replace(" ", "")) + 3)
    padded = written(tmp_path, TEXTS[0], 0, spoken(length, before=0.3, after=1.5))
    clips = corpus(tmp_path, padded)
    record = run(tmp_path, judge, Round(clips, heard(Store(tmp_path / "store"), clips)))
    trimmed = read_manifest(record.path / "manifest.jsonl", outside=True).by_id[padded.id]  # checks duration and digest
    assert trimmed.duration == pytest.approx(0.3 + length + 0.1, abs=0.05)
    assert np.allclose(
        read_audio(Path(trimmed.audio)), read_audio(Path(padded.audio))[: round(trimmed.duration * RATE)]
    )
    assert record.details["trimmed"] == 1
    assert verdicts(record)[padded.id]["kept"]


def test_the_same_clips_are_judged_once_and_another_threshold_judges_again(tmp_path: Path, judge: Record):
    clips = corpus(tmp_path)
    one = Round(clips, heard(Store(tmp_path / "store"), clips))
    record = run(tmp_path, judge, one)
    assert run(tmp_path, judge, one, retries=3, ablation=False).cached
    assert run(tmp_path, judge, one, cer_excess=0.4).key != record.key


def test_a_clip_the_judge_did_not_hear_is_an_error(tmp_path: Path, judge: Record):
    clips = corpus(tmp_path)
    part = Manifest("part", clips.utterances[1:])
    with pytest.raises(DataError, match=f"{TEXTS[0]} 0: the judge heard nothing"):
        run(tmp_path, judge, Round(clips, heard(Store(tmp_path / "store"), part)))


def test_a_gate_that_leaves_nothing_is_an_error(tmp_path: Path, judge: Record):
    silence = [written(tmp_path, text, take, np.zeros(RATE, np.float32)) for text in TEXTS for take in range(2)]
    clips = Manifest("c", tuple(silence))
    with pytest.raises(DataError, match="leaves no clip: no speech in it"):
        run(tmp_path, judge, Round(clips, heard(Store(tmp_path / "store"), clips)))


def test_clipping_is_a_flat_top_at_any_level():
    wave, rng = spoken(1.0), np.random.default_rng(0)
    assert clipped_share(wave) < 1e-3
    flat = faults.clipped(wave, rng)
    assert clipped_share(flat) == pytest.approx(clipped_share(flat * np.float32(0.2)), rel=1e-3)
    assert clipped_share(flat) > 0.1
    assert clipped_share(np.zeros(100, np.float32)) == 0


SENTENCES = (
    "Please leave a message after the tone.",
    "Press one to listen to your messages, or two to hang up.",
    "The number you have dialled is not in service.",
    "Your account balance is low, please add money soon.",
    "Nobody is available to take your call right now.",
    "I would like the massaman curry with jasmine rice.",
    "Our office is closed until Monday morning.",
    "Say the name of the person you want to reach.",
    "There are three callers waiting in front of you.",
    "The conference will begin when the leader arrives.",
)


@pytest.mark.real
def test_planted_faults_on_real_speech_are_caught_and_good_clips_stay(tmp_path: Path, real_models: Store):
    pytest.importorskip("piper")
    from asr_tv.decoding.options import decoding_for
    from asr_tv.decoding.transcribe import transcribe
    from asr_tv.models.locate import resolve_model

    store = Store(tmp_path / "store")
    texts = Manifest("t", tuple(Utterance(f"u{n}", t, origin="text") for n, t in enumerate(SENTENCES)))
    good = stored_manifest(synthesize(Runtime(store), texts, SynthesisConfig(takes=2), seed=17))
    rng = np.random.default_rng(1)
    first = [u for u in good if u.id.endswith("_t0")]
    bad = [
        replace(respoken(tmp_path / "bad", u, spoil(read_audio(Path(u.audio)), rng)), id=f"{name}/{u.id}")
        for number, (name, spoil) in enumerate(faults.FAULTS.items())
        for u in first[2 * number : 2 * number + 2]
    ]
    swapped = [replace(a, id=f"swapped/{a.id}", text=b.text) for a, b in (first[8:10], first[9:7:-1])]
    planted = Manifest("planted", tuple(bad + swapped))
    whole = concatenate("all", [good, planted])
    judge = resolve_model("openai/whisper-tiny.en", real_models)
    hypotheses = transcribe(Runtime(store), judge, whole, decoding_for("full", "en", 100, "auto"))
    record = gate(Runtime(store), [Round(whole, hypotheses)], GateConfig(), judge, engine="piper")
    rows = verdicts(record)
    assert {name for name, row in rows.items() if not row["kept"]} == set(planted.by_id)
    assert record.details["rare"]["clips"] > 0


def respoken(folder: Path, clip: Utterance, wave: np.ndarray) -> Utterance:
    path = folder / f"{clip.id}.flac"
    write_audio(path, wave, RATE)
    return replace(clip, audio=str(path), duration=round(wave.size / RATE, 6), audio_digest=file_digest(path))
