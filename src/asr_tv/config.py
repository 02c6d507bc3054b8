"""One run's configuration: a typed, frozen tree with one home for each default; unknown keys are refused.

Everything here changes numbers, and so enters the keys of the stages that use it, except `RunOptions`, which
says only how to run.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from asr_tv.errors import ConfigError

Start = Literal["pretrained", "source_real", "source_mixed"]
Pooling = Literal["pooled", "mean_of_domains"]
Range = tuple[float, float]
AudioContext = Literal["full", "dynamic"] | Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of the configuration: immutable, and closed against keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LineConfig(Section):
    """A *simulated line*: what a telephone channel would do to studio recordings. Seeded per utterance."""

    codec: Literal["gsm", "none"] = "gsm"
    snr_db: float = 10.0
    seed: int = 0


class CorpusConfig(Section):
    """Labelled speech.

    `kind` asterisk: the Asterisk core prompts in `language`. manifest: a JSONL file. audiofolder: a folder in
    Hugging Face's audiofolder form.
    """

    kind: Literal["asterisk", "manifest", "audiofolder"]
    path: str | None = None
    language: str = "en"
    domains: tuple[str, ...] | None = Field(None, description="keep only these domains")
    max_seconds: Positive = Field(15.0, description="longer recordings are left out, and listed")
    max_per_domain: int | None = Field(None, ge=2, description="keep at most so many utterances of a domain, seeded")
    line: LineConfig | None = Field(None, description="make a simulated line of the recordings")

    @model_validator(mode="after")
    def _path_where_needed(self) -> Self:
        if (self.kind == "asterisk") == (self.path is not None):
            raise ValueError(f"kind {self.kind} {'takes no path' if self.path else 'needs a path'}")
        return self


class TargetConfig(Section):
    """The new domain: a domain of the corpora, or a text file with one sentence a line."""

    domain: str | None = None
    texts: str | None = Field(None, description="one sentence a line; overrides domain")
    test_fraction: Fraction = Field(0.5, description="share of the sentences whose recordings are kept for the test")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.domain is None and self.texts is None:
            raise ValueError("needs domain or texts")
        return self


class SplitConfig(Section):
    """Shares of each source domain's sentences. dev chooses the recipe; test is read by the final scoring only."""

    dev: Fraction = 0.2
    test: Fraction = 0.1

    @model_validator(mode="after")
    def _something_to_train(self) -> Self:
        if self.dev + self.test >= 1:
            raise ValueError("dev and test leave nothing to train on")
        return self


class SynthesisConfig(Section):
    """How texts are spoken. Each take draws its scales from the ranges, seeded by text and take."""

    engine: str = "piper"
    voices: tuple[str, ...] = ("en_US-joe-medium",)
    takes: int = Field(2, ge=1, description="clips of each target sentence and voice; a source sentence has one")
    length_scale: Range = (0.85, 1.2)
    noise_scale: Range = (0.4, 0.9)
    noise_w_scale: Range = (0.5, 1.0)
    max_words: int = Field(60, ge=1, description="longer texts are not spoken, and listed")


class AugmentationConfig(Section):
    """Channel augmentation, applied while training and to synthetic speech only. Ranges are drawn uniformly."""

    snr_db: Range = (0.0, 25.0)
    silence_seconds: Range = Field((0.0, 0.4), description="before and after the speech, each")
    speed: Range = (0.9, 1.1)
    gain_db: Range = (-6.0, 3.0)
    probability: Fraction = 0.9


class TrainingConfig(Section):
    """Fine-tuning.

    `audio_context` is the length the encoder sees: "full" (Whisper's 30 s), "dynamic" (each batch as long as its
    longest clip) or a number of seconds. A checkpoint is decoded in the context it was tuned in.
    """

    epochs: int = Field(3, ge=1)
    learning_rate: Positive = 1e-5
    batch_size: int = Field(8, ge=1)
    warmup: Fraction = 0.1
    weight_decay: float = Field(0.01, ge=0)
    gradient_clip: Positive = 1.0
    audio_context: AudioContext = "dynamic"
    full_context_share: Fraction = Field(0.1, description="share of batches padded to 30 s in spite of audio_context")
    precision: Literal["auto", "bf16", "fp32"] = "auto"

    def scaled(self, learning_rate: float, epochs: float) -> "TrainingConfig":
        """The same recipe with the learning rate and the number of epochs multiplied."""
        return self.model_copy(
            update={
                "learning_rate": self.learning_rate * learning_rate,
                "epochs": max(1, round(self.epochs * epochs)),
            }
        )


