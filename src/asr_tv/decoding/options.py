"""How a transcription is decoded: its conditions, and the engine that this machine uses."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final, Literal

import torch

from asr_tv.config.run import AudioContext, Engine
from asr_tv.config.section import Family
from asr_tv.config.test_time import Adaptation
from asr_tv.decoding.biasing.bias import Bias
from asr_tv.devices import Precision, choose_device, choose_precision
from asr_tv.errors import ConfigError
from asr_tv.models.audio_context import FULL_SECONDS

TRANSFORMERS: Final = "transformers, greedy"
CTRANSLATE2: Final = "CTranslate2, greedy"
CTC: Final = "transformers, greedy CTC, clip by clip"

Program = Literal["transformers, greedy", "CTranslate2, greedy", "transformers, greedy CTC, clip by clip"]
_PRECISIONS: Mapping[str, tuple[str, ...]] = {
    TRANSFORMERS: ("fp32", "bf16"),
    CTRANSLATE2: ("fp32", "int8"),
    CTC: ("fp32", "bf16"),
}

_ALWAYS = ("audio_context", "language", "max_new_tokens", "precision", "engine")

_TOKENS_PER_SECOND = 12.0
_MIN_TOKENS = 20
"""A hypothesis is cut after 20 tokens + 12 per second of its clip, to end loops; English has about 4 per second."""


_NOT_FOR_WHISPER = (
    "test-time adaptation (pseudo-label, suta, continual, fast-slow) is for CTC models: it lowers the entropy of "
    "frames, and a Whisper has none; for a Whisper, tune on a set of recordings: asr-tv finetune MODEL CLIPS "
    "--labels self"
)


@dataclass(frozen=True)
class Decoding:
    """The conditions of a transcription, all of which can change a WER.

    Attributes:
        audio_context: as in training; "full" for a checkpoint not tuned on a short one, and for CTC models.
        max_new_tokens: upper limit on a hypothesis, in addition to that by the length of its clip.
        beams: of a beam search; 1 is greedy.
        bias: what else steers the search; for Whisper.
        adaptation: how the model learns from each recording before it writes its text; for CTC models.
        precision: bf16 applies to a Whisper's encoder only or to a whole CTC model; int8 is for CTranslate2.
    """

    audio_context: AudioContext
    language: str
    max_new_tokens: int = 200
    precision: Precision | Literal["int8"] = "fp32"
    engine: Program = TRANSFORMERS
    timestamps: bool = False
    beams: int = 1
    bias: Bias | None = None
    adaptation: Adaptation | None = None

    def __post_init__(self) -> None:
        if self.adaptation is not None and (self.engine != CTC or self.precision != "fp32"):
            raise ValueError("test-time adaptation is of CTC models in fp32")
        if self.engine == CTC and (self.beams > 1 or self.bias is not None):
            raise ValueError(f"{self.engine}: has no beams and takes no words")
        if self.engine == CTRANSLATE2 and self.bias is not None and self.bias.internal_lm is not None:
            raise ValueError(f"{self.engine}: cannot ask a model for its internal language model")
        if self.precision not in _PRECISIONS[self.engine]:
            raise ValueError(f"{self.engine}: does not compute in {self.precision}")

    @property
    def options(self) -> dict[str, Any]:
        """As in a key and in a score's conditions; `timestamps`, beams, bias and adaptation only where set."""
        always = {name: getattr(self, name) for name in _ALWAYS}
        stamped = {"timestamps": True} if self.timestamps else {}
        searched = {"beams": self.beams} if self.beams > 1 else {}
        adapted = {"adaptation": self.adaptation.told} if self.adaptation else {}
        return always | stamped | searched | dict(self.bias.options if self.bias else {}) | adapted


def most_tokens(seconds: float, max_new_tokens: int) -> int:
    """The most tokens kept of the hypothesis of a clip of this length."""
    return min(max_new_tokens, _MIN_TOKENS + round(_TOKENS_PER_SECOND * seconds))


def decoding_for(
    audio_context: AudioContext,
    language: str,
    max_new_tokens: int,
    device: str,
    family: Family = "whisper",
    engine: Engine = "torch",
    beams: int = 1,
    bias: Bias | None = None,
    adaptation: Adaptation | None = None,
) -> Decoding:
    """The decoding that this machine uses, with bf16 where the hardware supports it and torch decodes.

    Raises:
        ConfigError: seconds of audio context, beams or words for a CTC model, test-time adaptation of a Whisper, or an
            engine that cannot decode the model here.
    """
    check_engine(engine, family, device)
    precision = choose_precision("auto", choose_device(device))
    if family == "ctc":
        if not isinstance(audio_context, str):
            wrong = f"audio_context: {audio_context:g} seconds are for Whisper; a CTC model hears the whole clip"
            raise ConfigError(wrong)
        if beams > 1 or bias is not None:
            raise ConfigError("beams, prompts, terms and n-grams are for Whisper; this is a CTC model")
        if adaptation is not None:
            return Decoding("full", language, max_new_tokens, "fp32", CTC, adaptation=adaptation)
        return Decoding("full", language, max_new_tokens, precision, CTC)
    if adaptation is not None:
        raise ConfigError(_NOT_FOR_WHISPER)
    chosen = choose_engine(engine, audio_context, device)
    if chosen == "torch":
        return Decoding(audio_context, language, max_new_tokens, precision, beams=beams, bias=bias)
    compute_type = _compute_type(chosen)
    return Decoding(audio_context, language, max_new_tokens, compute_type, CTRANSLATE2, beams=beams, bias=bias)


def choose_engine(engine: Engine, audio_context: AudioContext, device: str) -> Engine:
    """Resolves `auto` to the faster engine on this machine (see docs/performance.md); others are returned as they are.

    Only scores of one engine are comparable, so a run chooses once, by the context that its models are tuned in.
    """
    if engine != "auto":
        return engine
    on = choose_device(device)
    installed = find_spec("ctranslate2") is not None
    return fastest_engine(audio_context, choose_precision("auto", on), on, installed=installed)


def fastest_engine(
    audio_context: AudioContext, precision: Precision, device: torch.device, *, installed: bool
) -> Literal["torch", "ctranslate2"]:
    """The engine that was measured to be faster, at the same words.

    On a CPU that is CTranslate2, except with 30 s of context where torch computes in bf16, since the encoder is then
    most of the work. On a GPU only torch was measured. None but torch is chosen unless CTranslate2 is `installed`.
    """
    if not installed or device.type != "cpu":
        return "torch"
    full = audio_context == "full" or (not isinstance(audio_context, str) and audio_context >= FULL_SECONDS)
    return "torch" if full and precision == "bf16" else "ctranslate2"


def check_engine(engine: Engine, family: Family, device: str) -> None:
    """Refuses an engine that cannot decode a model of this family here.

    Raises:
        ConfigError: it is for other models, not installed, or does not support this device.
    """
    if engine in ("torch", "auto"):
        return
    if family == "ctc":
        raise ConfigError(f"scoring.engine: {engine} decodes Whisper models, and this is a CTC model")
    if find_spec("ctranslate2") is None:
        raise ConfigError(f'scoring.engine: {engine} needs CTranslate2, not installed: pip install "asr-tv[export]"')
    from asr_tv.decoding.whisper_ctranslate2 import unsupported_reason

    if reason := unsupported_reason(choose_device(device), _compute_type(engine)):
        raise ConfigError(f"scoring.engine: {engine} is not available here: {reason}")


def _compute_type(engine: Engine) -> Literal["fp32", "int8"]:
    return "int8" if engine == "ctranslate2_int8" else "fp32"
