"""From terms and sentences to a corpus: candidates of templates and of a model, sifted, chosen, counted."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_tv.progress import Progress, silent
from asr_tv.store.results import Identity, Produced, Store, write_atomically
from asr_tv.text.rare_words import Known
from asr_tv.text.writing.choose import Candidate, choose
from asr_tv.text.writing.coverage import coverage
from asr_tv.text.writing.filters import MAX_WORDS, MIN_WORDS, Sieve
from asr_tv.text.writing.prompt import Writer, lines_of, prompts
from asr_tv.text.writing.templates import carriers, filled, templates_of
from asr_tv.text.writing.terms import Term, finder, slots_of

STAGE, VERSION = "written", 1
_ANSWER = "answer.json"
_TEMPLATE_CANDIDATES = 20
"""Candidates of templates a sentence that is asked for."""


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        sentences: of the domain, with or without slots.
        exclude: sentences that must not be written, such as those of a test.
        count: at most so many sentences.
    """

    domain: str
    language: str
    terms: tuple[Term, ...]
    sentences: tuple[str, ...]
    count: int
    seed: int = 17
    exclude: tuple[str, ...] = ()
    min_words: int = MIN_WORDS
    max_words: int = MAX_WORDS


@dataclass(frozen=True)
class Written:
    """A corpus, in the order in which its sentences are worth most, and what it covers."""

    sentences: tuple[str, ...]
    coverage: dict[str, Any]


def write_corpus(
    request: Request,
    identity: Callable[[str], str],
    known: Known,
    *,
    writer: Writer | None = None,
    store: Store | None = None,
    progress: Progress = silent,
) -> Written:
    """A corpus for the request: the user's own sentences first, then what covers the terms best.

    Args:
        identity: what makes two texts one sentence.
        known: words in the recogniser's vocabulary; terms with others are covered first.
        writer: a language model, beside the templates; its answers are kept in `store`.

    Raises:
        ConfigError, DataError: of the writer.
    """
    finders = [(term.text, finder(term.text)) for term in request.terms]

    def terms_in(sentence: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for text, pattern in finders if pattern.search(sentence)))

    sieve = Sieve(identity, terms_in, request.min_words, request.max_words)
    sieve.exclude(request.exclude)
    plain = [sentence for sentence in request.sentences if not slots_of(sentence)]
    templates = templates_of(request.sentences, request.terms)
    templates += carriers(request.terms, templates, request.language)
    sources: list[tuple[str, Sequence[str]]] = [("given", plain)]
    if writer is not None:
        sources.append(("model", _asked(request, writer, store, progress)))
    limit = _TEMPLATE_CANDIDATES * max(request.count, len(request.terms))
    sources.append(("template", list(filled(templates, request.terms, limit, request.seed))))
    candidates = [
        Candidate(sentence, terms_in(sentence), source)
        for source, sentences in sources
        for sentence in sieve.passing(sentences)
    ]
    chosen = choose(candidates, request.count, known, wanted=lambda c: c.source == "given")
    return Written(tuple(c.text for c in chosen), coverage(chosen, request.terms, known, sieve.dropped))


def _asked(request: Request, writer: Writer, store: Store | None, progress: Progress) -> list[str]:
    """Every sentence the model wrote; an answer that the store holds is not asked for again."""
    asked = list(prompts(request.domain, request.language, request.sentences, request.terms))
    sentences: list[str] = []
    with progress(f"write {request.domain}", len(asked), "requests") as advance:
        for prompt in asked:
            sentences += lines_of(_answer(writer, prompt, request.seed, store))
            advance()
    return sentences


def _answer(writer: Writer, prompt: str, seed: int, store: Store | None) -> str:
    if store is None:
        return writer.answer(prompt, seed)

    def produce(folder: Path) -> Produced:
        write_atomically(folder / _ANSWER, json.dumps(writer.answer(prompt, seed), ensure_ascii=False))
        return Produced()

    record = store.build(Identity(STAGE, VERSION, {"writer": writer.name, "prompt": prompt}, seed=seed), produce)
    return str(json.loads((record.path / _ANSWER).read_text(encoding="utf-8")))
