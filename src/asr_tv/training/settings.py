"""Which settings of a training apply to which family of models."""

from typing import Any

from asr_tv.config.run import TrainingConfig
from asr_tv.config.section import Family
from asr_tv.config.trainable import ALL
from asr_tv.errors import ConfigError


def settings_for(training: TrainingConfig, family: Family) -> TrainingConfig:
    """The training as it applies to this family; a CTC model is always given the whole clip.

    Raises:
        ConfigError: all settings that would have no effect.
    """
    if family == "whisper":
        if not training.freeze_feature_encoder:
            raise ConfigError("training.freeze_feature_encoder: is for CTC models, and this one is a Whisper")
        return training
    problems = []
    if not isinstance(training.audio_context, str):
        problems.append(
            f"training.audio_context: {training.audio_context:g} seconds are for Whisper; a CTC model hears the whole "
            "clip: leave it out"
        )
    if training.full_context_share and "full_context_share" in training.model_fields_set:
        problems.append("training.full_context_share: is for Whisper; a CTC model hears the whole clip")
    if problems:
        raise ConfigError(problems)
    return training.model_copy(update={"audio_context": "full"})


def deciding(training: TrainingConfig, family: Family) -> dict[str, Any]:
    """The settings that determine a result, for a key: as JSON, without those that do not apply."""
    settings = training.model_dump(mode="json")
    unknown = ("audio_context", "full_context_share") if family == "ctc" else ("freeze_feature_encoder",)
    default = {"trainable": training.trainable == ALL, "gradient_checkpointing": not training.gradient_checkpointing}
    left_out = {*unknown, *(name for name, is_default in default.items() if is_default)}
    return {name: value for name, value in settings.items() if name not in left_out}
