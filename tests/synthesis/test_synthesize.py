"""The stage on a fake engine: identity, cache, drops, processes, kill -9; and on a real voice, marked so."""

import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from asr_tv.config.run import SynthesisConfig
from asr_tv.config.synthesis import BarkConfig, SpeechT5Config
from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import ConfigError, DataError
from asr_tv.store.results import Record, Store, file_digest, result_problems
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis import engines as tts
from asr_tv.synthesis.synthesize import _key_parameters, synthesize, texts_alone
from asr_tv.testing import speech
from asr_tv.testing.speech import FakeSynthesizer, dummy_texts

CONFIG = SynthesisConfig(takes=2)


def speak(texts: Manifest, root: Path, *, config: SynthesisConfig = CONFIG, seed: int = 7, **settings) -> Record:
    settings.setdefault("synthesizer", FakeSynthesizer())
    how = {key: settings.pop(key) for key in ("workers", "progress", "label") if key in settings}
    return synthesize(Runtime(Store(root), **how), texts, config, seed, **settings)


def said(*texts: str, domain: str = "d") -> Manifest:
    return Manifest("said", tuple(Utterance(f"u{n}", t, domain=domain, origin="text") for n, t in enumerate(texts)))


def dropped(record: Record) -> list[dict]:
    return json.loads((record.path / "dropped.json").read_text())


def test_one_utterance_a_clip(tmp_path: Path):
    texts = Manifest("t", (Utterance("a/b", "Call  me. ", domain="menus", split="dev", origin="text"),))
    record = speak(texts, tmp_path, synthesizer=FakeSynthesizer(labels=("low", "high#2")))
    clips = read_manifest(record.path / "manifest.jsonl", outside=True)  # opens every recording
    assert [u.id for u in clips] == ["a%2Fb_high%232_t0", "a%2Fb_high%232_t1", "a%2Fb_low_t0", "a%2Fb_low_t1"]
    assert {(u.text, u.domain, u.split, u.origin) for u in clips} == {("Call  me. ", "menus", "dev", "synthetic")}
    assert [u.speaker for u in clips] == ["high#2", "high#2", "low", "low"]
    assert len({u.audio_digest for u in clips}) == 4
    for utterance in clips:
        info = soundfile.info(utterance.audio)
        assert (info.samplerate, info.channels, info.subtype, info.format) == (16000, 1, "PCM_16", "FLAC")
        assert utterance.duration == pytest.approx(info.duration, abs=1e-4)
    rows = [json.loads(line) for line in (record.path / "manifest.jsonl").read_text().splitlines()]
    assert all(row["audio"].startswith("../../clips/") for row in rows)
    assert record.details["clips"] == record.details["executed_clips"] == 4
    assert record.details["audio_seconds"] == pytest.approx(clips.seconds, abs=1e-3)
    assert result_problems(record.path) == []


def test_the_record_read_texts_and_no_recording(tmp_path: Path):
    real = Utterance("r", "Hello there.", audio="/nowhere/r.wav", domain="vm", audio_digest="0" * 64, duration=1.0)
    (ref,) = speak(Manifest("corpus", (real,)), tmp_path).reads
    assert (ref.name, ref.origins, ref.domains, ref.utterances) == ("corpus", ("text",), ("vm",), 1)
    same_words = replace(real, audio=None, audio_digest="1" * 64, duration=None, speaker="ann", origin="text")
    assert speak(Manifest("corpus", (same_words,)), tmp_path).cached


def test_a_sentence_that_a_domain_repeats_is_spoken_once(tmp_path: Path):
    texts = Manifest(
        "t",
        (
            Utterance("b", "Hello  there.", domain="x"),
            Utterance("a", " Hello there. ", domain="x"),
            Utterance("c", "Hello there.", domain="y"),
            Utterance("d", "hello there.", domain="y"),
        ),
    )
    assert [(u.id, u.text) for u in texts_alone(texts)] == [
        ("b", "Hello  there."),
        ("c", "Hello there."),
        ("d", "hello there."),
    ]
    assert speak(texts, tmp_path).details["repeated_texts"] == 1


