"""How a transcription is decoded: its conditions, and which program does it on this machine."""

from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any, Literal

import torch

from asr_tv.config import AudioContext, Engine
from asr_tv.devices import Precision, choose_device, choose_precision
from asr_tv.errors import ConfigError
from asr_tv.families import Family

TRANSFORMERS = "transformers, greedy"
CTRANSLATE2 = "CTranslate2, greedy"
CTC = "transformers, greedy CTC, clip by clip"

_TOKENS_PER_SECOND = 12.0
_LEAST_TOKENS = 20
"""A hypothesis is cut after 20 + 12 tokens a second of its own clip, which ends loops; English speech has about 4."""


@dataclass(frozen=True)
class Decoding:
    """The conditions of a transcription, all of which can move a WER.

    Attributes:
        audio_context: as in training; "full" for a checkpoint that was not tuned on a short one, and for every CTC
            model, which hears the whole clip.
        max_new_tokens: bound on a hypothesis, beside that of its clip's length.
        precision: int8 is CTranslate2's alone.
    """

    audio_context: AudioContext
    language: str
    max_new_tokens: int = 200
    precision: Precision | Literal["int8"] = "fp32"
    engine: str = TRANSFORMERS
    timestamps: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """As a key and a score's conditions have them; timestamps only where they are asked for."""
        options = asdict(self)
        return options if self.timestamps else {k: v for k, v in options.items() if k != "timestamps"}


def most_tokens(seconds: float, max_new_tokens: int) -> int:
    """How many tokens are kept of what is heard in a clip of this length."""
    return min(max_new_tokens, _LEAST_TOKENS + round(_TOKENS_PER_SECOND * seconds))


def decoding_for(
    audio_context: AudioContext,
    language: str,
    max_new_tokens: int,
    device: str,
    family: Family = "whisper",
    engine: Engine = "torch",
) -> Decoding:
    """The decoding of this machine: torch with bf16 where the hardware has it, for a Whisper in the encoder alone.

    Raises:
        ConfigError: seconds of audio context for a CTC model, or an engine that does not run it or is not installed.
    """
    check_engine(engine, family)
    on = choose_device(device)
    precision = choose_precision("auto", on)
    if family == "ctc":
        if not isinstance(audio_context, str):
            raise ConfigError(
                f"audio_context: {audio_context:g} seconds are for Whisper; a CTC model hears the whole clip"
            )
        return Decoding("full", language, max_new_tokens, precision, CTC)
    if engine == "auto":
        engine = fastest_engine(audio_context, precision, on, installed=find_spec("ctranslate2") is not None)
    if engine == "torch":
        return Decoding(audio_context, language, max_new_tokens, precision)
    return Decoding(
        audio_context, language, max_new_tokens, "int8" if engine == "ctranslate2_int8" else "fp32", CTRANSLATE2
    )


def fastest_engine(
    audio_context: AudioContext, precision: Precision, device: torch.device, *, installed: bool
) -> Literal["torch", "ctranslate2"]:
    """The engine that was faster where it was measured, at the same words; see docs/performance.md.

    On a processor CTranslate2 is, but for 30 s of context where torch multiplies bf16: there the encoder is most of the
    work. On a GPU only torch was measured.

    Args:
        installed: whether CTranslate2 is there.
    """
    if not installed or device.type != "cpu":
        return "torch"
    return "torch" if audio_context == "full" and precision == "bf16" else "ctranslate2"


def check_engine(engine: Engine, family: Family = "whisper") -> None:
    """Refuses an engine that cannot decode a model of this family here.

    Raises:
        ConfigError: it is for other models, or not installed.
    """
    if engine in ("torch", "auto"):
        return
    if family == "ctc":
        raise ConfigError(f"engine: {engine} decodes Whispers, and this is a CTC model")
    if find_spec("ctranslate2") is None:
        raise ConfigError(f'engine: {engine} needs CTranslate2, not installed: pip install "asr-tv[export]"')
