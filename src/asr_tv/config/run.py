"""One run's configuration: a typed, frozen tree with one home for each default; unknown keys are refused.

Everything here changes numbers, and so enters the keys of the stages that use it, except `RunOptions`, which
says only how to run.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, model_validator

from asr_tv.config.biasing import BiasingConfig as BiasingConfig
from asr_tv.config.clips import AugmentationConfig as AugmentationConfig
from asr_tv.config.clips import ChannelConfig as ChannelConfig
from asr_tv.config.clips import GateConfig as GateConfig
from asr_tv.config.corpora import CorpusConfig as CorpusConfig
from asr_tv.config.corpora import LineConfig as LineConfig
from asr_tv.config.proxy import ProxyConfig as ProxyConfig
from asr_tv.config.section import AudioContext as AudioContext
from asr_tv.config.section import Choices, Fraction, Language, Names, NotNegative, Positive, distinct
from asr_tv.config.section import Section as Section
from asr_tv.config.selection import Recipe as Recipe
from asr_tv.config.selection import SelectionConfig as SelectionConfig
from asr_tv.config.selection import Start as Start
from asr_tv.config.synthesis import SynthesisConfig as SynthesisConfig
from asr_tv.config.test_time import TestTimeConfig as TestTimeConfig
from asr_tv.config.trainable import ALL, Trainable, parse_trainable, written

WITHOUT_SPACES = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km", "bo"})
"""Languages that are written without spaces between words."""
Pooling = Literal["pooled", "mean_of_domains", "ties"]
AnySection = TypeVar("AnySection", bound=Section)
Tuned = Annotated[Trainable, PlainValidator(parse_trainable), PlainSerializer(written)]
"""What a training may change, as a configuration writes it."""


def _folder_name(name: str) -> str:
    if not name.strip() or name in (".", "..") or any(character in name for character in "/\\\0\n"):
        raise ValueError("must be usable as a folder's name")
    return name


class TargetConfig(Section):
    """The new domain: a domain of the corpora, or a text file with one sentence a line."""

    domain: str | None = None
    texts: str | None = Field(None, description="one sentence a line; overrides domain")
    test_fraction: float = Field(
        0.5, ge=0, lt=1, description="share of the sentences whose recordings are kept for the test"
    )

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


class TrainingConfig(Section):
    """Fine-tuning.

    `audio_context` is the length the encoder sees: "full" (Whisper's 30 s), "dynamic" (each batch as long as its
    longest clip) or a number of seconds. Scores are in 30 s, where other programs decode; a shorter context is cheaper.
    `trainable` is what may change: docs/training.md lists the choices.
    """

    epochs: int = Field(3, ge=1)
    learning_rate: Positive = 1e-5
    batch_size: int = Field(8, ge=1)
    warmup: Fraction = 0.1
    weight_decay: float = Field(0.01, ge=0)
    gradient_clip: Positive = 1.0
    audio_context: AudioContext = "dynamic"
    full_context_share: Fraction = Field(0.3, description="share of batches padded to 30 s in spite of audio_context")
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    trainable: Tuned = ALL
    gradient_checkpointing: bool = Field(
        False, description="compute the activations of tuned blocks twice instead of keeping them: less memory, slower"
    )
    freeze_feature_encoder: bool = Field(True, description="CTC models only: leave the convolutions as they are")

    def scaled(self, learning_rate: float, epochs: float) -> "TrainingConfig":
        """The same recipe with the learning rate and the number of epochs multiplied."""
        return self.model_copy(
            update={"learning_rate": self.learning_rate * learning_rate, "epochs": max(1, round(self.epochs * epochs))}
        )


class ContextStartConfig(Section):
    """Distillation of the pretrained model from itself, so that it is safe on a short audio context."""

    epochs: int = Field(3, ge=1)
    learning_rate: Positive = 1e-5
    batch_size: int = Field(8, ge=1)


class RehearsalConfig(Section):
    """General sentences, spoken by the run's voices, among the target's clips.

    On them a tuned Whisper keeps the answers of the pretrained one (learning without forgetting, arXiv 1606.09282); CTC
    models are tuned without.
    """

    share: NotNegative = Field(1.0, description="general clips for each clip of the target; 0: none")
    weight: NotNegative = Field(1.0, description="factor on the loss of a general clip")
    texts: str | None = Field(
        None, description="one sentence a line; not given, a list that comes with asr-tv, which is in English"
    )


class ReplayConfig(Section):
    """Replay of the source domains among the target's clips, so that less is forgotten.

    real and synthetic replay source utterances; texts speaks their sentences anew; generated needs neither recordings
    nor sentences, but a word n-gram of each domain, whose sentences are spoken (LAMOL, arXiv 1909.03329).
    """

    share: NotNegative = Field(0.0, description="source utterances for each clip of the target; 0: none")
    origin: Literal["real", "synthetic", "texts", "generated"] = "real"
    order: int = Field(3, ge=1, le=6, description="generated: of the n-gram; more recites more of the sentences")
    novel: bool = Field(False, description="generated: leave out what the n-gram recites")
    writers: Names = Field((), description="generated: domain: file of its text model; its texts are not needed")


class VectorConfig(Section):
    """The SYN2REAL vector: from pooled source domains, or one vector per domain, averaged or merged by TIES."""

    pooling: Pooling = "pooled"
    ties_keep: Positive = Field(0.2, le=1, description="share of each vector's entries that TIES keeps")
    published: str | None = Field(None, description="folder of a published vector, for a run without source speech")
    scaling_coef: float | None = Field(None, description="of a published vector; not given, what its card recommends")


class TextsConfig(Section):
    """The target's sentences, written from its terms: what `asr-tv texts` does, as a stage of the run."""

    terms: str = Field(description="a file of terms, one a line: `term`, or `slot: term`")
    sentences: str | None = Field(None, description="a file of sentences, one a line; {slot} stands for a slot's terms")
    count: int = Field(200, ge=1)
    exclude: str | None = Field(None, description="a file of sentences that must not be written")
    llm: str | None = Field(None, description="a language model at an OpenAI-compatible endpoint, beside templates")
    llm_url: str = Field("http://localhost:8000/v1", description="the endpoint, without /chat/completions")
    llm_key: str = Field("OPENAI_API_KEY", description="environment variable that holds the endpoint's key")
    local_llm: str | None = Field(None, description="a language model of transformers, by name or folder")

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if self.llm and self.local_llm:
            raise ValueError("llm and local_llm: one language model at a time")
        return self