def test_clips_are_shared_between_manifests(tmp_path: Path):
    menus = speak(said("Hello there.", domain="menus"), tmp_path)
    other = speak(said("Other words.", "Hello there.", domain="mail"), tmp_path)
    assert other.details["reused_clips"] == menus.details["executed_clips"] == 2
    assert other.details["executed_clips"] == 2


def test_the_payload_does_not_depend_on_the_order_of_the_texts(tmp_path: Path):
    texts = dummy_texts(5)
    record = speak(texts, tmp_path / "a")
    turned = speak(Manifest("turned", texts.utterances[::-1]), tmp_path / "b")
    assert (turned.key, turned.digest) == (record.key, record.digest)


def test_new_sentences_cost_only_themselves(tmp_path: Path):
    speak(dummy_texts(10), tmp_path)
    record = speak(dummy_texts(13), tmp_path)
    assert (record.details["executed_clips"], record.details["reused_clips"]) == (6, 20)
    assert record.digest == speak(dummy_texts(13), tmp_path / "fresh").digest
    assert speak(dummy_texts(13), tmp_path).cached


@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_processes_changes_nothing(tmp_path: Path, workers: int):
    texts = dummy_texts(40)
    alone = speak(texts, tmp_path / "alone", workers=1)
    many = speak(texts, tmp_path / "many", workers=workers)
    assert (many.key, many.digest, many.details["executed_clips"]) == (alone.key, alone.digest, 80)


def test_batches_change_nothing(tmp_path: Path):
    texts = said("One.", "Two bad.", "Three.")
    fake = FakeSynthesizer(failing="bad")
    single = speak(texts, tmp_path / "single", synthesizer=fake)
    batch = speak(texts, tmp_path / "batch", synthesizer=replace(fake, batch_size=4))
    assert batch.digest == single.digest
    assert batch.details["dropped_clips"] == 2


@pytest.mark.parametrize(
    "change",
    [{"seed": 8}, {"synthesizer": FakeSynthesizer(version="2")}, {"synthesizer": FakeSynthesizer(labels=("other",))}],
)
def test_what_changes_a_clip_changes_its_key(tmp_path: Path, change: dict):
    texts = said("Hello there.")
    speak(texts, tmp_path)
    assert speak(texts, tmp_path, **change).details["executed_clips"] == 2


def test_more_takes_reuse_the_first_ones(tmp_path: Path):
    texts = said("Hello there.")
    speak(texts, tmp_path)
    record = speak(texts, tmp_path, config=SynthesisConfig(takes=3))
    assert (record.details["executed_clips"], record.details["reused_clips"]) == (1, 2)


def test_later_takes_go_on_where_the_planned_ones_end(tmp_path: Path):
    texts = said("Hello there.", "?!")
    whole = speak(texts, tmp_path, config=SynthesisConfig(takes=4))
    later = speak(texts, tmp_path, first_take=2)
    assert [u.id for u in read_manifest(later.path / "manifest.jsonl", outside=True)] == ["u0_tone_t2", "u0_tone_t3"]
    assert dropped(later)[0]["clips"] == ["u1_tone_t2", "u1_tone_t3"]
    assert (later.details["executed_clips"], later.key == whole.key) == (0, False)


