"""Which settings each kind of recogniser knows, and that a key holds only those."""

import pytest

from asr_tv.config.run import TrainingConfig
from asr_tv.errors import ConfigError
from asr_tv.training.settings import deciding, settings_for


def test_whisper_takes_its_settings_as_they_are() -> None:
    training = TrainingConfig(audio_context=8.0, full_context_share=0.1)
    assert settings_for(training, "whisper") is training


@pytest.mark.parametrize("context", ["dynamic", "full"])
def test_a_ctc_model_hears_the_whole_clip(context: str) -> None:
    assert settings_for(TrainingConfig(audio_context=context), "ctc").audio_context == "full"  # type: ignore[arg-type]


def test_settings_of_whisper_are_refused_for_ctc_all_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        settings_for(TrainingConfig(audio_context=8.0, full_context_share=0.1), "ctc")
    assert [p.split(":")[0] for p in error.value.problems] == ["training.audio_context", "training.full_context_share"]


def test_settings_of_ctc_are_refused_for_whisper() -> None:
    with pytest.raises(ConfigError, match="freeze_feature_encoder: is for CTC models"):
        settings_for(TrainingConfig(freeze_feature_encoder=False), "whisper")


def test_the_key_of_a_whisper_is_what_it_was_before_there_was_a_choice() -> None:
    assert set(deciding(TrainingConfig(), "whisper")) == {
        *("epochs", "learning_rate", "batch_size", "warmup", "weight_decay", "gradient_clip"),
        *("audio_context", "full_context_share", "precision"),
    }


def test_a_choice_enters_the_key_and_what_has_no_effect_does_not() -> None:
    assert deciding(TrainingConfig(trainable="ia3"), "whisper")["trainable"] == {
        "ia3": {"targets": [], "feedforward": []}
    }
    known = deciding(TrainingConfig(), "ctc")
    assert known["freeze_feature_encoder"] is True
    assert not {"audio_context", "full_context_share", "trainable"} & known.keys()
