"""hama's recogniser: the container is read as planted, and with the package its engine agrees with ours."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_tv.errors import DataError
from asr_tv.models.ctc import frames, load_ctc
from asr_tv.models.directory import VOCABULARY, write_json
from asr_tv.models.family import family_of
from asr_tv.models.hama.conformer import BLANK, CLASSES, WORD_BOUNDARY, HamaConformer
from asr_tv.models.hama.container import read_container, renamed
from asr_tv.models.hama.folder import Phonemes, load_phonemes, write_hama
from asr_tv.models.locate import resolve_model
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Store

TOKENS = [f"p{n}" for n in range(WORD_BOUNDARY)] + ["<wb>", "<blank>"]


def packed(tensors: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float16]]]) -> bytes:
    """A container as the package writes it."""
    head, body = b"HAMAPK\x01\x02" + struct.pack("<I", len(tensors)), b""
    for name, values in tensors.items():
        data = values.tobytes()
        kind = 1 if values.dtype == np.float16 else 0
        head += struct.pack("<H", len(name)) + name.encode() + bytes([kind, values.ndim])
        head += struct.pack(f"<{values.ndim}I", *values.shape) + struct.pack("<QQ", len(body), len(data))
        body += data
    return head + bytes(-len(head) % 16) + body


def folder_of(path: Path, model: HamaConformer) -> Path:
    """A model folder as `write_package` makes it."""
    write_hama(model, {"pad_token_id": BLANK}, TOKENS, path)
    return path


class TestContainer:
    def test_tensors_are_read_as_they_were_written(self, tmp_path: Path) -> None:
        (tmp_path / "x.hama").write_bytes(
            packed({"a": np.arange(6, dtype=np.float16).reshape(2, 3), "b": np.ones(2, np.float32)})  # type: ignore[dict-item]
        )
        found = read_container(tmp_path / "x.hama")
        assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert found["b"].dtype == torch.float32

    @pytest.mark.parametrize(
        "data", [b"", b"RIFF", b"HAMAPK\x01\x02\x09\x00\x00\x00", packed({"a": np.ones(9, np.float16)})[:-4]]
    )
    def test_what_is_no_container_is_refused(self, data: bytes, tmp_path: Path) -> None:
        (tmp_path / "x.hama").write_bytes(data)
        with pytest.raises(DataError):
            read_container(tmp_path / "x.hama")

    def test_another_set_of_tensors_is_refused(self) -> None:
        with pytest.raises(DataError, match="another number"):
            renamed({"onnx::MatMul_1": torch.ones(2, 2)})


class TestFolder:
    def test_a_folder_is_a_ctc_model_that_loads_again(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        folder = folder_of(tmp_path / "hama", HamaConformer())
        assert family_of(folder) == "ctc"
        kept = resolve_model(str(folder), Store(tmp_path / "store")).path / MODEL
        one, two, wave = load_ctc(folder), load_ctc(kept), torch.randn(1, 8000)
        assert torch.equal(one(wave).logits, two(wave).logits)
        assert one(wave).logits.shape == (1, frames(one, 8000), CLASSES)
        assert [frames(one, n) for n in (0, 200, 201, 320, 16_000)] == [0, 0, 1, 2, 51]

    def test_phonemes_are_written_without_repeats_blanks_and_boundaries(self) -> None:
        text = Phonemes(TOKENS).decode([7, 7, BLANK, 7, WORD_BOUNDARY, 8, BLANK, BLANK])
        assert text == "p7 p7 p8"

    def test_a_vocabulary_with_gaps_is_refused(self, tmp_path: Path) -> None:
        write_json(tmp_path / VOCABULARY, {"a": 0, "b": 2})
        with pytest.raises(DataError, match="is not hama's vocabulary"):
            load_phonemes(tmp_path)


@pytest.mark.real
def test_the_packages_own_engine_agrees(tmp_path: Path) -> None:
    hama = pytest.importorskip("hama")
    from asr_tv.config.run import CorpusConfig
    from asr_tv.data.corpora import load_corpus, stored_manifest
    from asr_tv.data.recorded import read_wave
    from asr_tv.store.runtime import Runtime

    store = Store(Path(".store"))
    corpus = stored_manifest(load_corpus(Runtime(store), CorpusConfig(kind="asterisk", language="en")))
    model = load_ctc(resolve_model("hama", Store(tmp_path)).path / MODEL)
    session = hama.ASRModel().session
    for utterance in [u for u in corpus if u.domain == "voicemail"][:5]:
        wave = read_wave(utterance)
        given = {"waveform": wave[None], "waveform_lengths": np.array([len(wave)])}
        (theirs, _) = session.run(["log_probs", "out_lengths"], given)
        with torch.inference_mode():
            ours = model(torch.from_numpy(wave)[None]).logits[0].log_softmax(-1).numpy()
        # Their engine rounds: ours in double precision differs as much, up to 0.16 where P is a millionth.
        assert np.abs(ours - theirs[0])[theirs[0] > -5].max() < 0.02
        assert (ours.argmax(-1) == theirs[0].argmax(-1)).all()