Engine = Literal["torch", "ctranslate2", "ctranslate2_int8", "auto"]
"""What decodes a Whisper."""


class ScoringConfig(Section):
    """Decoding and scoring; part of every score's conditions."""

    engine: Engine = Field(
        "torch",
        description="what decodes a Whisper; auto: CTranslate2 where it is installed and was measured to be faster",
    )
    normalizer: Literal["english", "basic", "characters", "none"] = "english"
    max_new_tokens: int = Field(200, ge=1, le=440)
    beams: int = Field(1, ge=1, le=25, description="of a beam search, for Whisper; 1 is greedy")
    terms: Choices[str] | str | None = Field(
        None,
        description="words and phrases that matter, or a text file of them; found in the target's texts if not given",
    )
    resamples: int = Field(2000, ge=100)
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class ForgettingConfig(Section):
    """The guard: how much WER on general speech the adapted model may lose, relative to the pretrained one.

    The recipe is chosen within it on the general dev recordings. Reported always; a configuration that names it makes a
    run that loses more on the general test end as failed, its model kept.
    """

    max_relative: float = Field(0.05, ge=0)
    dev: Fraction = Field(0.5, description="share of the general sentences that choose; the others are the test")
    max_domain_words: NotNegative | None = Field(
        None, description="words of the domain that nobody said, per 1,000 of general speech, more than pretrained"
    )


