"""The configuration of what happens to synthetic clips before training: the quality gate and channel realism."""

from typing import Annotated, Literal

from pydantic import Field

from asr_tv.config.section import (
    Choices,
    Fraction,
    NotNegative,
    NotNegativeRange,
    Positive,
    PositiveRange,
    Range,
    Section,
)

Codec = Literal["none", "gsm", "mulaw", "alaw", "g726", "opus"]


class GateConfig(Section):
    """Removes clips that do not say what their label says, judged against the other takes of the same text."""

    judge: str | None = Field(
        None, description="a Whisper that listens to the clips; the run's own model when not given"
    )
    retries: int = Field(1, ge=0, description="rounds in which texts with rejected clips are spoken again, other takes")
    cer_excess: Positive = Field(0.5, description="CER above the median of a text's other takes that rejects a clip")
    cer_excess_letters: NotNegative = Field(2.0, description="so many letters more, which counts in short texts")
    tempo_ratio: Annotated[float, Field(gt=1)] = Field(1.45, description="faster or slower than a text's other takes")
    lone_tempo_ratio: Annotated[float, Field(gt=1)] = Field(
        1.7, description="faster or slower than its letters predict, for a text with one take that is misheard, too"
    )
    clipped_share: Positive = Field(0.002, description="share of samples on flat tops that rejects a clip")
    edge_seconds: Positive = Field(0.5, description="longer silence before or after the speech is trimmed")
    ablation: bool = Field(True, description="also train target_synthetic on all clips, as a row of the report")


class ChannelConfig(Section):
    """Channel realism: a room, a line's band and a codec, each drawn anew for every clip and epoch."""

    room_probability: Fraction = 0.3
    reverberation_seconds: PositiveRange = Field((0.15, 0.6), description="RT60: the room's sound falls by 60 dB")
    direct_db: Range = Field((0.0, 15.0), description="energy of the direct sound over the room's")
    pink_noise_probability: Fraction = Field(0.5, description="pink in place of white noise")
    band_probability: Fraction = 0.5
    low_hz: PositiveRange = Field((50.0, 400.0), description="lower edge of the band")
    high_hz: PositiveRange = Field((3000.0, 7000.0), description="upper edge of the band")
    codecs: Choices[Codec] = Field(("none", "gsm", "mulaw", "opus"), description="one of them, each as likely")


class AugmentationConfig(Section):
    """Channel augmentation, applied while training and to synthetic speech only. Ranges are drawn uniformly."""

    snr_db: Range = (0.0, 25.0)
    silence_seconds: NotNegativeRange = Field((0.0, 0.4), description="before and after the speech, each")
    speed: PositiveRange = (0.9, 1.1)
    gain_db: Range = (-6.0, 3.0)
    probability: Fraction = 0.9
    channel: ChannelConfig | None = Field(None, description="a room, a band and a codec, too")
