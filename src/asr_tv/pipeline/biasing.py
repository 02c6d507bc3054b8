"""Rows of decode-time methods: their words from a target's texts, and their strengths chosen on the folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from asr_tv.config.biasing import BiasingConfig, BiasRow
from asr_tv.config.run import AdaptConfig
from asr_tv.config.section import Family
from asr_tv.data.manifest import Manifest, in_domain
from asr_tv.decoding.biasing.bias import SAFE_ALPHA, SAFE_BOOST, Bias
from asr_tv.decoding.biasing.phrases import MOST_PHRASES, Phrase
from asr_tv.decoding.biasing.prompts import nearest_sentences
from asr_tv.decoding.biasing.stages import internal_lm_stage, ngram_stage
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.transcribe import Sweep, transcribe
from asr_tv.errors import ConfigError
from asr_tv.models.vocabulary import load_tokenizer
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.hearing import Heard, RowChoice, hearing, step_of
from asr_tv.pipeline.material import Material, given_terms
from asr_tv.pipeline.misheard import with_variants
from asr_tv.pipeline.scoring import Hearing, decoding_of, score_hearings
from asr_tv.pipeline.text_only import text_only_row
from asr_tv.report.biasing import setting_told
from asr_tv.report.systems import ADAPTED, PRETRAINED, TEXT_ONLY_DECODER
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.store.payload import MODEL
from asr_tv.store.records import Purpose
from asr_tv.store.results import Record
from asr_tv.text.domain_terms import domain_terms, general_frequency, rarest_first
from asr_tv.text.rare_words import is_known


@dataclass(frozen=True)
class Words:
    """What the texts of one target, real or played, give to steer by.

    Attributes:
        terms: to boost, the domain's own first.
        rarest: the domain's own, the rarest first.
        internal_lm: where internal-LM subtraction is tried.
    """

    terms: tuple[Phrase, ...]
    rarest: tuple[str, ...]
    sentences: tuple[str, ...]
    ngram: Record
    internal_lm: Record | None


@dataclass(frozen=True)
class Setting:
    """One candidate of a row: a strength, or what a prompt is made of."""

    row: BiasRow
    boost: float = 0.0
    alpha: float = 0.0
    beta: float = 0.0
    gamma: float = 0.0
    terms: int = 0
    sentences: int = 0
    nearest: int = 0

    @property
    def chosen(self) -> dict[str, float]:
        """What it sets, by name."""
        names = ("boost", "alpha", "beta", "gamma", "terms", "sentences", "nearest")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


@dataclass(frozen=True)
class BiasedRows:
    """Decode-time rows on the target's test.

    Attributes:
        evaluations: by name of the row.
        terms: the listed terms, and `rarest` the same with the rarest first.
        distractors: terms of other domains that a boosted row had besides.
    """

    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    choices: tuple[RowChoice, ...] = ()
    terms: tuple[Phrase, ...] = ()
    rarest: tuple[str, ...] = ()
    distractors: tuple[str, ...] = ()
    ngram: Record | None = None


def check_biasing(config: AdaptConfig, family: Family) -> None:
    """Refuses what no row can be made of, before anything is trained.

    Raises:
        ConfigError: rows for another family of models, or more terms than are boosted.
    """
    if family != "ctc" and config.test_time is not None:
        raise ConfigError("test_time: adapts CTC models while they listen, and this is a Whisper")
    if family != "whisper" and (config.biasing is not None or config.scoring.beams > 1):
        raise ConfigError("biasing and scoring.beams: are for Whisper, and this is a CTC model")
    if config.biasing is not None and (given := len(given_terms(config))) > config.biasing.max_terms:
        raise ConfigError(
            f"scoring.terms: {given} terms, and biasing.max_terms is {config.biasing.max_terms}: "
            f"set it higher, at most {MOST_PHRASES}, or give the rarest"
        )


def settings_of(biasing: BiasingConfig, row: BiasRow) -> tuple[Setting, ...]:
    """The candidates of a row, the weakest first."""
    if row == "boost":
        return tuple(Setting(row, boost=boost) for boost in sorted(biasing.boosts))
    if row == "ngram":
        return tuple(
            Setting(row, alpha=alpha, beta=beta, gamma=round(share * alpha, 4))
            for alpha in sorted(biasing.alphas)
            for beta in sorted(biasing.betas, key=abs)
            for share in sorted(biasing.gammas)
            if alpha or not (share or beta)
        )
    terms = [Setting(row, terms=n) for n in biasing.prompt_terms]
    sentences = [Setting(row, sentences=n) for n in biasing.prompt_sentences]
    return (*terms, *sentences, *([Setting(row, nearest=biasing.nearest)] if biasing.nearest else []))


def safe_setting(biasing: BiasingConfig, row: BiasRow) -> Setting:
    """What is used where there is no fold to choose on."""
    if row == "boost":
        return Setting(row, boost=SAFE_BOOST)
    return Setting(row, alpha=SAFE_ALPHA) if row == "ngram" else Setting(row, terms=min(30, max(biasing.prompt_terms)))


def words_of(
    config: AdaptConfig,
    material: Material,
    texts: Manifest,
    others: Manifest,
    given: Sequence[str],
    execute: Executor,
    *,
    padded: bool = False,
    purpose: Purpose = "scoring",
) -> Words:
    """The words of a domain's texts.

    Args:
        others: texts of other domains, perhaps none.
        given: the user's terms; found in the texts where there are none.
        padded: fills the list with terms of the others, as distractors.
    """
    biasing = config.biasing
    assert biasing is not None  # nosec B101 - for the type checker
    known = is_known(load_tokenizer(material.base.path / MODEL))
    frequency = general_frequency(config.language)
    sentences = tuple(dict.fromkeys(u.text for u in texts))
    elsewhere = [u.text for u in others]
    own = tuple(given) or domain_terms(sentences, known, frequency, elsewhere, most=biasing.max_terms)
    listed = [*own, *(_foreign(elsewhere, own, sentences, known, frequency) if padded else ())][: biasing.max_terms]
    phrases = with_variants(config, material.base, texts.name, listed, elsewhere, known, execute)
    step = Step("ngram", texts.name, purpose=purpose, options=config.run)
    ngram = call(step, ngram_stage, material.base, texts, others, biasing.order, biasing.background_share)
    (record,) = execute([ngram])
    return Words(phrases, rarest_first(own, known, frequency), sentences, record, None)


def _foreign(
    elsewhere: Sequence[str], own: Sequence[str], sentences: Sequence[str], known: Any, frequency: Any
) -> list[str]:
    """Terms of other domains that none of a domain's own texts holds."""
    folded = [f" {sentence.lower()} " for sentence in sentences]
    found = domain_terms(elsewhere, known, frequency)
    return [t for t in found if t not in own and not any(t.lower() in sentence for sentence in folded)]