class RetentionConfig(Section):
    """What else is measured of the pretrained and the adapted model; costs no training."""

    noise_seconds: NotNegative = Field(
        10.0, description="of silence, noise and music, each: words heard there, and loops; 0: none"
    )
    short_clips: int = Field(
        24, ge=0, le=24, description="of one or two English words, spoken by the run's voices: loops there; 0: none"
    )
    other_languages: tuple[CorpusConfig, ...] = Field((), description="for multilingual models; scored only")
    timestamps: bool = Field(False, description="decode the general speech with timestamps: how many are valid")

    @property
    def asked(self) -> bool:
        return bool(self.noise_seconds or self.short_clips or self.other_languages or self.timestamps)


class SourceGapConfig(Section):
    """The report's comparison of source recordings with the synthetic clips of their sentences; costs no training."""

    clips: int = Field(100, ge=0, description="recordings that are measured, and as many clips; 0: none")


class RunOptions(Section):
    """How to run; never part of a key."""

    device: str = "auto"
    workers: int = Field(0, ge=0, description="processes for speech synthesis; 0: one a core")
    jobs: int = Field(1, ge=1, description="independent trainings and transcriptions side by side")
    eval_batch_size: int = Field(16, ge=1)


class AdaptConfig(Section):
    """A whole run of `asr-tv adapt`."""

    name: Annotated[str, AfterValidator(_folder_name)] = Field(description="also the folder's, in runs/")
    seed: int = 17
    training_seed: int | None = Field(
        None, description="of the trainings alone; splits, speech and intervals keep `seed`"
    )
    model: str = "openai/whisper-tiny.en"
    language: Language = "en"
    corpora: tuple[CorpusConfig, ...] = Field((), description="labelled speech of the source domains (and the target)")
    sources: Annotated[tuple[str, ...], AfterValidator(distinct)] | None = Field(
        None, description="source domains; all but the target's when not given"
    )
    target: TargetConfig | None = None
    texts: TextsConfig | None = Field(None, description="write the sentences of target.domain from its terms")
    general: tuple[CorpusConfig, ...] = Field((), description="speech that adaptation must not lose; never trained on")
    drop_shared_sentences: bool = Field(True, description="leave test sentences of the target out of source training")
    max_source_utterances: int | None = Field(None, ge=2, description="train on so many utterances a source domain")
    splits: SplitConfig = SplitConfig()
    synthesis: SynthesisConfig = SynthesisConfig()
    gate: GateConfig | None = Field(None, description="the quality gate between synthesis and training; off by default")
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()
    context_start: ContextStartConfig | None = Field(
        None, description="first make the pretrained model safe on a short audio context; {} takes the defaults"
    )
    short_context_updates: int = Field(
        60,
        ge=0,
        description="a run from text alone with fewer updates is tuned in 30 s: a pretrained Whisper loops on short "
        "audio until it has been tuned on it; 43 updates cured that on the demo's corpus, 21 to 25 did not",
    )
    second_stage_learning_rate: Positive = Field(0.1, description="factor on training.learning_rate (the paper's 0.1)")
    target_epochs: Positive = Field(1.0, description="factor on training.epochs when tuning on the target's clips")
    target_trainable: Tuned | None = Field(
        None, description="what tuning on the target's clips may change; training.trainable when not given"
    )
    mixed_epochs: Positive = Field(1.0, description="factor on training.epochs for source_mixed, twice the data")
    vector: VectorConfig = VectorConfig()
    selection: SelectionConfig = SelectionConfig()
    rehearsal: RehearsalConfig = RehearsalConfig()
    replay: ReplayConfig = ReplayConfig()
    scoring: ScoringConfig = ScoringConfig()
    biasing: BiasingConfig | None = Field(
        None, description="rows of prompts, boosted terms and n-grams; {} takes the defaults"
    )
    test_time: TestTimeConfig | None = Field(
        None, description="rows of CTC models that adapt while they listen; {} takes the defaults"
    )
    proxy: ProxyConfig | None = Field(
        None,
        description="scores on sentences kept out and spoken by other engines; {} takes the defaults",
    )
    forgetting: ForgettingConfig = ForgettingConfig()
    retention: RetentionConfig = RetentionConfig()
    source_gap: SourceGapConfig = SourceGapConfig()
    run: RunOptions = RunOptions()

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        if problems := [*_language_conflicts(self), *_source_conflicts(self), *_text_conflicts(self)]:
            raise ValueError("\n".join(problems))
        return self


