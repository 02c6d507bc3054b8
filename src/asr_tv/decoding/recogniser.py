"""A loaded checkpoint that turns recordings into text, whatever its family and decoding engine."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from asr_tv.audio.recordings import read_audio
from asr_tv.config.section import Family
from asr_tv.data.manifest import Utterance
from asr_tv.decoding.ctc import CtcRecogniser
from asr_tv.decoding.options import CTRANSLATE2, TRANSFORMERS, Decoding, most_tokens
from asr_tv.decoding.whisper_ctranslate2 import CTranslate2Decoder, Numbers
from asr_tv.decoding.whisper_torch import TorchDecoder
from asr_tv.errors import DataError
from asr_tv.memory import ShrinkingBatches, named_memory_error
from asr_tv.models.audio_context import FULL_SECONDS, SAMPLING_RATE, context_seconds, log_mel
from asr_tv.models.whisper import load_tokenizer, prompt_ids, whisper_config

_TICK, _TIMESTAMP = 0.02, "<|{:.2f}|>"


class AnyRecogniser(Protocol):
    """A loaded checkpoint that turns recordings into text.

    Attributes:
        cut: how many hypotheses of the last transcription ran into their bound.
        own_state: its weights as they were loaded.
    """

    cut: int
    own_state: Mapping[str, Tensor]

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes other weights."""

    def keep_features(self) -> None:
        """Computes the features of a batch once, for transcribing the same utterances again with other weights."""

    def transcribe(self, utterances: Sequence[Utterance], batch_size: int, advance: Any) -> dict[str, str]:
        """Text by id, in the order given; no hypothesis depends on its neighbours."""


def _recogniser(
    directory: Path, family: Family, decoding: Decoding, device: torch.device, scratch: Path
) -> AnyRecogniser:
    with named_memory_error("the model"):
        if family == "ctc":
            return CtcRecogniser(directory, "bf16" if decoding.precision == "bf16" else "fp32", device)
        return Recogniser(directory, decoding, device, scratch)


