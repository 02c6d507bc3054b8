"""Greedy CTC decoding with planted logits; other weights change what is heard; nothing depends on neighbours."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.decoding.ctc import CtcRecogniser
from asr_tv.errors import DataError
from asr_tv.models.ctc import load_spelling
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.testing.runs import fake_recordings

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recogniser")
    tiny_ctc(path / "model", "conformer")
    fake_recordings(path / "recordings", sentences=3, domains=("banking",))
    return path


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return read_manifest(folder / "recordings" / "manifest.jsonl")


class Planted(torch.nn.Module):
    """Says what it was told, whatever it hears."""

    def __init__(self, tokens: list[int], vocabulary: int) -> None:
        super().__init__()
        self.logits = torch.nn.functional.one_hot(torch.tensor(tokens), vocabulary)[None].float()

    def _get_feat_extract_output_lengths(self, samples: torch.Tensor) -> torch.Tensor:
        return samples // 160

    def forward(self, _: torch.Tensor) -> Any:
        return SimpleNamespace(logits=self.logits)


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ("HHEE-LL-LLOO", "HELLO"),  # a blank between equal letters makes them two
        ("HELLO", "HELO"),
        ("--A-|--B--", "A B"),
        ("A||B", "A B"),
        ("-----", ""),
    ],
)
def test_repeats_and_blanks_are_left_out(folder: Path, manifest: Manifest, frames: str, text: str) -> None:
    recogniser = CtcRecogniser(folder / "model", "fp32", CPU)
    ids = load_spelling(folder / "model").characters | {"-": 0}
    recogniser._model = Planted([ids[c] for c in frames], 42)
    first = Manifest("one", manifest.utterances[:1])
    assert recogniser.transcribe(first.utterances, 4, lambda n: None) == {first.utterances[0].id: text}


def test_other_weights_are_taken_and_given_back(folder: Path, manifest: Manifest) -> None:
    recogniser = CtcRecogniser(folder / "model", "fp32", CPU)
    own = recogniser.transcribe(manifest.utterances, 4, lambda n: None)
    assert list(own) == [u.id for u in manifest]
    recogniser.load({name: torch.zeros_like(tensor) for name, tensor in recogniser.own_state.items()})
    assert set(recogniser.transcribe(manifest.utterances, 4, lambda n: None).values()) == {""}
    recogniser.load(recogniser.own_state)
    assert recogniser.transcribe(manifest.utterances, 4, lambda n: None) == own


def test_a_clip_too_short_for_one_frame_has_no_words(folder: Path, tmp_path: Path) -> None:
    import numpy as np

    from asr_tv.audio.recordings import write_audio

    write_audio(tmp_path / "click.wav", np.ones(20, np.float32) * 0.1, 16_000)
    recogniser = CtcRecogniser(folder / "model", "fp32", CPU)
    click = Utterance("click", "", audio=str(tmp_path / "click.wav"))
    assert recogniser.transcribe([click], 4, lambda n: None) == {"click": ""}


def test_a_text_without_recording_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match="utterance 'silent': no recording"):
        CtcRecogniser(folder / "model", "fp32", CPU).transcribe([Utterance("silent", "a")], 4, lambda n: None)