def test_every_dropped_clip_is_listed_with_its_reason(tmp_path: Path):
    texts = said("fine", "?! ...", "\U0001f600", "one two three four", "a bad one", "a mute one", "long" * 600)
    fake = FakeSynthesizer(failing="bad", mute="mute")
    record = speak(texts, tmp_path, config=SynthesisConfig(takes=2, max_words=3), synthesizer=fake)
    reasons = {row["id"]: row["reason"] for row in dropped(record)}
    assert reasons == {
        "u1": "no letter or digit to speak",
        "u2": "no letter or digit to speak",
        "u3": "4 words; synthesis.max_words is 3",
        "u4": "fake failed: RuntimeError: cannot say 'bad'",
        "u5": "fake made no sound of it",
        "u6": "more than 30 s of speech, which is what Whisper hears at once",
    }
    assert dropped(record)[0]["clips"] == ["u1_tone_t0", "u1_tone_t1"]
    assert [u.id for u in read_manifest(record.path / "manifest.jsonl", outside=True)] == ["u0_tone_t0", "u0_tone_t1"]
    assert (record.details["dropped_texts"], record.details["dropped_clips"], record.details["clips"]) == (6, 12, 2)


def test_nothing_left_names_every_text(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        speak(said("...", "bad luck"), tmp_path, synthesizer=FakeSynthesizer(failing="bad"))
    assert caught.value.problems == (
        "said: id 'u0' is not spoken: no letter or digit to speak",
        "said: id 'u1' is not spoken: fake failed: RuntimeError: cannot say 'bad'",
    )


def test_no_text_and_equal_ids_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="said: no text to speak"):
        speak(said(), tmp_path)
    with pytest.raises(DataError, match="duplicate id 'u'"):
        speak(Manifest("m", (Utterance("u", "one"), Utterance("u", "two"))), tmp_path)
    met = Manifest("m", (Utterance("a", "one"), Utterance("a_x", "two")))
    with pytest.raises(DataError, match="duplicate id 'a_x_y_t0'"):
        speak(met, tmp_path, synthesizer=FakeSynthesizer(labels=("x_y", "y")))


def test_the_users_engine_and_voice_are_checked(tmp_path: Path):
    with pytest.raises(ConfigError, match="unknown engine 'x'"):
        speak(said("Hello."), tmp_path, synthesizer=None, config=SynthesisConfig(engine="x"))


def test_a_changed_clip_is_spoken_again(tmp_path: Path):
    record = speak(said("Hello there."), tmp_path)
    first, second = (Path(u.audio) for u in read_manifest(record.path / "manifest.jsonl", outside=True))
    first.write_bytes(first.read_bytes()[:-9])
    second.with_suffix(".json").unlink()
    again = speak(said("Hello there.", "More."), tmp_path)
    assert (again.details["executed_clips"], again.details["reused_clips"]) == (4, 0)


def test_a_sidecar_says_what_the_clip_is(tmp_path: Path):
    record = speak(said("Hello there."), tmp_path)
    clip = next(iter(read_manifest(record.path / "manifest.jsonl", outside=True)))
    row = json.loads(Path(clip.audio).with_suffix(".json").read_text())
    assert row["sha256"] == clip.audio_digest == file_digest(Path(clip.audio))
    assert row["key"]["text"] == "Hello there."
    assert (row["key"]["engine"], row["key"]["version"], row["key"]["voice"]) == ("fake", "fake 1", "tone")
    (plan, _) = ((record.path / "plan.jsonl").read_text()).splitlines()
    assert json.loads(plan)["settings"] == row["key"]["settings"]


def test_progress_counts_every_clip(tmp_path: Path):
    seen: list[tuple[str, int, str, int, str]] = []

    @contextmanager
    def progress(label: str, total: int, unit: str):
        yield lambda done=1, note="": seen.append((label, total, unit, done, note))

    speak(dummy_texts(2), tmp_path)
    speak(dummy_texts(4), tmp_path, progress=progress, label="synthesize target")
    assert {row[:3] for row in seen} == {("synthesize target", 8, "clips")}
    assert [row[3] for row in seen] == [4, 1, 1, 1, 1]
    assert seen[-1][4].endswith(" clips/s")
    assert [row[4].endswith(" s left") for row in seen[1:]] == [True, True, True, False]


