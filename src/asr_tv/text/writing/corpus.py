"""Writes a corpus from terms and sentences: candidates from templates and a model, filtered, chosen and counted."""

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
from asr_tv.text.writing.filters import Sieve
from asr_tv.text.writing.prompt import Writer, prompts, sentences_in
from asr_tv.text.writing.templates import carriers, fill_templates, make_templates
from asr_tv.text.writing.terms import Term, finder, slots_of

STAGE, VERSION = "written", 1
_ANSWER = "answer.json"
_CANDIDATES_PER_SENTENCE = 20


@dataclass(frozen=True)
class Request:
    """What to write: at most `count` sentences for the terms, like `sentences`, which may have slots.

    `exclude` is what must not be written, such as the sentences of a test set.
    """

    domain: str
    language: str
    terms: tuple[Term, ...]
    sentences: tuple[str, ...]
    count: int
    seed: int = 17
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class WrittenCorpus:
    """Sentences, the most valuable first, and what they cover."""

    sentences: tuple[str, ...]
    coverage: dict[str, Any]


def write_corpus(
    request: Request,
    identity: Callable[[str], str],
    known: Known,
    *,
    store: Store,
    writer: Writer | None = None,
    progress: Progress = silent,
) -> WrittenCorpus:
    """The user's own sentences first, then those that cover the terms best; terms with unknown words count for more.

    Args:
        identity: texts with equal values are the same sentence.
        writer: a language model, in addition to the templates; its answers are cached in `store`.

    Raises:
        ConfigError, DataError: by the writer.
    """
    finders = [(term.text, finder(term.text)) for term in request.terms]

    def terms_in(sentence: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for text, pattern in finders if pattern.search(sentence)))

    sieve = Sieve(identity, terms_in)
    sieve.exclude(request.exclude)
    plain = [sentence for sentence in request.sentences if not slots_of(sentence)]
    templates = make_templates(request.sentences, request.terms)
    templates += carriers(request.terms, templates, request.language)
    sources: list[tuple[str, Sequence[str]]] = [("given", plain)]
    if writer is not None:
        sources.append(("model", _ask(request, writer, store, progress)))
    limit = _CANDIDATES_PER_SENTENCE * max(request.count, len(request.terms))
    sources.append(("template", list(fill_templates(templates, request.terms, limit, request.seed))))
    candidates = [
        Candidate(sentence, terms_in(sentence), source)
        for source, sentences in sources
        for sentence in sieve.passing(sentences)
    ]
    chosen = choose(candidates, request.count, known)
    return WrittenCorpus(tuple(c.text for c in chosen), coverage(chosen, request.terms, known, sieve.dropped))


def _ask(request: Request, writer: Writer, store: Store, progress: Progress) -> list[str]:
    """Every sentence that the model writes; answers in the store are not requested again."""
    wanted = list(prompts(request.domain, request.language, request.sentences, request.terms))
    sentences: list[str] = []
    with progress(f"write {request.domain}", len(wanted), "requests") as advance:
        for prompt in wanted:
            sentences += sentences_in(_answer(writer, prompt, request.seed, store))
            advance()
    return sentences


def _answer(writer: Writer, prompt: str, seed: int, store: Store) -> str:
    def produce(folder: Path) -> Produced:
        write_atomically(folder / _ANSWER, json.dumps(writer.answer(prompt, seed), ensure_ascii=False))
        return Produced()

    record = store.build(Identity(STAGE, VERSION, {"writer": writer.name, "prompt": prompt}, seed=seed), produce)
    return str(json.loads((record.path / _ANSWER).read_text(encoding="utf-8")))
