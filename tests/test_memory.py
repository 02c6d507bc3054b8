"""Memory that runs out is halved around: same hypotheses, same gradients, and one clip that does not fit is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asr_tv.config.run import TrainingConfig
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.transcribe import transcribe
from asr_tv.decoding.whisper_torch import TorchDecoder
from asr_tv.errors import DataError
from asr_tv.memory import ShrinkingBatches, is_out_of_memory, memory_errors, named_memory_error
from asr_tv.models.tensors import open_tensors
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.testing.runs import fake_recordings
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.training import trainer as finetuning
from asr_tv.training.finetune import finetune
from asr_tv.training.labels import IGNORED
from asr_tv.training.objectives.ctc import CtcLoss, CtcObjective
from asr_tv.training.objectives.short_context import ShortContextLoss
from asr_tv.training.objectives.whisper import WhisperLoss

CPU = "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
FULL: tuple[Exception, ...] = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has"),
    RuntimeError("CUDA error: out of memory\nCompile with"),
    RuntimeError(CPU),
    RuntimeError("mkl_malloc: failed to allocate memory"),
    MemoryError("Unable to allocate 3 GiB for an array"),
)
TRAINING = TrainingConfig(epochs=2, learning_rate=1e-3, batch_size=4, precision="fp32", full_context_share=0)
DYNAMIC = Decoding("dynamic", "en", max_new_tokens=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("memory")
    tiny_whisper(path / "base")
    tiny_ctc(path / "ctc", "conformer")
    fake_recordings(path / "recordings", sentences=7, domains=("banking",))
    return path


class TestShrinkingBatches:
    @pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
    def test_whatever_a_library_says_is_a_memory_error(self, error: Exception) -> None:
        assert is_out_of_memory(error)
        with pytest.raises(MemoryError), memory_errors():
            raise error

    def test_other_errors_are_left_alone(self) -> None:
        assert not is_out_of_memory(ValueError("out of memory of what happened"))
        with pytest.raises(RuntimeError, match="shapes"), memory_errors():
            raise RuntimeError("shapes do not fit")

    def test_parts_are_halved_stay_halved_and_nothing_is_done_twice(self) -> None:
        calls: list[int] = []

        def work(part: Any) -> list[int]:
            calls.append(len(part))
            if len(part) > 3:
                raise MemoryError
            return list(part)

        fits = ShrinkingBatches()
        assert [n for part in fits.each(range(10), work) for n in part] == list(range(10))
        assert calls == [10, 5, 2, 2, 2, 2, 2]
        assert fits.most == 2
        assert [n for part in fits.each(range(3), work) for n in part] == [0, 1, 2]

    def test_one_alone_is_named(self) -> None:
        def full(_: Any) -> None:
            raise RuntimeError(CPU)

        with pytest.raises(MemoryError, match="enforce fail"):
            list(ShrinkingBatches().each(range(4), full))
        told = r"clip 7: memory ran out on this alone \(no room\): buy some; .* kept"
        with pytest.raises(DataError, match=told), named_memory_error("clip 7", "buy some"):
            raise MemoryError("no room")


def limited(calls: list[int], most: int, error: Exception, work: Callable[..., Any]) -> Callable[..., Any]:
    """`work` of a module or recogniser on a machine that holds so many clips."""

    def call(self: Any, features: Tensor, *rest: Any, **named: Any) -> Any:
        calls.append(len(features))
        if len(features) > most:
            raise error
        return work(self, features, *rest, **named)

    return call


class TestTranscribing:
    @pytest.mark.parametrize("error", FULL[1:3], ids=lambda error: type(error).__name__)
    def test_hypotheses_are_those_of_the_whole_batch(
        self, base: Record, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        calls: list[int] = []
        whole = transcribe(Runtime(Store(tmp_path / "whole")), base, manifest, DYNAMIC)
        monkeypatch.setattr(TorchDecoder, "tokens", limited(calls, 2, error, TorchDecoder.tokens))
        halved = transcribe(Runtime(Store(tmp_path / "halved")), base, manifest, DYNAMIC)
        assert max(calls) > 2
        assert (halved.key, halved.digest, halved.details) == (whole.key, whole.digest, whole.details)
        texts = read_hypotheses(halved.path / hypotheses_file())
        assert list(texts) == [u.id for u in manifest]

    def test_a_clip_that_does_not_fit_alone_is_named(
        self, base: Record, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TorchDecoder, "tokens", limited([], 0, FULL[0], TorchDecoder.tokens))
        with pytest.raises(DataError, match=r"banking-\d+: memory ran out on this alone \(CUDA out of memory\)"):
            transcribe(Runtime(Store(tmp_path)), base, manifest, DYNAMIC)


class TestTraining:
    @pytest.mark.parametrize("error", FULL[::3], ids=lambda error: type(error).__name__)
    def test_the_batch_stays_the_batch(
        self, base: Record, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        calls: list[int] = []
        whole = finetune(Runtime(Store(tmp_path / "whole")), base, manifest, TRAINING, seed=1)
        monkeypatch.setattr(WhisperLoss, "forward", limited(calls, 2, error, WhisperLoss.forward))
        halved = finetune(Runtime(Store(tmp_path / "halved")), base, manifest, TRAINING, seed=1)
        assert calls.count(4) == 1  # it stays halved
        assert halved.key == whole.key
        assert halved.details["updates"] == whole.details["updates"] == 4
        assert halved.details["epoch_losses"] == pytest.approx(whole.details["epoch_losses"], rel=1e-5)
        tuned, expected = (open_tensors(r.path / "model") for r in (halved, whole))
        for name in expected:  # Adam makes a step of every gradient, however small: what is not moved may differ
            torch.testing.assert_close(tuned[name], expected[name], rtol=1e-3, atol=2e-4)

    def test_one_clip_that_does_not_fit_keeps_the_finished_epoch(
        self, base: Record, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trained = finetuning._Trainer.train_epoch

        def second(self: Any, epoch: int, advance: Any) -> float:
            if epoch:
                monkeypatch.setattr(WhisperLoss, "forward", limited([], 0, FULL[2], WhisperLoss.forward))
            return trained(self, epoch, advance)

        expected = finetune(Runtime(Store(tmp_path / "whole")), base, manifest, TRAINING, seed=1)
        forward = WhisperLoss.forward
        monkeypatch.setattr(finetuning._Trainer, "train_epoch", second)
        with pytest.raises(DataError, match=r"tune it, one clip at a time: memory ran out .* to lora"):
            finetune(Runtime(Store(tmp_path / "s"), label="tune it"), base, manifest, TRAINING, seed=1)
        assert [path.name for path in (tmp_path / "s").glob("finetune/*.partial/epoch-*")] == ["epoch-1"]
        monkeypatch.setattr(WhisperLoss, "forward", forward)
        monkeypatch.setattr(finetuning._Trainer, "train_epoch", trained)
        assert finetune(Runtime(Store(tmp_path / "s")), base, manifest, TRAINING, seed=1).digest == expected.digest


def parts_add_up(loss: Any, tensors: tuple[Tensor, ...], sizes: tuple[int, ...]) -> None:
    """Loss and gradients of the batch equal the sums over its parts."""
    expected = loss(*tensors)
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in loss.named_parameters() if p.grad is not None}
    assert gradients
    loss.zero_grad()
    whole = loss.whole(*tensors)
    total = torch.zeros(())
    start = 0
    for size in sizes:
        part = loss(*(t[start : start + size] for t in tensors), whole=whole)
        part.backward()
        total, start = total + part.detach(), start + size
    torch.testing.assert_close(total, expected.detach(), rtol=1e-5, atol=1e-6)
    for name, parameter in loss.named_parameters():
        if name in gradients:
            torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-5)


LABELS = torch.tensor([[IGNORED, 5, 6, 7, 8], [IGNORED, 8, *[IGNORED] * 3], [IGNORED, 9, 10, IGNORED, IGNORED]])
"""Rows of different length: a mean of the parts' means would be another number."""


