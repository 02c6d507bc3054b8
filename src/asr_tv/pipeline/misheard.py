"""What the pretrained model hears when a synthesiser speaks a term: variants to boost and to write back as the term.

Zero-shot, after the text-to-speech variants of arXiv 2508.17796.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence

from asr_tv.config.run import AdaptConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.decoding.biasing.phrases import Phrase, folded, kept_variants
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.transcribe import transcribe
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.scoring import decoding_of
from asr_tv.pipeline.speech import synthesis_call
from asr_tv.store.results import Record
from asr_tv.text.rare_words import Known

_CARRIERS = ("Start {} end.", "Begin {}.")
_BETWEEN = re.compile(r"\W*(?:start|begin)\b\W*(.*?)(?:\W+end)?\W*", re.IGNORECASE | re.DOTALL)


def with_variants(
    config: AdaptConfig,
    base: Record,
    domain: str,
    terms: Sequence[str],
    ordinary: Iterable[str],
    known: Known,
    execute: Executor,
) -> tuple[Phrase, ...]:
    """The terms with what the pretrained model mishears for them; as they are where the configuration asks for none.

    Args:
        domain: what the terms are of, for people.
        ordinary: texts that do not have the terms; a variant in one of them is dropped.
    """
    takes = config.biasing.misheard_takes if config.biasing else 0
    if not takes or not terms:
        return tuple(map(Phrase, terms))
    spoken = {carrier.format(term): term for term in terms for carrier in _CARRIERS}
    sentences = Manifest("terms", tuple(_sentence(text) for text in spoken))
    speech = config.synthesis.model_copy(update={"takes": takes, "spoken_form": False})
    (record,) = execute([synthesis_call(config, f"terms of {domain}", sentences, speech)])
    clips = stored_manifest(record)
    decoding = decoding_of(config, "full", base)
    step = Step("transcribe", "pretrained", f"terms of {domain}", options=config.run)
    (heard,) = execute([call(step, transcribe, base, clips, decoding)])
    texts = read_hypotheses(heard.path / hypotheses_file())
    found: dict[str, list[str]] = {term: [] for term in terms}
    for clip in clips:
        if (term := spoken.get(clip.text)) and (match := _BETWEEN.fullmatch(texts[clip.id])):
            found[term].append(match[1])
    plain = {folded(text) for text in ordinary} | {folded(term) for term in terms}
    return tuple(Phrase(term, tuple(kept_variants(found[term], term, plain, known))) for term in terms)


def _sentence(text: str) -> Utterance:
    return Utterance(f"term-{hashlib.sha256(text.encode()).hexdigest()[:12]}", text, "terms", origin="text")
