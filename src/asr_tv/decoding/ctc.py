"""Greedy CTC decoding: the most likely character of each frame, without repeats and blanks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.data.manifest import Utterance
from asr_tv.data.recorded import read_wave
from asr_tv.devices import Precision, shape_independent_attention
from asr_tv.memory import named_memory_error
from asr_tv.models.ctc import frames, load_ctc, load_extractor, load_spelling, normalised


class CtcRecogniser:
    """A CTC model as a `Recogniser`, one clip at a time.

    Padding would change hypotheses: it enters group norm, and a Conformer's convolutions carry it into the speech.
    """

    cut = 0  # CTC cannot loop

    def __init__(self, directory: Path, precision: Precision, device: torch.device) -> None:
        self._model = load_ctc(directory).to(device)
        self._extractor = load_extractor(directory)
        self._tokenizer = load_spelling(directory).tokenizer
        self._precision = precision
        self._device = device
        self.own_state: Mapping[str, Tensor] = {n: t.cpu().clone() for n, t in self._model.state_dict().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._model.load_state_dict(state)

    def keep_features(self) -> None:
        """Does nothing: the features are the samples themselves."""

    def transcribe(self, utterances: Sequence[Utterance], _: int, advance: Any) -> dict[str, str]:
        texts = {}
        for utterance in utterances:
            with named_memory_error(utterance.id):
                texts[utterance.id] = self._text(utterance)
            advance(1)
        return texts

    @torch.inference_mode()
    def _text(self, utterance: Utterance) -> str:
        wave = read_wave(utterance)
        if frames(self._model, len(wave)) < 1:
            return ""
        values = normalised(self._extractor, wave)[None].to(self._device)
        bf16 = torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16")
        with bf16, shape_independent_attention(self._device):
            logits = self._model(values).logits
        return str(self._tokenizer.decode(logits[0].float().argmax(-1)))
