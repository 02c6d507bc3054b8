"""Exports: whole or not there, re-scored in their own runtime; with real weights, the same words in all three."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from commands import record

from asr_tv.audio.recordings import Wave
from asr_tv.data.corpora.local import opened
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import ConfigError, DataError
from asr_tv.models.locate import resolve_model
from asr_tv.report.export_card import Check, export_card, plain_card
from asr_tv.runs import export as module
from asr_tv.runs.export import Examination, chosen_clips, export
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.whisper import tiny_whisper


@dataclass
class Plant:
    """A runtime that hears what the test wants it to."""

    heard: str
    name: str = "plant 1.0"

    def text(self, wave: Wave) -> str:
        assert wave.dtype == np.float32
        return self.heard


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def checkpoint(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Record:
    return resolve_model(str(tiny_whisper(tmp_path_factory.mktemp("models") / "model")), store)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("clips")
    rows = [
        Utterance(f"u{i}", f"sentence number {i}", audio=str(record(folder / f"{i}.wav", 1 + i / 4))) for i in range(4)
    ]
    return opened(Manifest("four clips", tuple(rows)))


def card(check: Check | None) -> str:
    return export_card(plain_card("tiny", "MIT", "en"), "hf", "fp32", language="en", multilingual=False, check=check)


@pytest.fixture
def exported(checkpoint: Record, store: Store, tmp_path: Path) -> Callable[..., module.Exported]:
    def run(**options: object) -> module.Exported:
        settings = {"audio_context": "full", "language": "en"}
        given = {"card": card, "settings": settings, "store": store, **options}
        return export(checkpoint, "hf", tmp_path / "out", **given)  # type: ignore[arg-type]

    return run


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_it_is_rescored_by_its_own_runtime_and_says_so(
    exported: Callable[..., module.Exported], clips: Manifest, tmp_path: Path
) -> None:
    done = exported(examination=Examination(clips, "english", 0.0))
    assert done.check is not None
    assert (done.check.clips, done.check.words, done.check.same_words) == (4, 12, 4)
    assert done.check.wer_before == done.check.wer_after > 0
    assert done.check.runtime.startswith("transformers ")
    row = json.loads((tmp_path / "out" / "export.json").read_text())
    assert row["check"]["same_words"] == 4
    assert {"model.safetensors", "README.md", "asr_tv.json"} <= row["files"].keys()
    assert "the same words on 4 of 4." in (tmp_path / "out" / "README.md").read_text()
    assert names(tmp_path) == {"out"}


def test_a_model_that_hears_otherwise_is_not_exported_and_the_earlier_export_stays(
    exported: Callable[..., module.Exported], clips: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported()
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(module, "open_runtime", lambda *arguments: Plant("sentence number one"))
    with pytest.raises(DataError) as caught:
        exported(examination=Examination(clips, "none", 0.01))
    (problem,) = caught.value.problems
    assert "not exported: on 4 clips plant 1.0 has 33.33% WER, asr-tv had " in problem
    assert problem.endswith("moved by more than 1.00% (--max-wer-change); the same words on 0")
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    assert names(tmp_path) == {"out"}


def test_the_bound_holds_in_both_directions_and_can_be_widened(
    exported: Callable[..., module.Exported], clips: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_runtime", lambda *arguments: Plant("sentence number 3"))
    with pytest.raises(DataError, match="moved by more than"):
        exported(examination=Examination(clips, "none", 0.01))
    done = exported(examination=Examination(clips, "none", float("inf")))
    assert done.check is not None
    assert done.check.wer_after == 3 / 12


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_weights_that_are_not_rounded_hear_the_same_words_whatever_the_rate(
    precision: str, exported: Callable[..., module.Exported], clips: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many errors as before, in other words."""
    monkeypatch.setattr(module, "read_hypotheses", lambda path: {u.id: "sentence number x" for u in clips})
    monkeypatch.setattr(module, "open_runtime", lambda *arguments: Plant("sentence number y"))
    examination = Examination(clips, "none", 0.01)
    if precision == "fp16":
        done = exported(examination=examination, precision=precision)
        assert done.check is not None
        assert done.check.words_changed is None
        return
    with pytest.raises(DataError, match=r"33\.33% of the words are others, more than 1\.00%.*the same words on 0"):
        exported(examination=examination, precision=precision)