class Recipe(Section):
    """How the adapted model is made: `start` tuned on the target's synthetic speech, plus coefficient x vector."""

    start: Start = "pretrained"
    augmentation: bool = True
    scaling_coef: float = 0.5


class SelectionConfig(Section):
    """How the recipe is chosen: on source domains only, or fixed beforehand."""

    method: Literal["leave_one_source_domain_out", "fixed"] = "leave_one_source_domain_out"
    folds: int = Field(2, ge=1, description="so many source domains, the largest first, play the target")
    starts: tuple[Start, ...] = ("pretrained", "source_real", "source_mixed")
    augmentation: tuple[bool, ...] = (False, True)
    scaling_coefs: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    fixed: Recipe = Recipe()


class VectorConfig(Section):
    """The SYN2REAL vector: from pooled source domains, or the mean of one vector a domain."""

    pooling: Pooling = "pooled"


class ScoringConfig(Section):
    """Decoding and scoring; part of every score's conditions."""

    normalizer: Literal["english", "basic", "none"] = "english"
    max_new_tokens: int = Field(200, ge=1, le=440)
    resamples: int = Field(2000, ge=100)
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class ForgettingConfig(Section):
    """The guard: how much WER on general speech the adapted model may lose, relative to the pretrained one."""

    max_relative: float = Field(0.1, ge=0)


class RunOptions(Section):
    """How to run; never part of a key."""

    device: str = "auto"
    workers: int = Field(0, ge=0, description="processes for speech synthesis; 0: one a core")
    eval_batch_size: int = Field(16, ge=1)


class AdaptConfig(Section):
    """A whole run of `asr-tv adapt`."""

    name: str
    seed: int = 17
    model: str = "openai/whisper-tiny.en"
    language: str = "en"
    corpora: tuple[CorpusConfig, ...] = Field((), description="labelled speech of the source domains (and the target)")
    sources: tuple[str, ...] | None = Field(None, description="source domains; all but the target's when not given")
    target: TargetConfig | None = None
    general: tuple[CorpusConfig, ...] = Field((), description="speech that adaptation must not lose; scored only")
    drop_shared_sentences: bool = Field(True, description="leave test sentences of the target out of source training")
    max_source_utterances: int | None = Field(None, ge=2, description="train on so many utterances a source domain")
    splits: SplitConfig = SplitConfig()
    synthesis: SynthesisConfig = SynthesisConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()
    second_stage_learning_rate: Positive = Field(0.1, description="factor on training.learning_rate (the paper's 0.1)")
    target_epochs: Positive = Field(1.0, description="factor on training.epochs when tuning on the target's clips")
    mixed_epochs: Positive = Field(1.0, description="factor on training.epochs for source_mixed, twice the data")
    vector: VectorConfig = VectorConfig()
    selection: SelectionConfig = SelectionConfig()
    pretrained_weight: Fraction = Field(0.0, description="share of the pretrained weights averaged into the result")
    scoring: ScoringConfig = ScoringConfig()
    forgetting: ForgettingConfig = ForgettingConfig()
    run: RunOptions = RunOptions()


def parse_config(values: Any, source: str) -> AdaptConfig:
    """The configuration in `values`, the content of a YAML file.

    Args:
        source: the file's name, for messages.

    Raises:
        ConfigError: every problem at once, each with its path; for an unknown key, the keys that exist there.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: expected keys and values, found {type(values).__name__}")
    try:
        return AdaptConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_problem(source, e["loc"], e["type"], e["msg"], e["input"]) for e in error.errors()) from None


def _problem(source: str, loc: tuple[int | str, ...], kind: str, message: str, value: Any) -> str:
    path = ".".join(str(part) for part in loc)
    if kind == "extra_forbidden":
        return f"{source}: unknown key {path}; keys here: {', '.join(sorted(_keys_at(loc[:-1])))}"
    if kind == "missing":
        return f"{source}: {path} is missing"
    return f"{source}: {path or 'configuration'}: {message.removeprefix('Value error, ')} (found {value!r:.60})"


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the section at a pydantic location; the location's list indices are passed over."""
    section: type[BaseModel] = AdaptConfig
    for part in loc:
        if isinstance(part, str) and part in section.model_fields:
            section = _section_in(section.model_fields[part].annotation) or section
    return list(section.model_fields)


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_section_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((section for section in inner if section is not None), None)


def with_overrides(values: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """`values` with dotted paths replaced, as `--set training.epochs=2` asks; the input is not changed."""
    result = dict(values)
    for path, value in settings.items():
        head, _, rest = path.partition(".")
        if rest:
            inner = result.get(head)
            result[head] = with_overrides(inner if isinstance(inner, dict) else {}, {rest: value})
        else:
            result[head] = value
    return result
