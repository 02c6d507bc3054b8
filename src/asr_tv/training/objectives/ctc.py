"""Fine-tuning a CTC model: normalised waveforms, characters of the texts, and the CTC loss."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.audio.recordings import Wave
from asr_tv.data.manifest import Manifest
from asr_tv.errors import DataError
from asr_tv.models.audio_context import SAMPLING_RATE
from asr_tv.models.ctc import frames, load_ctc, load_extractor, load_spelling, normalised
from asr_tv.training.labels import character_ids, frames_needed

_MIN_SAMPLES = SAMPLING_RATE // 2
"""Shorter batches are padded, since masks of SpecAugment span ten frames, 0.2 s."""


class CtcObjective:
    """A CTC model to be tuned, and the characters of every utterance.

    Raises:
        DataError: all texts with characters that it lacks, or too long for their clip.
    """

    def __init__(self, base: Path, manifest: Manifest) -> None:
        self.model: Any = load_ctc(base)
        self._extractor = load_extractor(base)
        spelling = load_spelling(base)
        self._ids: dict[str, tuple[int, ...]] = {}
        if not spelling.characters:
            raise DataError("the model writes phonemes, and is not tuned on texts: it can adapt at test time")
        problems = []
        for u in manifest:
            ids, unknown = character_ids(u.text, spelling.characters, spelling.delimiter)
            self._ids[u.id] = ids
            if unknown:
                problems.append(f"{u.id}: the model's vocabulary has no {' '.join(unknown)}: spell it out as spoken")
            elif not ids:
                problems.append(f"{u.id}: no character of its text is in the model's vocabulary")
            elif u.duration is not None and frames(self.model, round(u.duration * SAMPLING_RATE)) < frames_needed(ids):
                problems.append(f"{u.id}: {u.duration:.1f} s are too short for its text of {len(ids)} letters")
        if problems:
            raise DataError(problems)

    def loss(self) -> "CtcLoss":
        return CtcLoss(self.model, masked=bool(self._extractor.return_attention_mask))

    def fits(self, name: str, wave: Wave) -> bool:
        """Whether a clip, which may be augmented, is long enough for its text."""
        return frames(self.model, len(wave)) >= frames_needed(self._ids[name])

    def batch(self, ids: Sequence[str], waves: Sequence[Wave], *, full: bool) -> tuple[Tensor, ...]:  # noqa: ARG002
        """Waveforms of shape (batch, samples), their lengths, characters of shape (batch, letters), their lengths."""
        if short := [i for i, wave in zip(ids, waves, strict=True) if not self.fits(i, wave)]:
            raise DataError(f"{name}: its recording is too short for its text" for name in short)
        longest = max(_MIN_SAMPLES, *(len(wave) for wave in waves))
        values = torch.zeros(len(waves), longest)
        for row, wave in zip(values, waves, strict=True):
            row[: len(wave)] = normalised(self._extractor, wave)
        texts = [torch.tensor(self._ids[i]) for i in ids]
        characters = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
        return values, torch.tensor([len(w) for w in waves]), characters, torch.tensor([len(text) for text in texts])


class CtcLoss(torch.nn.Module):
    """CTC loss: the negative log-likelihood of each text divided by its length, averaged over the batch.

    Args:
        masked: pass the model a mask of padding; models with group norm were trained without one.
    """

    def __init__(self, ctc: Any, *, masked: bool) -> None:
        super().__init__()
        self.ctc = ctc
        self._masked = masked

    def whole(self, values: Tensor, *_: Tensor) -> int:
        """The batch's count of clips, with which the losses of its parts add up to its own."""
        return len(values)

    def forward(
        self, values: Tensor, lengths: Tensor, characters: Tensor, letters: Tensor, whole: int | None = None
    ) -> Tensor:
        """The loss of what `CtcObjective.batch` returns; of a part of it, given the `whole`, its share of the loss."""
        mask = torch.arange(values.shape[1], device=values.device) < lengths[:, None] if self._masked else None
        logits = self.ctc(values, attention_mask=None if mask is None else mask.long()).logits
        loss = torch.nn.functional.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1),
            characters,
            self.ctc._get_feat_extract_output_lengths(lengths),
            letters,
            blank=self.ctc.config.pad_token_id,
        )
        return loss if whole is None else loss * (len(values) / whole)