def test_what_runs_away_is_cut_where_our_own_decoding_cuts_it(
    exported: Callable[..., module.Exported], clips: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_runtime", lambda *arguments: Plant(" tone" * 400))
    done = exported(examination=Examination(clips, "none", float("inf")))
    assert done.check is not None
    # 20 tokens and 12 a second of 1 to 1.75 s of audio: 32, 35, 38 and 41, of which "tone" takes up to four.
    assert 12 <= 12 * done.check.wer_after <= 32 + 35 + 38 + 41


@pytest.mark.parametrize("step", ["write_format", "_publish"])
def test_a_full_disk_leaves_nothing(
    step: str, exported: Callable[..., module.Exported], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        Path(tmp_path / ".out.partial").mkdir(exist_ok=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, step, fails)
    with pytest.raises(OSError, match="No space"):
        exported()
    assert names(tmp_path) == set()


def test_other_folders_are_left_alone(exported: Callable[..., module.Exported], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    exported()
    exported()
    (tmp_path / "out" / "export.json").unlink()
    with pytest.raises(ConfigError, match="holds something that is not an export"):
        exported()


def test_clips_are_the_same_whatever_their_order_and_never_too_long(clips: Manifest) -> None:
    long = Utterance("long", "x", audio="long.wav", duration=31.0)
    rows = (*clips.utterances, long)
    chosen = chosen_clips(Manifest("m", rows), 2)
    assert chosen == chosen_clips(Manifest("m", rows[::-1]), 2)
    assert len(chosen) == 2
    assert [u.id for u in chosen_clips(Manifest("m", rows), 50)] == [u.id for u in clips]
    with pytest.raises(DataError, match="m: no recording of at most 30 s"):
        chosen_clips(Manifest("m", (long,)), 2)


class TestCard:
    def test_what_30_s_costs_is_said_from_the_report(self) -> None:
        rows = [
            {"name": name, "role": "target", "wer": wer, "conditions": {}}
            for name, wer in (("adapted", 0.177), ("adapted_short_context", 0.213))
        ]
        text = export_card(
            "---\nlibrary_name: transformers\n---\n# demo\n",
            "openai",
            "fp16",
            language="en",
            multilingual=False,
            check=None,
            report={"systems": rows},
        )
        assert "target: 17.7% WER in 30 s, 21.3% in the shorter one" in text
        assert "library_name: openai-whisper" in text
        assert "without_timestamps=True" in text
        assert "This export was not re-scored." in text

    def test_a_multilingual_model_is_told_its_language(self) -> None:
        text = export_card(plain_card("m", "MIT", "de"), "hf", "fp32", language="de", multilingual=True, check=None)
        assert '"language": "de", "task": "transcribe"' in text
        assert "tuned on short audio" not in text

    @pytest.mark.parametrize(
        ("before", "after", "passed"),
        [(0.1, 0.11, True), (0.11, 0.1, True), (0.1, 0.1101, False), (float("inf"), 0.1, False), (0.0, 0.0, True)],
    )
    def test_the_bound(self, before: float, after: float, passed: bool) -> None:
        assert Check("r", "set", 1, 1, before, after, 0, 0.01).passed is passed


_SAID = (
    "Please leave your message after the tone.",
    "You are the only person in this conference.",
    "The number you have dialled is not in service.",
    "Press one to listen to your messages, or two to hang up.",
    "Thank you for calling. All of our agents are busy.",
    "Your call is being transferred to the billing department.",
)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Sentences in a real voice."""
    from asr_tv.config.run import SynthesisConfig
    from asr_tv.data.corpora.local import read_manifest
    from asr_tv.synthesis.synthesize import synthesize

    rows = tuple(Utterance(f"s{i}", text, origin="text") for i, text in enumerate(_SAID))
    shelf = Store(tmp_path_factory.mktemp("speech"))
    made = synthesize(Runtime(shelf, workers=1), Manifest("said", rows), SynthesisConfig(takes=1), seed=1)
    return read_manifest(made.path / "manifest.jsonl", outside=True)


@pytest.mark.real
@pytest.mark.parametrize("form", ["hf", "ctranslate2", "openai"])
@pytest.mark.parametrize(("model", "count"), [("openai/whisper-tiny.en", 3), ("openai/whisper-base", 2)])
def test_real_weights_hear_the_same_words_in_every_form(
    form: str, model: str, count: int, spoken: Manifest, real_models: Store, store: Store, tmp_path: Path
) -> None:
    clips = chosen_clips(spoken, count)
    done = export(
        resolve_model(model, real_models),
        form,  # type: ignore[arg-type]
        tmp_path / "out",
        card=card,
        settings={},
        store=store,
        examination=Examination(clips, "english", 0.0),
    )
    assert done.check is not None
    assert done.check.same_words == count
    assert done.check.wer_after < 0.3
