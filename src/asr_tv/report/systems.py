"""The names of a report's rows and rates, in the report and on display."""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from asr_tv.text.normalize import CHARACTERS

if TYPE_CHECKING:
    from asr_tv.config.run import Start

TARGET_ROW: Mapping["Start", str] = {
    "pretrained": "target_synthetic",
    "joint": "joint",
    "source_real": "source_real_then_target_synthetic",
    "source_mixed": "source_mixed_then_target_synthetic",
}


def target_row(start: "Start", augmentation: bool) -> str:
    """The name under which a target-tuned checkpoint is reported."""
    return TARGET_ROW[start] + ("_augmented" if augmentation else "")


ADAPTED = "adapted"
ADAPTED_SHORT = "adapted_short_context"
"""The same model in the shorter context that it was tuned in; all other rows are in Whisper's 30 s."""
BASELINE = "target_synthetic"
PRETRAINED = "pretrained"
PRETRAINED_PROMPTED, ADAPTED_PROMPTED = f"{PRETRAINED} + prompt", f"{ADAPTED} + prompt"
"""Both after the same prompt, which was chosen for the pretrained model."""
PRETRAINED_SHORT = "pretrained_short_context"
"""The same model once it was made safe on a short audio context: all trainings start from it."""

SOURCE_MIXED = "source_mixed"
TEXT_ONLY_DECODER = "text_only_decoder"
"""The pretrained model with its decoder tuned on the target's texts, without audio."""
TOPLINE = "topline"
"""Tuned on real recordings of the target: what the text alone stands in for."""
TARGET_REAL = "target_real"
"""The topline in a table of targets."""
CEILING = "source_mixed_then_target_real"
"""The topline from the start of the plain rival: what better speech of the same sentences could buy it at most."""
HEARD_TARGET = frozenset({TOPLINE, TARGET_REAL, CEILING})
"""Rows that used real recordings of the target."""
MAIN = (PRETRAINED, BASELINE, ADAPTED)
"""The systems that are shown where there is no room for all."""

RATES = {"WER": "word error rate", "CER": "character error rate"}
"""The rates of errors, and what they stand for."""


def rate_of(normalizers: Iterable[str | None]) -> str:
    """What error rates under these normalisers are: WER, or CER where each character was counted as a word."""
    return "CER" if CHARACTERS in normalizers else "WER"


def rate_name(scored: Iterable[Mapping[str, Any]]) -> str:
    """What the rates of a report's rows are, as in `rate_of`."""
    return rate_of((row.get("conditions") or {}).get("normalizer") for row in scored)


_DISPLAY_NAMES = {
    BASELINE: "target",
    "source_real_then_target_synthetic": "real → target",
    "source_mixed_then_target_synthetic": "mixed → target",
    "source_real": "source real",
    "source_synthetic": "source synthetic",
    "source_mixed": "source mixed",
    TARGET_REAL: "target real",
    CEILING: "mixed → target real",
    TEXT_ONLY_DECODER: "decoder on texts",
    PRETRAINED_SHORT: "pretrained, short context",
    ADAPTED_SHORT: "adapted, short context",
}
_VARIANTS = {"_augmented": ", augmented", "_ungated": ", ungated"}
_NAME = re.compile(r"(\w+?)(_augmented|_ungated|)( [(+].*|)", re.DOTALL)


def display_name(name: str) -> str:
    """A row's name short enough for a table; a name that is not known stays as it is.

    What follows a known name stays behind it: `target_synthetic + pooled` is `target + pooled`.
    """
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in _DISPLAY_NAMES:
        return name
    return _DISPLAY_NAMES[match[1]] + _VARIANTS.get(match[2], "") + match[3]


def try_command(folder: str) -> str:
    """The command that opens a page to speak to a run's models, for a shell."""
    return shlex.join(["asr-tv", "try", folder])