class TestPartsAddUp:
    def test_whisper(self, folder: Path) -> None:
        from asr_tv.models.whisper import load_model

        torch.manual_seed(1)
        tensors = (torch.randn(3, 80, 200), torch.randint(0, 300, (3, 5)), LABELS)
        parts_add_up(WhisperLoss(load_model(folder / "base")), tensors, (2, 1))
        uneven = WhisperLoss(load_model(folder / "base"))
        means = [float(uneven(*(t[r] for t in tensors)).detach()) for r in (slice(0, 2), slice(2, 3))]
        assert sum(means) / 2 != pytest.approx(float(uneven(*tensors).detach()), rel=1e-4)

    def test_short_context(self, folder: Path) -> None:
        from asr_tv.models.whisper import load_model

        torch.manual_seed(1)
        model, teacher = load_model(folder / "base"), load_model(folder / "base").requires_grad_(False)
        features = torch.randn(3, 80, 3000)
        tensors = (features[..., :200], features, torch.randint(0, 300, (3, 5)), LABELS)
        parts_add_up(ShortContextLoss(model, teacher), tensors, (1, 2))

    def test_ctc(self, folder: Path, manifest: Manifest) -> None:
        made = CtcObjective(folder / "ctc", manifest)
        rng = torch.Generator().manual_seed(1)
        waves = [torch.randn(n, generator=rng).numpy() for n in (32_000, 28_000, 24_000)]
        tensors = made.batch([u.id for u in manifest][:3], waves, full=False)
        made.model.eval()  # SpecAugment draws other masks for other batches
        parts_add_up(CtcLoss(made.model, masked=True), tensors, (1, 1, 1))
