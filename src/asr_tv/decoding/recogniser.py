"""A loaded checkpoint that transcribes recordings, of either model family and decoding engine."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from asr_tv.config.section import Family
from asr_tv.data.manifest import Utterance
from asr_tv.data.recorded import read_wave
from asr_tv.decoding.biasing.phrases import write_back
from asr_tv.decoding.biasing.prompts import tokenised
from asr_tv.decoding.biasing.search import Search, load_search
from asr_tv.decoding.ctc import CtcRecogniser
from asr_tv.decoding.options import CTRANSLATE2, TRANSFORMERS, Decoding, most_tokens
from asr_tv.decoding.whisper_ctranslate2 import ComputeType, CTranslate2Decoder
from asr_tv.decoding.whisper_torch import TorchDecoder
from asr_tv.errors import DataError
from asr_tv.memory import ShrinkingBatches, named_memory_error
from asr_tv.models.audio_context import FULL_SECONDS, SAMPLING_RATE, context_seconds, log_mel
from asr_tv.models.whisper import load_tokenizer, prompt_ids, whisper_config

_TIMESTAMP_SECONDS = 0.02


class Recogniser(Protocol):
    """A loaded checkpoint that transcribes recordings.

    Attributes:
        cut: how many hypotheses of the last transcription reached their upper limit of tokens.
        own_state: its weights as loaded from its directory, also after `load` has replaced them.
    """

    cut: int
    own_state: Mapping[str, Tensor]

    def load(self, state: Mapping[str, Tensor]) -> None: ...

    def keep_features(self) -> None:
        """Keeps the features of each batch, to transcribe the same utterances again with other weights."""

    def transcribe(self, utterances: Sequence[Utterance], batch_size: int, advance: Any) -> dict[str, str]:
        """Text by id, in the order given; no hypothesis depends on its neighbours.

        Raises:
            DataError: an utterance without a recording, or memory too small for one clip.
        """


def load_recogniser(
    directory: Path, family: Family, decoding: Decoding, device: torch.device, scratch: Path
) -> Recogniser:
    """Loads the checkpoint in `directory`; `scratch` is for CTranslate2's temporary files.

    Raises:
        DataError: the checkpoint is not usable, or memory is too small for it.
    """
    with named_memory_error("the model"):
        if family == "ctc":
            return CtcRecogniser(directory, "bf16" if decoding.precision == "bf16" else "fp32", device)
        return WhisperRecogniser(directory, decoding, device, scratch)


class Decoder(Protocol):
    """A Whisper that generates tokens from features, in one of the engines; `own_state` as in `Recogniser`."""

    own_state: Mapping[str, Tensor]

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Replaces its weights; the tied output projection follows the embedding."""

    def tokens(self, features: Tensor, limit: int, previous: Sequence[int] = ()) -> list[list[int]]:
        """At most `limit` tokens per row; a text that ends before the limit keeps its end-of-text.

        Args:
            previous: tokens of what is taken for said before, from its first token on.
        """


