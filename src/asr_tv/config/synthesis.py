"""The configuration of speech synthesis: `synthesis` and the sections of its engines."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

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


Speed = Annotated[float, Field(ge=0.5, le=2)]


class KokoroConfig(Section):
    """Kokoro: each take draws its speed from the range."""

    HOW_TO_RUN: ClassVar[frozenset[str]] = frozenset({"styles"})
    speed: Annotated[tuple[Speed, Speed], AfterValidator(ordered)] = (0.85, 1.15)
    styles: str | None = Field(
        None, description="folder of the voices' .bin files; fetched from the hub or by npm when not given"
    )


class HibariConfig(Section):
    """hibari: each take draws its speed from the range, and its noise by seed."""

    speed: Annotated[tuple[Speed, Speed], AfterValidator(ordered)] = (0.85, 1.15)


class PocketConfig(Section):
    """Pocket TTS: each take is a draw of its own."""

    HOW_TO_RUN: ClassVar[frozenset[str]] = frozenset({"clone"})
    temperature: Positive | None = Field(None, description="of the draws; the model's own if not set")
    clone: bool = Field(False, description="speak in the voices of recordings, whose speakers have agreed to it")


def _engine(name: str) -> str:
    return _ALIASES.get(name, name)


def _listed(voices: Any) -> Any:
    """`all` or a number as the only item of a list."""
    return (str(voices),) if isinstance(voices, str) or (isinstance(voices, int) and voices > 0) else voices


_ALIASES = {"espeak-ng": "espeak", "espeakng": "espeak"}
_NEED_A_VOICE = ("espeak", "piper", "bark", "speecht5", "kokoro", "hibari", "pocket")
_PIPER_VOICE = "en_US-joe-medium"


def default_voices(engine: str, language: str) -> dict[str, Any]:
    """The voices of an engine where none is named, as settings: one of the language.

    Raises:
        ConfigError: the engine has no default for this language.
    """
    engine = _engine(engine)
    if engine == "espeak":
        return {"voices": [language]}
    if engine == "kokoro":
        return {"voices": 1}
    if engine == "hibari" and language == "en":
        return {"voices": ["heart"]}
    if (engine == "piper" and language == "en") or engine not in _NEED_A_VOICE:
        return {}
    raise ConfigError(f"--voice: the engine {engine} has no default voice for {language}: name one")


class SynthesisConfig(Section):
    """How texts are spoken. Each take draws its scales from the ranges, seeded by text and take.

    A voice is one of `engine`'s, or of another's with that engine's name before it: `espeak:en-us+f3`.
    """

    engine: Annotated[str, AfterValidator(_engine)] = "piper"
    voices: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (_PIPER_VOICE,),
        description="names; or all, or how many voices of the language, by turns of sex and accent",
    )
    allow_noncommercial: bool = Field(False, description="also voices whose licence forbids commercial use")
    language: str | None = Field(None, description="of voices that do not say theirs, as Bark's without a preset")
    voices_per_text: int | None = Field(
        None,
        ge=1,
        description="speak each text in so many of the voices in each take, drawn by seed; when not given, in all that "
        "are named, or in one where voices is all or a number",
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
    kokoro: KokoroConfig = KokoroConfig()
    hibari: HibariConfig = HibariConfig()
    pocket: PocketConfig = PocketConfig()

    @property
    def voices_per_take(self) -> int:
        """How many voices speak a text in each take."""
        return min(self.voices_per_text or len(self.voices), len(self.voices))

    @model_validator(mode="after")
    def _voices_are_the_engine_s(self) -> Self:
        if self.engine in _NEED_A_VOICE and self.engine != "piper" and "voices" not in self.model_fields_set:
            raise ValueError(f"voices: the default is Piper's, and engine is {self.engine}: name one of its voices")
        return self