def distractors_of(config: AdaptConfig, material: Material, words: Words) -> tuple[str, ...]:
    """Terms of the sources that neither the target's texts nor its test recordings hold."""
    biasing = config.biasing
    if biasing is None or not biasing.distractors:
        return ()
    known = is_known(load_tokenizer(material.base.path / MODEL))
    spoken = [u.text for u in material.target_test or ()]
    own = [phrase.text for phrase in words.terms]
    source = [u.text for u in material.source_train]
    found = _foreign(source, own, [*words.sentences, *spoken], known, general_frequency(config.language))
    return tuple(found[: biasing.distractors])


def bias_of(setting: Setting, words: Words, heard: Heard, config: AdaptConfig, execute: Executor) -> Bias | None:
    """The bias of a setting on a model and its recordings; None where nothing is changed."""
    if setting.row == "boost":
        return Bias(phrases=words.terms, boost=setting.boost) if setting.boost and words.terms else None
    if setting.row == "ngram":
        weights: dict[str, Any] = {"alpha": setting.alpha, "beta": setting.beta}
        if setting.gamma:
            weights |= {"gamma": setting.gamma, "internal_lm": words.internal_lm}
        return Bias(ngram=words.ngram, **weights) if setting.alpha else None
    if setting.nearest:
        return Bias(prompts=_nearest(setting.nearest, words, heard, config, execute))
    text = ", ".join(words.rarest[: setting.terms]) if setting.terms else " ".join(words.sentences[: setting.sentences])
    return Bias(prompt=text) if text else None


def _nearest(
    most: int, words: Words, heard: Heard, config: AdaptConfig, execute: Executor
) -> tuple[tuple[str, str], ...]:
    """For each recording, the sentences nearest to what was heard without a prompt."""
    decoding = decoding_of(config, "full", heard.checkpoint)
    step = step_of(config, "transcribe", heard, "")
    (record,) = execute([call(step, transcribe, heard.checkpoint, heard.manifest, decoding, heard.sweep)])
    coef = heard.sweep.scaling_coefs[0] if heard.sweep else None
    texts = read_hypotheses(record.path / hypotheses_file(coef))
    return tuple(zip(texts, nearest_sentences(list(texts.values()), words.sentences, most), strict=True))


