"""Recognisers as agents use them: a Whisper that encodes a recording once and decodes it again, and a CTC model."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asr_tv.audio.recordings import Wave
from asr_tv.decoding.biasing.bias import SAFE_BOOST, Bias
from asr_tv.decoding.biasing.phrases import Phrase
from asr_tv.decoding.biasing.prompts import tokenised
from asr_tv.decoding.biasing.search import Search, load_search
from asr_tv.decoding.options import most_tokens
from asr_tv.decoding.test_time.ctc import AdaptableCtc
from asr_tv.decoding.whisper_torch import TorchDecoder
from asr_tv.models.audio_context import FULL_SECONDS, SAMPLING_RATE, log_mel
from asr_tv.models.vocabulary import NO_TIMESTAMPS
from asr_tv.models.whisper import load_tokenizer, prompt_ids, whisper_config

_KEPT = 256
"""Recordings whose encoder states stay in memory, 2.3 MB each for tiny: the first of a stream, since the agents
of a table hear it one after the other, and of a longer one the latest would be gone each time."""
_MOST_NEW = 200


class WhisperEar:
    """A Whisper as an `Ear`, in 30 s as other programs decode; fp32."""

    def __init__(self, directory: Path, language: str, device: torch.device, boost: float = SAFE_BOOST) -> None:
        config = whisper_config(directory)
        self._tokenizer = load_tokenizer(directory)
        prompt = prompt_ids(self._tokenizer, language)
        self._decoder = TorchDecoder(directory, prompt, None, device, Search(), bf16=False)
        self._mels, self._end = config.num_mel_bins, config.eos_token_id
        self._room = config.max_target_positions - len(prompt)
        self._boost, self._device = boost, device
        self._no_speech = int(self._tokenizer.convert_tokens_to_ids(NO_TIMESTAMPS)) - 1  # OpenAI's order of controls
        self._kept: dict[bytes, WhisperSound] = {}
        self._last: tuple[bytes, WhisperSound] | None = None

    def __call__(self, wave: Wave) -> "WhisperSound":
        name = hashlib.sha256(wave.tobytes()).digest()
        if (known := self._known(name)) is None:
            state = self._decoder.states(log_mel([wave], FULL_SECONDS, self._mels, self._device))
            no_speech = self._decoder.probability_at_start(state, self._no_speech)
            known = WhisperSound(self, state, len(wave) / SAMPLING_RATE, no_speech)
            if len(self._kept) < _KEPT:
                self._kept[name] = known
            self._last = name, known
        return known

    def _known(self, name: bytes) -> "WhisperSound | None":
        if self._last is not None and self._last[0] == name:
            return self._last[1]
        return self._kept.get(name)

    def decoded(self, state: Tensor, seconds: float, terms: tuple[str, ...], prompt: str) -> tuple[str, float]:
        """Text and mean log-probability of a recording's encoder state."""
        bias = Bias(phrases=tuple(map(Phrase, terms)), boost=self._boost) if terms else None
        search = load_search(bias, 1, self._tokenizer, self._end, whole_texts=False)
        previous = tokenised(self._tokenizer, prompt, self._end).tokens
        limit = most_tokens(seconds, min(_MOST_NEW, self._room - len(previous)))
        (row,) = self._decoder.tokens_of(state, limit, previous, search)
        likely = self._decoder.mean_log_probability(state, row, previous)
        return str(self._tokenizer.decode(row, skip_special_tokens=True)), likely


class WhisperSound:
    """A recording that a `WhisperEar` has encoded."""

    def __init__(self, ear: WhisperEar, state: Tensor, seconds: float, no_speech: float) -> None:
        self._ear, self._state, self._seconds = ear, state, seconds
        self._plain: tuple[str, float] | None = None
        self.no_speech = no_speech

    @property
    def key(self) -> Wave:
        """The mean encoder state over the speech, of length 1."""
        spoken = max(1, round(self._seconds * self._state.shape[1] / FULL_SECONDS))
        mean = self._state[0, :spoken].mean(0)
        key: Wave = (mean / mean.norm()).cpu().numpy().astype(np.float32)
        return key

    def text(self, terms: tuple[str, ...] = (), prompt: str = "") -> tuple[str, float]:
        """As `Sound`; what is heard without either is computed once."""
        if terms or prompt:
            return self._ear.decoded(self._state, self._seconds, terms, prompt)
        if self._plain is None:
            self._plain = self._ear.decoded(self._state, self._seconds, (), "")
        return self._plain


class CtcEar:
    """A CTC model as an `Ear`; it takes no terms and no prompt."""

    def __init__(self, directory: Path, device: torch.device) -> None:
        self._model = AdaptableCtc(directory, device)

    def __call__(self, wave: Wave) -> "CtcSound":
        with torch.inference_mode():
            logits = self._model.logits(wave)
        return CtcSound(self._model.text(logits) if len(logits) else "")


class CtcSound:
    """The text of a recording."""

    no_speech = 0.0

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def key(self) -> Wave:
        raise NotImplementedError("a CTC model's recordings are not compared")

    def text(self, terms: tuple[str, ...] = (), prompt: str = "") -> tuple[str, float]:
        """As `Sound`."""
        if terms or prompt:
            raise NotImplementedError("a CTC model takes no terms and no prompt")
        return self._text, 0.0
