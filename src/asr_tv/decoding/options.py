"""How a transcription is decoded: its conditions, and which program does it on this machine."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any, Final, Literal

import torch

from asr_tv.config.run import AudioContext, Engine
from asr_tv.config.section import Family
from asr_tv.devices import Precision, choose_device, choose_precision
from asr_tv.errors import ConfigError
from asr_tv.models.audio_context import FULL_SECONDS

TRANSFORMERS: Final = "transformers, greedy"
CTRANSLATE2: Final = "CTranslate2, greedy"
CTC: Final = "transformers, greedy CTC, clip by clip"

Program = Literal["transformers, greedy", "CTranslate2, greedy", "transformers, greedy CTC, clip by clip"]
_NUMBERS: Mapping[str, tuple[str, ...]] = {
    TRANSFORMERS: ("fp32", "bf16"),
    CTRANSLATE2: ("fp32", "int8"),
    CTC: ("fp32", "bf16"),
}

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
        precision: bf16 is of a Whisper's encoder alone, and of a CTC model; int8 is CTranslate2's.
    """

    audio_context: AudioContext
    language: str
    max_new_tokens: int = 200
    precision: Precision | Literal["int8"] = "fp32"
    engine: Program = TRANSFORMERS
    timestamps: bool = False

    def __post_init__(self) -> None:
        if self.precision not in _NUMBERS[self.engine]:
            raise ValueError(f"{self.engine}: does not compute in {self.precision}")

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
        ConfigError: seconds of audio context for a CTC model, or an engine that cannot decode it here.
    """
    check_engine(engine, family, device)
    precision = choose_precision("auto", choose_device(device))
    if family == "ctc":
        if not isinstance(audio_context, str):
            raise ConfigError(
                f"audio_context: {audio_context:g} seconds are for Whisper; a CTC model hears the whole clip"
            )
        return Decoding("full", language, max_new_tokens, precision, CTC)
    chosen = chosen_engine(engine, audio_context, device)
    if chosen == "torch":
        return Decoding(audio_context, language, max_new_tokens, precision)
    return Decoding(audio_context, language, max_new_tokens, _numbers_of(chosen), CTRANSLATE2)


def chosen_engine(engine: Engine, audio_context: AudioContext, device: str) -> Engine:
    """The engine itself; in place of `auto` the one that was faster, see docs/performance.md.

    Scores are compared within one engine only, so a run chooses once, by the context that its models are tuned in.
    """
    if engine != "auto":
        return engine
    on = choose_device(device)
    installed = find_spec("ctranslate2") is not None
    return fastest_engine(audio_context, choose_precision("auto", on), on, installed=installed)


def fastest_engine(
    audio_context: AudioContext, precision: Precision, device: torch.device, *, installed: bool
) -> Literal["torch", "ctranslate2"]:
    """The engine that was faster where it was measured, at the same words.

    On a processor CTranslate2 is, but for 30 s of context where torch multiplies bf16: there the encoder is most of the
    work. On a GPU only torch was measured.

    Args:
        installed: whether CTranslate2 is there.
    """
    if not installed or device.type != "cpu":
        return "torch"
    full = audio_context == "full" or (not isinstance(audio_context, str) and audio_context >= FULL_SECONDS)
    return "torch" if full and precision == "bf16" else "ctranslate2"


def check_engine(engine: Engine, family: Family, device: str) -> None:
    """Refuses an engine that cannot decode a model of this family here.

    Raises:
        ConfigError: it is for other models, not installed, or not for this device.
    """
    if engine in ("torch", "auto"):
        return
    if family == "ctc":
        raise ConfigError(f"scoring.engine: {engine} decodes Whispers, and this is a CTC model")
    if find_spec("ctranslate2") is None:
        raise ConfigError(f'scoring.engine: {engine} needs CTranslate2, not installed: pip install "asr-tv[export]"')
    from asr_tv.decoding.whisper_ctranslate2 import why_not

    if reason := why_not(choose_device(device), _numbers_of(engine)):
        raise ConfigError(f"scoring.engine: {engine} cannot be had here: {reason}")


def _numbers_of(engine: Engine) -> Literal["fp32", "int8"]:
    return "int8" if engine == "ctranslate2_int8" else "fp32"