def test_an_error_of_the_machine_stops_and_keeps_what_is_done(tmp_path: Path):
    class FullDisk(FakeSynthesizer):
        def _clip(self, request):
            if request.text.endswith("number 3."):
                raise OSError("no space left")
            return super()._clip(request)

    with pytest.raises(OSError, match="no space"):
        speak(dummy_texts(6), tmp_path, synthesizer=FullDisk())
    assert speak(dummy_texts(6), tmp_path).details["reused_clips"] == 6


KILLED = """
    import signal
    import sys
    from pathlib import Path
    from asr_tv.config.run import SynthesisConfig
    from asr_tv.store.results import Store
    from asr_tv.store.runtime import Runtime
    from asr_tv.synthesis.synthesize import synthesize
    from asr_tv.testing.speech import FakeSynthesizer, dummy_texts

    if __name__ == "__main__":
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell has put in the background
        root, workers, delay = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
        fake = FakeSynthesizer(delay=delay)
        runtime = Runtime(Store(root), workers=workers)
        synthesize(runtime, dummy_texts(40), SynthesisConfig(takes=2), seed=7, synthesizer=fake)
"""


def start(tmp_path: Path, workers: int) -> subprocess.Popen:
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(KILLED))
    return subprocess.Popen([sys.executable, str(script), str(tmp_path / "store"), str(workers), "0.15"])


def finished(tmp_path: Path) -> dict[Path, int]:
    clips = (tmp_path / "store" / "clips").rglob("*.json")
    return {path: path.with_suffix(".flac").stat().st_mtime_ns for path in clips}


def wait_for_clips(tmp_path: Path, process: subprocess.Popen, count: int) -> None:
    limit = time.monotonic() + 60
    while len(finished(tmp_path)) < count:
        assert process.poll() is None, "ended before it could be interrupted"
        assert time.monotonic() < limit
        time.sleep(0.01)


def settled(tmp_path: Path) -> dict[Path, int]:
    """What is there once it grows no more: workers of a killed parent end by themselves, and may still write a clip."""
    limit = time.monotonic() + 10
    before, now = None, finished(tmp_path)
    while now != before:
        assert time.monotonic() < limit, "a worker outlived its parent"
        time.sleep(0.5)
        before, now = now, finished(tmp_path)
    return now


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return speak(dummy_texts(40), tmp_path_factory.mktemp("uninterrupted"))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, uninterrupted: Record, workers: int, ending: signal.Signals
):
    process = start(tmp_path, workers)
    wait_for_clips(tmp_path, process, 10)
    process.send_signal(ending)
    assert process.wait(30) != 0
    before = settled(tmp_path)
    assert 10 <= len(before) < 80
    assert not list((tmp_path / "store" / "synthesize").glob("*/record.json"))

    record = speak(dummy_texts(40), tmp_path / "store")
    assert record.details["reused_clips"] == len(before)
    assert record.details["executed_clips"] == 80 - len(before)
    assert before.items() <= finished(tmp_path).items()
    assert record.digest == uninterrupted.digest


def test_a_leftover_of_a_kill_is_no_payload(tmp_path: Path):
    clean = speak(dummy_texts(2), tmp_path / "clean")
    scratch = tmp_path / "killed" / "synthesize" / f"{clean.key}.partial"
    scratch.mkdir(parents=True)
    (scratch / ".plan.jsonl.4711.tmp").write_text("half")
    assert speak(dummy_texts(2), tmp_path / "killed").digest == clean.digest


REAL = """
    import sys
    from pathlib import Path
    from asr_tv.config.run import SynthesisConfig
    from asr_tv.data.manifest import Manifest, Utterance
    from asr_tv.store.results import Store
    from asr_tv.store.runtime import Runtime
    from asr_tv.synthesis.synthesize import synthesize

    if __name__ == "__main__":
        texts = ["Please leave a message after the tone.", "You have three new messages. Press one to listen.",
                 "...", "Yes."]
        manifest = Manifest("t", tuple(Utterance(f"u{n}", t, origin="text") for n, t in enumerate(texts)))
        record = synthesize(Runtime(Store(Path(sys.argv[1]))), manifest, SynthesisConfig(takes=2), seed=17)
        print(record.digest)
"""


