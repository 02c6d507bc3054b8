"""The target's sentences from its terms: what `asr-tv texts` does, as a stage of a run."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from asr_tv.config.run import AdaptConfig, TextsConfig
from asr_tv.data.manifest import Manifest
from asr_tv.data.text_files import read_text
from asr_tv.data.text_models import written_sentences
from asr_tv.errors import DataError, gathered
from asr_tv.models.vocabulary import known_words
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.store.payload import COVERAGE, SENTENCES
from asr_tv.store.results import Identity, Produced, Record, write_atomically
from asr_tv.store.runtime import Runtime
from asr_tv.text.normalize import get_normalizer, sentence_normalizer
from asr_tv.text.writing.corpus import Request, write_corpus
from asr_tv.text.writing.endpoint import EndpointWriter
from asr_tv.text.writing.local_model import LocalWriter
from asr_tv.text.writing.prompt import Writer
from asr_tv.text.writing.terms import parse_sentences, parse_terms


def written_texts(config: AdaptConfig, domain: str, excluded: frozenset[str], execute: Executor) -> Manifest:
    """The sentences of a domain that the configuration has written from its terms.

    Args:
        excluded: sentences that must not be written, such as those of the domain's own recordings.
    """
    assert config.texts is not None  # nosec B101 - for the type checker
    request = read_request(config.texts, domain, config.language, config.seed, excluded)
    step = Step("write", domain, options=config.run)
    (record,) = execute([call(step, written_stage, request, config.texts)])
    return written_sentences(record, domain)


def read_request(
    texts: TextsConfig, domain: str, language: str, seed: int = 17, excluded: frozenset[str] = frozenset()
) -> Request:
    """What the files of a configuration ask for.

    Raises:
        DataError: everything that is wrong with them.
    """
    terms_file = Path(texts.terms).expanduser()
    terms = parse_terms(read_text(terms_file), texts.terms)
    slots = tuple(dict.fromkeys(term.slot for term in terms))
    given, unwanted = gathered(
        lambda: parse_sentences(_read(texts.sentences), texts.sentences, slots) if texts.sentences else (),
        lambda: tuple(_read(texts.exclude).splitlines()) if texts.exclude else (),
    )
    return Request(domain, language, terms, given, texts.count, seed, (*unwanted, *sorted(excluded)))


def _read(path: str | None) -> str:
    return read_text(Path(path or "").expanduser())


def written_stage(runtime: Runtime, request: Request, texts: TextsConfig) -> Record:
    """Writes sentences.txt and coverage.json; a language model's answers are cached one by one.

    Raises:
        DataError: not one sentence of a suitable length came of the terms.
        ConfigError: the language model does not answer, or refuses.
    """
    writer = writer_of(texts, runtime.device)

    def produce(scratch: Path) -> Produced:
        written = write_corpus(
            request,
            get_normalizer(sentence_normalizer(request.language)),
            known_words(request.language),
            writer=writer,
            store=runtime.store,
            progress=runtime.progress,
        )
        if not written.sentences:
            raise DataError(f"{texts.terms}: no sentence of 3 to 25 words came of the terms: give texts.sentences")
        write_atomically(scratch / SENTENCES, "".join(f"{sentence}\n" for sentence in written.sentences))
        write_atomically(scratch / COVERAGE, json.dumps(written.coverage, indent=1, ensure_ascii=False) + "\n")
        counts = {name: written.coverage[name] for name in ("sentences", "words", "sources", "dropped")}
        return Produced(details=counts | {"terms_without_a_sentence": written.coverage["terms_without_a_sentence"]})

    asked = asdict(request)
    unwanted = hashlib.sha256("\n".join(asked.pop("exclude")).encode()).hexdigest()
    parameters = asked | {"exclude": unwanted, "writer": writer.name if writer else None}
    return runtime.store.build(Identity("written", 3, parameters, seed=request.seed), produce)


def writer_of(texts: TextsConfig, device: str) -> Writer | None:
    """The language model beside the templates, if one is asked for."""
    if texts.llm:
        return EndpointWriter(texts.llm_url, texts.llm, os.environ.get(texts.llm_key))
    return LocalWriter(texts.local_llm, device) if texts.local_llm else None
