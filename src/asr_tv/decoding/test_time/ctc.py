"""A CTC model of a folder as `Adaptable`, in fp32: steps of 2e-5 are lost in fewer bits."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from asr_tv.audio.recordings import Wave
from asr_tv.decoding.test_time.adapting import Tuned, tuned_parameters
from asr_tv.models.ctc import frames, load_ctc, load_extractor, load_spelling, normalised
from asr_tv.models.tensors import CONFIG, read_json


class AdaptableCtc:
    """A CTC recogniser whose parameters are all frozen until some are asked for."""

    def __init__(self, directory: Path, device: torch.device) -> None:
        self._model = load_ctc(directory).to(device).requires_grad_(False)
        self._extractor = load_extractor(directory)
        self._tokenizer = load_spelling(directory).tokenizer
        self._device = device
        self.blank = int(read_json(directory / CONFIG).get("pad_token_id") or 0)

    def parameters(self, tuned: Tuned) -> Mapping[str, nn.Parameter]:
        return tuned_parameters(self._model, tuned)

    def logits(self, wave: Wave) -> Tensor:
        if frames(self._model, len(wave)) < 1:
            return torch.zeros(0, self.blank + 1)
        values = normalised(self._extractor, wave)[None].to(self._device)
        logits: Tensor = self._model(values).logits[0].float().cpu()
        return logits

    def text(self, logits: Tensor) -> str:
        return str(self._tokenizer.decode(logits.argmax(-1)))

    def state_dict(self) -> Mapping[str, Tensor]:
        """All weights and buffers of the model, by name."""
        return dict(self._model.state_dict())