@pytest.mark.real
def test_a_real_voice_speaks_the_same_bytes_in_two_processes(tmp_path: Path):
    pytest.importorskip("piper")
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(REAL))
    outputs = [
        subprocess.run(
            [sys.executable, str(script), str(tmp_path / s)], capture_output=True, text=True, check=True
        ).stdout
        for s in ("one", "two")
    ]
    assert outputs[0] == outputs[1] != ""
    (folder,) = (p.parent for p in (tmp_path / "one" / "synthesize").glob("*/record.json"))
    clips = read_manifest(folder / "manifest.jsonl", outside=True)
    assert len(clips) == len({u.audio_digest for u in clips}) == 6
    seconds = [u.duration for u in clips]
    assert all(1.5 < s < 4 for s in seconds[:2])
    assert all(2 < s < 5 for s in seconds[2:4])
    assert all(0.2 < s < 1.5 for s in seconds[4:])
    assert {soundfile.info(u.audio).samplerate for u in clips} == {16000}
    assert [row["id"] for row in json.loads((folder / "dropped.json").read_text())] == ["u2"]


class TestSeveralEngines:
    @pytest.fixture(autouse=True)
    def _fake(self, monkeypatch: pytest.MonkeyPatch):
        pytest.importorskip("espeakng_loader")
        monkeypatch.setitem(tts.ENGINES, "fake", tts.SpeechEngine(speech.__name__, speech.open_fake.__name__))

    BOTH = SynthesisConfig(engine="fake", voices=("tone", "espeak:en-us+f3"), takes=1)

    def test_each_engine_has_its_voices_and_its_clips(self, tmp_path: Path):
        record = speak(said("Hello there."), tmp_path, config=self.BOTH, synthesizer=None)
        clips = read_manifest(record.path / "manifest.jsonl", outside=True)
        assert [(u.id, u.speaker) for u in clips] == [
            ("u0_espeak%3Aen-us%2Bf3_t0", "espeak:en-us+f3"),
            ("u0_fake%3Atone_t0", "fake:tone"),
        ]
        row = json.loads((record.path / "record.json").read_text())["parameters"]
        assert row["engine"] == "espeak+fake"
        assert set(row["voices"]) == {"espeak:en-us+f3", "fake:tone"}
        assert row["espeak"]["words_per_minute"] == [140.0, 190.0]
        alone = SynthesisConfig(engine="espeak", voices=("en-us+f3",), takes=1)
        assert speak(said("Hello there."), tmp_path, config=alone, synthesizer=None).details["executed_clips"] == 0

    def test_a_prefix_is_the_engine_of_a_single_voice_too(self, tmp_path: Path):
        one = SynthesisConfig(engine="fake", voices=("espeak:en-us",), takes=1)
        other = SynthesisConfig(engine="espeak", voices=("en-us",), takes=1)
        record = speak(said("Hello."), tmp_path, config=one, synthesizer=None)
        assert speak(said("Hello."), tmp_path, config=other, synthesizer=None).digest == record.digest

    def test_problems_of_all_engines_at_once(self, tmp_path: Path):
        bad = SynthesisConfig(voices=("nobody", "espeak:xx-none", "festival:kal"))
        with pytest.raises(ConfigError) as caught:
            speak(said("Hello."), tmp_path, config=bad, synthesizer=None)
        piper, espeak, unknown = caught.value.problems
        assert "unknown Piper voice 'nobody'" in piper
        assert "espeak-ng knows no language 'xx-none'" in espeak
        assert "unknown engine 'festival'" in unknown

    def test_the_plan_is_on_disk_before_anything_is_spoken(self, tmp_path: Path):
        class Looking(FakeSynthesizer):
            def _clip(self, request):
                (plan,) = (tmp_path / "synthesize").glob("*.partial/plan.jsonl")
                assert len(plan.read_text().splitlines()) == 6
                return super()._clip(request)

        assert speak(dummy_texts(3), tmp_path, synthesizer=Looking()).details["dropped_clips"] == 0


