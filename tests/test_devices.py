"""What a device is asked for, and attention that does not plan for every new shape on a GPU."""

from pathlib import Path
from typing import Any

import pytest
import torch
from language_models import tiny_writer
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from asr_tv.config.run import TrainingConfig
from asr_tv.data.manifest import Manifest
from asr_tv.decoding import ctc as ctc_recogniser
from asr_tv.decoding import whisper_torch as torch_decoder
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.transcribe import transcribe
from asr_tv.devices import choose_device, choose_precision, shape_independent_attention
from asr_tv.errors import ConfigError
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.text.writing import local_model
from asr_tv.training import trainer
from asr_tv.training.finetune import finetune

GPU = torch.device("cuda")


def test_on_a_gpu_cudnn_is_left_out_within_and_back_afterwards() -> None:
    assert torch.backends.cuda.cudnn_sdp_enabled()
    with shape_independent_attention(torch.device("cuda", 1)):
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        assert torch.backends.cuda.flash_sdp_enabled()
        assert torch.backends.cuda.mem_efficient_sdp_enabled()
    assert torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_what_its_caller_chose_holds_within_and_afterwards(device: str) -> None:
    with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION]):
        with shape_independent_attention(torch.device(device)):
            assert (torch.backends.cuda.cudnn_sdp_enabled(), torch.backends.cuda.flash_sdp_enabled()) == (False, False)
        assert (torch.backends.cuda.cudnn_sdp_enabled(), torch.backends.cuda.flash_sdp_enabled()) == (False, False)


def test_an_error_leaves_it_as_it_was() -> None:
    with pytest.raises(ZeroDivisionError), shape_independent_attention(GPU):
        raise ZeroDivisionError
    assert torch.backends.cuda.cudnn_sdp_enabled()


def test_on_a_processor_nothing_is_changed() -> None:
    with shape_independent_attention(torch.device("cpu")):
        assert torch.backends.cuda.cudnn_sdp_enabled()


class TestAttention:
    """Every attention of a model of ours is computed within, as it would be on a GPU."""

    @pytest.fixture
    def allowed(self, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
        """Whether cuDNN was allowed in each attention so far, in modules that take this processor for a GPU."""
        found: list[bool] = []

        def attention(*args: Any, **kwargs: Any) -> torch.Tensor:
            found.append(torch.backends.cuda.cudnn_sdp_enabled())
            return scaled_dot_product_attention(*args, **kwargs)

        monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attention)
        for module in (trainer, torch_decoder, ctc_recogniser, local_model):
            monkeypatch.setattr(module, "shape_independent_attention", lambda _: shape_independent_attention(GPU))
        return found

    @pytest.mark.parametrize("checkpointing", [False, True])
    def test_of_a_training(
        self, base: Record, manifest: Manifest, tmp_path: Path, allowed: list[bool], checkpointing: bool
    ) -> None:
        training = TrainingConfig(epochs=1, precision="fp32", gradient_checkpointing=checkpointing)
        finetune(Runtime(Store(tmp_path)), base, manifest, training, seed=1)
        assert set(allowed) == {False}

    def test_of_a_transcription(self, base: Record, manifest: Manifest, tmp_path: Path, allowed: list[bool]) -> None:
        transcribe(Runtime(Store(tmp_path)), base, manifest, Decoding("dynamic", "en", max_new_tokens=4))
        assert set(allowed) == {False}

    def test_of_a_ctc_model(self, manifest: Manifest, tmp_path: Path, allowed: list[bool]) -> None:
        recogniser = ctc_recogniser.CtcRecogniser(tiny_ctc(tmp_path / "ctc"), "fp32", torch.device("cpu"))
        recogniser.transcribe(manifest.utterances, 1, lambda _: None)
        assert set(allowed) == {False}

    def test_of_a_writer(self, tmp_path: Path, allowed: list[bool]) -> None:
        local_model.LocalWriter(str(tiny_writer(tmp_path / "writer")), device="cpu", new_tokens=3).answer("Write.", 1)
        assert set(allowed) == {False}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("wanted", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_refused_with_the_setting(wanted: str) -> None:
    with pytest.raises(ConfigError, match=f"run.device: '{wanted}' is asked for, but torch sees no GPU"):
        choose_device(wanted)


def test_what_is_asked_for_is_taken() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_precision("fp32", GPU) == "fp32"
    assert choose_precision("bf16", torch.device("cpu")) == "bf16"