class Decoder(Protocol):
    """What turns features into tokens.

    Attributes:
        own_state: its weights as they were loaded.
    """

    own_state: Mapping[str, Tensor]

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes other weights."""

    def tokens(self, features: Tensor, limit: int) -> list[list[int]]:
        """Token ids after the prompt for each row of features (batch, mels, frames), at most `limit`."""


class Recogniser:
    """A Whisper that turns recordings into text.

    Args:
        scratch: where CTranslate2's form of it may lie while it is loaded.
    """

    def __init__(self, directory: Path, decoding: Decoding, device: torch.device, scratch: Path | None = None) -> None:
        config = whisper_config(directory)
        self._mels, self._end = config.num_mel_bins, config.eos_token_id
        self._tokenizer = load_tokenizer(directory)
        self._decoding = decoding
        prompt = prompt_ids(self._tokenizer, decoding.language)
        self._first_timestamp = prompt[-1] + 1  # follows the token that says there are none
        self._decoder = _decoder(directory, prompt, self._first_timestamp, decoding, device, scratch)
        self._device = device if decoding.engine == TRANSFORMERS else torch.device("cpu")
        self.cut = 0
        self.own_state = self._decoder.own_state
        self._kept: dict[tuple[str, ...], tuple[list[float], Tensor]] | None = None
        self._fits = ShrinkingBatches()

    def keep_features(self) -> None:
        """Computes the features of a batch once, for transcribing the same utterances again with other weights."""
        self._kept = {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes other weights; the tied output comes with the embedding."""
        self._decoder.load(state)

    def transcribe(self, utterances: Sequence[Utterance], batch_size: int, advance: Any) -> dict[str, str]:
        """Text by id, in the order given. Clips of one context are decoded together, so none depends on its neighbours.

        `cut` afterwards says how many hypotheses ran into their bound. A batch that memory does not hold is halved.

        Raises:
            DataError: memory does not hold one clip alone.
        """
        self.cut = 0
        texts: dict[str, str] = {}
        for seconds, group in self._by_context(utterances).items():
            for start in range(0, len(group), batch_size):
                for found in self._fits.each(group[start : start + batch_size], partial(self._texts, seconds)):
                    texts |= found
                    advance(len(found))
        return {u.id: texts[u.id] for u in utterances}

    def _by_context(self, utterances: Sequence[Utterance]) -> dict[float, list[Utterance]]:
        groups: dict[float, list[Utterance]] = {}
        for u in sorted(utterances, key=lambda u: (u.duration or 0.0, u.id)):
            seconds = context_seconds(self._decoding.audio_context, u.duration or FULL_SECONDS)
            groups.setdefault(seconds, []).append(u)
        return groups

    def _texts(self, seconds: float, batch: Sequence[Utterance]) -> dict[str, str]:
        with named_memory_error(batch[0].id) if len(batch) == 1 else nullcontext():
            lengths, features = self._features(batch, seconds)
            limits = [most_tokens(length, self._decoding.max_new_tokens) for length in lengths]
            rows = [row[:limit] for row, limit in zip(self._decoder.tokens(features, max(limits)), limits, strict=True)]
        if self._kept is not None:
            self._kept[_ids(batch)] = lengths, features
        self.cut += sum(self._end not in row for row in rows)
        return dict(zip(_ids(batch), map(self._text, rows), strict=True))

    def _features(self, batch: Sequence[Utterance], seconds: float) -> tuple[list[float], Tensor]:
        """Each clip's seconds, and the batch's features on the device."""
        if self._kept is not None and (kept := self._kept.get(_ids(batch))) is not None:
            return kept
        waves = [read_audio(_audio(u), utterance=u.id) for u in batch]
        problems = [
            f"{u.id}: lasts {len(wave) / SAMPLING_RATE:.1f} s, and the audio context is {seconds:g} s"
            for u, wave in zip(batch, waves, strict=True)
            if len(wave) > seconds * SAMPLING_RATE
        ]
        if problems:
            raise DataError(problems)
        return (
            [len(wave) / SAMPLING_RATE for wave in waves],
            log_mel(waves, seconds, self._mels, self._device),
        )

    def _text(self, row: Sequence[int]) -> str:
        """The text; with timestamps, where they are asked for, as <|1.28|>."""
        if not self._decoding.timestamps:
            text: str = self._tokenizer.decode(row, skip_special_tokens=True)
            return text
        parts: list[str] = []
        for is_mark, group in groupby(row, key=lambda token: token >= self._first_timestamp):
            tokens = list(group)
            marks = [_TIMESTAMP.format(_TICK * (token - self._first_timestamp)) for token in tokens]
            parts += marks if is_mark else [self._tokenizer.decode(tokens, skip_special_tokens=True)]
        return "".join(parts)


def _decoder(
    directory: Path,
    prompt: tuple[int, ...],
    first_timestamp: int,
    decoding: Decoding,
    device: torch.device,
    scratch: Path | None,
) -> Decoder:
    start = prompt[:-1] if decoding.timestamps else prompt
    if decoding.engine == CTRANSLATE2:
        numbers: Numbers = "int8" if decoding.precision == "int8" else "fp32"
        place = scratch / "ctranslate2" if scratch else Path(tempfile.mkdtemp(prefix="asr-tv-"))
        return CTranslate2Decoder(directory, start, device, numbers, place)
    first = first_timestamp if decoding.timestamps else None
    return TorchDecoder(directory, start, first, device, bf16=decoding.precision == "bf16")


def _ids(batch: Sequence[Utterance]) -> tuple[str, ...]:
    return tuple(u.id for u in batch)


def _audio(utterance: Utterance) -> Path:
    if utterance.audio is None:
        raise DataError(f"{utterance.id}: has no recording to transcribe")
    return Path(utterance.audio)