def test_what_is_not_asked_for_does_not_enter_the_key(tmp_path: Path):
    def parameters(config: SynthesisConfig, text: str = "Hello.", **engine) -> dict:
        record = speak(said(text), tmp_path, config=config, synthesizer=FakeSynthesizer(**engine))
        return json.loads((record.path / "record.json").read_text())["parameters"]

    plain = {
        "engine": "fake",
        "takes": 2,
        "length_scale": [0.85, 1.2],
        "noise_scale": [0.4, 0.9],
        "noise_w_scale": [0.5, 1.0],
        "max_words": 60,
        "voices": {"tone": "fake 1"},
        "sampling_rate": 16000,
        "max_seconds": 30.0,
    }
    assert parameters(SynthesisConfig()) == parameters(SynthesisConfig(spoken_form=False)) == plain
    assert parameters(SynthesisConfig(bark={"temperature": 0.5}, espeak={"pitch": (1, 2)})) == plain
    assert parameters(SynthesisConfig(voices_per_text=1)) == {**plain, "voices_per_text": 1}
    assert parameters(SynthesisConfig(), "It costs $5.", language="en") == {**plain, "spoken_version": 2}


def test_how_an_engine_runs_does_not_enter_the_key():
    assert _key_parameters(BarkConfig()) == {"precision": "auto", "temperature": None, "words_at_once": 30}
    assert set(_key_parameters(SpeechT5Config())) == {"vocoder", "embeddings"}


FAN_OUT = """
    import sys
    from pathlib import Path
    from asr_tv.config.run import SynthesisConfig
    from asr_tv.store.results import Store
    from asr_tv.store.runtime import Runtime
    from asr_tv.synthesis.synthesize import synthesize
    from asr_tv.testing.speech import dummy_texts
    from asr_tv.synthesis.engines.espeak import EspeakSynthesizer

    if __name__ == "__main__":
        EspeakSynthesizer.clips_worth_a_process = 20  # else so few are spoken in this process
        espeak = (f"espeak:en-us+{variant}" for variant in ("f1", "f2", "f3", "f4", "m1", "m2", "whisper"))
        config = SynthesisConfig(voices=("en_US-joe-medium", *espeak), takes=1)
        for workers in (1, 2):
            runtime = Runtime(Store(Path(sys.argv[1]) / str(workers)), workers=workers)
            record = synthesize(runtime, dummy_texts(5), config, seed=17)
            print(record.digest, record.details["executed_clips"], record.details["dropped_clips"])
"""


@pytest.mark.real
def test_real_engines_speak_the_same_bytes_in_one_process_and_in_two(tmp_path: Path):
    pytest.importorskip("piper")
    pytest.importorskip("espeakng_loader")
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(FAN_OUT))
    done = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=True)
    one, two = done.stdout.splitlines()
    assert one == two
    assert one.endswith(" 40 0")


def test_what_a_killed_process_left_half_written_is_gone_when_its_clip_is_spoken(tmp_path: Path):
    record = synthesize(
        Runtime(Store(tmp_path)), dummy_texts(2), SynthesisConfig(), seed=7, synthesizer=FakeSynthesizer()
    )
    clips = sorted((tmp_path / "clips").rglob("*.flac"))
    lefts = [clip.with_name(f".{clip.name}.99999.tmp") for clip in clips]
    lefts += [clip.with_name(f".{clip.stem}.json.99999.tmp") for clip in clips]
    for path in [*lefts, *clips]:
        path.write_bytes(b"cut")
    shutil.rmtree(record.path)
    again = synthesize(
        Runtime(Store(tmp_path)), dummy_texts(2), SynthesisConfig(), seed=7, synthesizer=FakeSynthesizer()
    )
    assert again.digest == record.digest
    assert not [path for path in lefts if path.exists()]