def _language_conflicts(config: AdaptConfig) -> Iterator[str]:
    language = config.language
    if language != "en" and "whisper" in config.model and config.model.endswith(".en"):
        yield f"model: {config.model} knows English only, and language is {language}"
    unspaced, normalizer = language in WITHOUT_SPACES, config.scoring.normalizer
    if language != "en" and normalizer == "english":
        advice = "characters" if unspaced else "basic"
        yield f"scoring.normalizer: english is for English, and language is {language}: use {advice}"
    if unspaced and normalizer in ("basic", "none"):
        yield f"scoring.normalizer: {normalizer} counts words by spaces, which {language} has not: use characters"
    for section in ("corpora", "general"):
        for number, corpus in enumerate(getattr(config, section)):
            if corpus.kind == "asterisk" and corpus.language != language:
                yield f"{section}.{number}.language: is {corpus.language}, and the run's language is {language}"
    others = [corpus.language for corpus in config.retention.other_languages]
    if others and config.model.endswith(".en"):
        yield f"retention.other_languages: {config.model} knows English only"
    if language in others:
        yield f"retention.other_languages: {language} is the run's own language"


def _source_conflicts(config: AdaptConfig) -> Iterator[str]:
    target, selection = config.target, config.selection
    fixed, chosen = selection.method == "fixed", selection.method != "fixed"
    if target and target.domain in (config.sources or ()):
        yield f"sources: {target.domain} is the target"
    if chosen and not config.splits.dev:
        yield "splits.dev: 0 leaves no recordings to choose the recipe on; selection.method fixed needs none"
    if config.corpora:
        return
    if chosen:
        yield "selection.method: leave_one_source_domain_out needs source speech in corpora; without it, use fixed"
    if fixed and selection.fixed.scaling_coef and not config.vector.published:
        coef = selection.fixed.scaling_coef
        yield f"selection.fixed.scaling_coef: {coef:g} needs a vector, so source speech in corpora; without it, 0"
    if fixed and selection.fixed.start != "pretrained":
        yield f"selection.fixed.start: {selection.fixed.start} needs source speech in corpora"
    if config.synthesis.match:
        yield "synthesis.match: source needs source speech in corpora"
    if config.replay.share and not config.replay.writers:
        yield f"replay.share: {config.replay.share:g} needs source speech in corpora; without it, 0"
    if target and target.domain and not target.texts and not config.texts:
        yield f"target.domain: {target.domain} is to be found in corpora, and there are none: give target.texts"


def _text_conflicts(config: AdaptConfig) -> Iterator[str]:
    target, vector, replay = config.target, config.vector, config.replay
    if config.texts and (target is None or target.domain is None or target.texts is not None):
        yield "texts: writes the sentences of a domain: name it in target.domain, and give no target.texts"
    if replay.writers and replay.origin != "generated":
        yield f"replay.writers: write for replay.origin generated, and it is {replay.origin}"
    if target and target.domain in dict(replay.writers):
        yield f"replay.writers: {target.domain} is the target"
    if vector.published is None:
        if vector.scaling_coef is not None:
            yield "vector.scaling_coef: is of vector.published; selection has that of a run's own vector"
        return
    if config.selection.method != "fixed" or config.selection.fixed.start != "pretrained":
        yield "vector.published: needs selection.method fixed with selection.fixed.start pretrained"
    if "scaling_coef" in config.selection.fixed.model_fields_set and config.selection.fixed.scaling_coef:
        yield "selection.fixed.scaling_coef: a published vector's is vector.scaling_coef, or its card's"