class WhisperRecogniser:
    """A Whisper as a `Recogniser`; the order and size of batches do not change its hypotheses."""

    def __init__(self, directory: Path, decoding: Decoding, device: torch.device, scratch: Path | None = None) -> None:
        config = whisper_config(directory)
        self._mels, self._end = config.num_mel_bins, config.eos_token_id
        self._tokenizer = load_tokenizer(directory)
        self._decoding = decoding
        prompt = prompt_ids(self._tokenizer, decoding.language)
        self._room = config.max_target_positions - len(prompt)
        self._first_timestamp = prompt[-1] + 1  # <|0.00|> follows <|notimestamps|>
        bias, rescored = decoding.bias, decoding.engine == CTRANSLATE2
        search = load_search(
            bias, decoding.beams, self._tokenizer, self._end, whole_texts=rescored or decoding.beams > 1
        )
        self._phrases = bias.phrases if bias else ()
        self._prompts = dict(bias.prompts) if bias else {}
        self._previous: dict[str, tuple[int, ...]] = {}
        self._decoder = _load_decoder(directory, prompt, decoding, search, device, scratch)
        self._device = device if decoding.engine == TRANSFORMERS else torch.device("cpu")
        self.cut = 0
        self.own_state = self._decoder.own_state
        self._kept: dict[tuple[str, ...], tuple[list[float], Tensor]] | None = None
        self._fits = ShrinkingBatches()

    def keep_features(self) -> None:
        self._kept = {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._decoder.load(state)

    def transcribe(self, utterances: Sequence[Utterance], batch_size: int, advance: Any) -> dict[str, str]:
        """Only clips of the same context and prompt share a batch, which is halved where memory runs out."""
        self.cut = 0
        texts: dict[str, str] = {}
        for (seconds, prompt), group in self._groups(utterances).items():
            for start in range(0, len(group), batch_size):
                for part in self._fits.each(group[start : start + batch_size], partial(self._texts, seconds, prompt)):
                    texts |= part
                    advance(len(part))
        return {u.id: texts[u.id] for u in utterances}

    def _groups(self, utterances: Sequence[Utterance]) -> dict[tuple[float, str], list[Utterance]]:
        bias = self._decoding.bias
        groups: dict[tuple[float, str], list[Utterance]] = {}
        for u in sorted(utterances, key=lambda u: (u.duration or 0.0, u.id)):
            seconds = context_seconds(self._decoding.audio_context, u.duration or FULL_SECONDS)
            prompt = self._prompts.get(u.id, bias.prompt if bias else "")
            groups.setdefault((seconds, prompt), []).append(u)
        return groups

    def _prompt_tokens(self, prompt: str) -> tuple[int, ...]:
        if prompt not in self._previous:
            try:
                self._previous[prompt] = tokenised(self._tokenizer, prompt, self._end).tokens
            except ValueError as error:
                raise DataError(f"the prompt {error}") from error
        return self._previous[prompt]

    def _texts(self, seconds: float, prompt: str, batch: Sequence[Utterance]) -> dict[str, str]:
        ids, previous = tuple(u.id for u in batch), self._prompt_tokens(prompt)
        with named_memory_error(ids[0]) if len(ids) == 1 else nullcontext():
            lengths, features = self._features(batch, seconds)
            most = min(self._decoding.max_new_tokens, self._room - len(previous))
            limits = [most_tokens(length, most) for length in lengths]
            found = self._decoder.tokens(features, max(limits), previous)
            rows = [row[:limit] for row, limit in zip(found, limits, strict=True)]
        if self._kept is not None:
            self._kept[ids] = lengths, features
        self.cut += sum(self._end not in row for row in rows)
        return dict(zip(ids, map(self._text, rows), strict=True))

    def _features(self, batch: Sequence[Utterance], seconds: float) -> tuple[list[float], Tensor]:
        """Each clip's duration in seconds, and the batch's features on the device."""
        if self._kept and (kept := self._kept.get(tuple(u.id for u in batch))) is not None:
            return kept
        waves = [read_wave(u) for u in batch]
        problems = [
            f"{u.id}: lasts {len(wave) / SAMPLING_RATE:.1f} s, and the audio context is {seconds:g} s"
            for u, wave in zip(batch, waves, strict=True)
            if len(wave) > seconds * SAMPLING_RATE
        ]
        if problems:
            raise DataError(problems)
        return [len(wave) / SAMPLING_RATE for wave in waves], log_mel(waves, seconds, self._mels, self._device)

    def _text(self, row: Sequence[int]) -> str:
        """The text of one row, with timestamps such as <|1.28|> where they are requested."""
        if not self._decoding.timestamps:
            text: str = self._tokenizer.decode(row, skip_special_tokens=True)
            return write_back(text, self._phrases)
        parts: list[str] = []
        for is_timestamp, group in groupby(row, key=lambda token: token >= self._first_timestamp):
            if is_timestamp:
                parts += [f"<|{_TIMESTAMP_SECONDS * (token - self._first_timestamp):.2f}|>" for token in group]
            else:
                parts.append(self._tokenizer.decode(list(group), skip_special_tokens=True))
        return "".join(parts)


def _load_decoder(
    directory: Path,
    prompt: tuple[int, ...],
    decoding: Decoding,
    search: Search,
    device: torch.device,
    scratch: Path | None,
) -> Decoder:
    start = prompt[:-1] if decoding.timestamps else prompt  # without <|notimestamps|>
    if decoding.engine == CTRANSLATE2:
        compute_type: ComputeType = "int8" if decoding.precision == "int8" else "fp32"
        folder = scratch / "ctranslate2" if scratch else Path(tempfile.mkdtemp(prefix="asr-tv-"))
        return CTranslate2Decoder(directory, start, device, search, compute_type, folder)
    first = prompt[-1] + 1 if decoding.timestamps else None
    return TorchDecoder(directory, start, first, device, search, bf16=decoding.precision == "bf16")