def choose_setting(
    config: AdaptConfig, row: BiasRow, folds: Sequence[tuple[Heard, Words]], execute: Executor
) -> tuple[Setting, tuple[tuple[Mapping[str, float], int, int], ...]]:
    """The setting with the fewest errors over all folds, of equal ones the weakest; and the errors and words of all."""
    biasing = config.biasing
    assert biasing is not None  # nosec B101 - for the type checker
    if not folds:
        return safe_setting(biasing, row), ()
    settings = settings_of(biasing, row)
    hearings = [
        hearing(
            config, heard, bias_of(setting, words, heard, config, execute), f" + {row} {setting_told(setting.chosen)}"
        )
        for setting in settings
        for heard, words in folds
    ]
    scored = iter(score_hearings(config, hearings, execute))
    tried = []
    for setting in settings:
        counts = [next(scored).word_counts for _ in folds]
        tried.append((setting, sum(c.errors for c in counts), sum(c.words for c in counts)))
    best = min(tried, key=lambda entry: entry[1])[0]
    return best, tuple((setting.chosen, errors, words) for setting, errors, words in tried)


def internal_lm_of(config: AdaptConfig, name: str, model: Record, speech: Manifest, execute: Executor) -> Record | None:
    """A model's own language model, where one is to be subtracted and there is speech to estimate it from."""
    if config.biasing is None or not any(config.biasing.gammas) or not len(speech):
        return None
    step = Step("internal lm", f"of {name}", purpose="scoring", options=config.run)
    (record,) = execute([call(step, internal_lm_stage, model, speech)])
    return record


@dataclass(frozen=True)
class FoldModels:
    """What a fold's rows are chosen on: its recordings, and the recipe's model there."""

    domain: str
    start: Record
    sweep: Sweep | None


def biased_rows(
    config: AdaptConfig,
    material: Material,
    adapted: Record,
    folds: Sequence[FoldModels],
    given: Sequence[str],
    execute: Executor,
) -> BiasedRows:
    """Scores every row that the configuration asks for; their strengths are chosen before the target is read."""
    biasing, test = config.biasing, material.target_test
    if biasing is None or test is None:
        return BiasedRows()
    source = material.source_train
    words = words_of(config, material, material.target_texts, source, given, execute)
    played = [_played(config, material, fold, execute) for fold in folds]
    hearings: dict[str, Hearing] = {}
    choices: list[RowChoice] = []
    distractors = distractors_of(config, material, words)
    settings: dict[BiasRow, Setting] = {}
    for name, checkpoint in ((PRETRAINED, material.base), (ADAPTED, adapted)):
        heard = Heard(name, checkpoint, test)
        own_words = replace(words, internal_lm=internal_lm_of(config, name, checkpoint, source, execute))
        on_folds = [
            (_on_fold(name, fold, material), replace(own, internal_lm=own_words.internal_lm))
            for fold, own in zip(folds, played, strict=True)
        ]
        for row in biasing.rows:
            # The adapted model takes the pretrained one's prompt: its row asks whether it can still be prompted.
            if not (row == "prompt" and name == ADAPTED):
                settings[row], tried = choose_setting(config, row, on_folds, execute)
                choices.append(RowChoice(f"{name} + {row}", settings[row].chosen, tried))
            bias = bias_of(settings[row], own_words, heard, config, execute)
            hearings[f"{name} + {row}"] = hearing(config, heard, bias, f" + {row}")
            if row == "boost" and distractors:
                more = replace(own_words, terms=(*words.terms, *map(Phrase, distractors)))
                bias = bias_of(settings[row], more, heard, config, execute)
                hearings[f"{name} + boost, distractors"] = hearing(config, heard, bias, " + boost, distractors")
    if biasing.text_only is not None:
        hearings[TEXT_ONLY_DECODER], choice = text_only_row(
            config, biasing.text_only, material, test, [fold.domain for fold in folds], execute
        )
        choices.append(choice)
    scored = score_hearings(config, list(hearings.values()), execute)
    evaluations = dict(zip(hearings, scored, strict=True))
    return BiasedRows(evaluations, tuple(choices), words.terms, words.rarest, distractors, words.ngram)


def _played(config: AdaptConfig, material: Material, fold: FoldModels, execute: Executor) -> Words:
    source = material.source_train
    texts = source.where(f"{fold.domain} texts", in_domain(fold.domain))
    others = source.where(f"{source.name} without {fold.domain}", lambda u: u.domain != fold.domain)
    return words_of(config, material, texts, others, (), execute, padded=True, purpose="choice")


def _on_fold(name: str, fold: FoldModels, material: Material) -> Heard:
    dev = material.source_dev.where(f"{fold.domain} dev", in_domain(fold.domain))
    if name == PRETRAINED:
        return Heard(name, material.base, dev, fold=fold.domain)
    return Heard(name, fold.start, dev, fold.sweep, fold.domain)
