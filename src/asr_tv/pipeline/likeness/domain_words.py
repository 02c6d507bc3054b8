"""The words that characterise the target's domain, for reports and probes."""

from collections.abc import Iterable

from asr_tv.config.run import AdaptConfig
from asr_tv.models.vocabulary import known_words
from asr_tv.pipeline.material import Material, given_terms
from asr_tv.report.inputs import TermsInput
from asr_tv.scoring.terms import find_terms
from asr_tv.text.domain_terms import domain_terms, general_frequency
from asr_tv.text.normalize import Normalizer, get_normalizer


def report_terms(config: AdaptConfig, material: Material) -> TermsInput:
    """The user's terms, or those found in the target's texts, as the scores' normaliser leaves them."""
    normalize = get_normalizer(config.scoring.normalizer)
    if given := given_terms(config):
        return TermsInput("given", _normalised(given, normalize))
    spoken, known = ([normalize(u.text) for u in m] for m in (material.target_texts, material.source_train))
    if known:
        return TermsInput("found", find_terms(spoken, known))
    vocabulary = known_words(config.language)
    texts = [u.text for u in material.target_texts]
    found = domain_terms(texts, vocabulary, general_frequency(config.language))
    return TermsInput("found", _normalised(found, normalize))


def _normalised(terms: Iterable[str], normalize: Normalizer) -> tuple[str, ...]:
    return tuple(dict.fromkeys(term for text in terms if (term := normalize(text))))
