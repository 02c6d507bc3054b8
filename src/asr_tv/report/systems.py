"""The names of a report's rows."""

from collections.abc import Mapping

from asr_tv.config.run import Start

TARGET_ROW: Mapping[Start, str] = {
    "pretrained": "target_synthetic",
    "source_real": "source_real_then_target_synthetic",
    "source_mixed": "source_mixed_then_target_synthetic",
}


def target_row(start: Start, augmentation: bool) -> str:
    """The name under which a target-tuned checkpoint is reported."""
    return TARGET_ROW[start] + ("_augmented" if augmentation else "")


ADAPTED = "adapted"


ADAPTED_AT_30_S = "adapted_at_30_s"
"""The same model in Whisper's full context, as other programs will decode it."""


BASELINE = "target_synthetic"


PRETRAINED = "pretrained"


PRETRAINED_SHORT = "pretrained_short_context"
"""The same model once it was made safe on a short audio context: all trainings start from it."""


SOURCE_MIXED = "source_mixed"


TOPLINE = "topline"
"""Tuned on real recordings of the target: what the text alone stands in for."""
