"""The configuration of speech synthesis: `synthesis` and the sections of its engines."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from asr_tv.config.section import NotNegativeRange, Positive, PositiveRange, Section, ordered
from asr_tv.errors import ConfigError

Rate = Annotated[float, Field(ge=80, le=450)]
Percent = Annotated[float, Field(ge=0, le=100)]


class EspeakConfig(Section):
    """espeak-ng: each take draws its rate and its pitch from the ranges, on espeak-ng's own scales."""

    words_per_minute: Annotated[tuple[Rate, Rate], AfterValidator(ordered)] = (140.0, 190.0)
    pitch: Annotated[tuple[Percent, Percent], AfterValidator(ordered)] = (35.0, 65.0)
    pitch_range: Annotated[tuple[Percent, Percent], AfterValidator(ordered)] = (40.0, 60.0)


class NeuralConfig(Section):
    """How a synthesiser of transformers runs; `HOW_TO_RUN` never enters a key."""

    HOW_TO_RUN: ClassVar[frozenset[str]] = frozenset({"device", "batch_size", "cpu_offload"})
    device: str = "auto"
    batch_size: int = Field(8, ge=1, description="clips spoken side by side")


class BarkConfig(NeuralConfig):
    """Bark: each take is a draw of its own; a voice without a preset is another person in each take."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto: bf16 on a GPU, else fp32")
    cpu_offload: bool = Field(False, description="hold one of Bark's four models on the GPU at a time")
    temperature: Positive | None = Field(None, description="of semantic and coarse tokens; the model's own if not set")
    words_at_once: int = Field(30, ge=5, description="longer texts are spoken in parts; 30 words are about 13 s")


class SpeechT5Config(NeuralConfig):
    """SpeechT5: the spectrum's vocoder and the speakers' x-vectors."""

    vocoder: str = "microsoft/speecht5_hifigan"
    embeddings: str = Field(
        "regisss/cmu-arctic-xvectors", description="x-vectors: a dataset of the hub, or an .npz or .parquet file"
    )


def _engine(name: str) -> str:
    return _ALIASES.get(name, name)


_ALIASES = {"espeak-ng": "espeak", "espeakng": "espeak"}
_NEED_A_VOICE = ("espeak", "piper", "bark", "speecht5")
_PIPER_VOICE = "en_US-joe-medium"


def default_voices(engine: str, language: str) -> dict[str, Any]:
    """The voices of an engine where none is named, as settings: espeak-ng's of the language, Piper's of English.

    Raises:
        ConfigError: the engine has no default for this language.
    """
    engine = _engine(engine)
    if engine == "espeak":
        return {"voices": [language]}
    if (engine == "piper" and language == "en") or engine not in _NEED_A_VOICE:
        return {}
    raise ConfigError(f"--voice: the engine {engine} has no default voice for {language}: name one")


class SynthesisConfig(Section):
    """How texts are spoken. Each take draws its scales from the ranges, seeded by text and take.

    A voice is one of `engine`'s, or of another's with that engine's name before it: `espeak:en-us+f3`.
    """

    engine: Annotated[str, AfterValidator(_engine)] = "piper"
    voices: tuple[str, ...] = (_PIPER_VOICE,)
    language: str | None = Field(None, description="of voices that do not say theirs, as Bark's without a preset")
    voices_per_text: int | None = Field(
        None, ge=1, description="speak each text in so many of the voices, drawn by seed; all when not given"
    )
    takes: int = Field(2, ge=1, description="clips of each target sentence and voice; a source sentence has one")
    length_scale: PositiveRange = (0.85, 1.2)
    noise_scale: NotNegativeRange = (0.4, 0.9)
    noise_w_scale: NotNegativeRange = (0.5, 1.0)
    max_words: int = Field(60, ge=1, description="longer texts are not spoken, and listed")
    gain_db: float = Field(0.0, ge=-60, le=60, description="of every clip; its peak stays below full scale")
    high_hz: Positive | None = Field(None, ge=1000, description="upper end of every clip's band")
    match: Literal["source"] | None = Field(
        None,
        description="source: speaking rate, gain_db and high_hz, and augmentation.snr_db, follow the source recordings",
    )
    spoken_form: bool = Field(True, description="speak English numbers, times and symbols as words; labels stay")
    espeak: EspeakConfig = EspeakConfig()
    bark: BarkConfig = BarkConfig()
    speecht5: SpeechT5Config = SpeechT5Config()

    @model_validator(mode="after")
    def _voices_are_the_engine_s(self) -> Self:
        if self.engine in _NEED_A_VOICE and self.engine != "piper" and "voices" not in self.model_fields_set:
            raise ValueError(f"voices: the default is Piper's, and engine is {self.engine}: name one of its voices")
        return self
