"""`asr-tv texts`: sentences for a domain without quotable texts, from its terms and a few examples."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_tv.cli.stages import DEFAULT_STORE, JsonOption, LanguageOption, QuietOption, StoreOption, say
from asr_tv.cli.writing.like import refuse_with_like, write_like_file
from asr_tv.errors import ConfigError, DataError, gathered
from asr_tv.safe_text import counted

if TYPE_CHECKING:
    from asr_tv.config.run import TextsConfig
    from asr_tv.text.writing.corpus import WrittenCorpus
    from asr_tv.text.writing.prompt import Writer

_SHOWN = 10


def texts(
    out: Annotated[Path, typer.Option(help="Text file to write, for --target-text")],
    terms: Annotated[
        Path | None, typer.Argument(help="The domain's terms, one per line: `term`, or `slot: term`")
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="Instead of terms: sentences of the domain, or a text model kept from them")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="With --like: file for the text model")] = None,
    order: Annotated[int, typer.Option(min=1, max=6, help="With --like: of the word n-gram")] = 3,
    novel: Annotated[bool, typer.Option("--novel", help="With --like: leave out recited sentences")] = False,
    sentences: Annotated[
        Path | None, typer.Option(help="Sentences of the domain, one per line; `{slot}` stands for a slot's terms")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="At most this many sentences")] = 200,
    domain: Annotated[str, typer.Option(help="The domain's name, for the language model")] = "the new domain",
    language: LanguageOption = "en",
    exclude: Annotated[
        Path | None, typer.Option(help="Sentences that must not be written, such as a test set's")
    ] = None,
    llm: Annotated[
        str | None, typer.Option(help="Language model at an OpenAI-compatible endpoint, beside templates")
    ] = None,
    llm_url: Annotated[str, typer.Option(help="The endpoint, without /chat/completions")] = "http://localhost:8000/v1",
    llm_key: Annotated[str, typer.Option(help="Environment variable that holds the endpoint's key")] = "OPENAI_API_KEY",
    local_llm: Annotated[str | None, typer.Option(help="Language model of transformers, by name or folder")] = None,
    seed: Annotated[int, typer.Option()] = 17,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a training corpus from domain terms and a few sentences, and say which terms it covers.

    Needs no language model: terms are put into the slots of your sentences. OUT.coverage.json has the details.

    Example: asr-tv texts terms.txt --sentences examples.txt --count 200 --out my_sentences.txt

    Example: asr-tv texts --like banking.txt --keep banking.json --count 400 --out like_banking.txt
    """
    if like is not None:
        refuse_with_like({"TERMS": terms, "--sentences": sentences, "--llm": llm, "--local-llm": local_llm})
        write_like_file(like, keep, out, count, order, seed, language, exclude, novel=novel, as_json=as_json)
        return
    if terms is None or keep is not None:
        raise ConfigError("--keep: needs --like" if terms else "TERMS: give a file of terms, or --like")
    from asr_tv.cli.console import progress_for
    from asr_tv.config.run import TextsConfig
    from asr_tv.models.vocabulary import known_words
    from asr_tv.pipeline.writing.written import read_request
    from asr_tv.store.results import Store
    from asr_tv.text.normalize import get_normalizer, sentence_normalizer
    from asr_tv.text.writing.corpus import write_corpus

    files = {"sentences": sentences and str(sentences), "exclude": exclude and str(exclude)}
    model = {"llm": llm, "llm_url": llm_url, "llm_key": llm_key, "local_llm": None if llm else local_llm}
    asked = TextsConfig.model_validate({"terms": str(terms), "count": count, **files, **model})
    writer, request = gathered(lambda: _writer(asked, local_llm), lambda: read_request(asked, domain, language, seed))
    written = write_corpus(
        request,
        get_normalizer(sentence_normalizer(language)),
        known_words(language),
        writer=writer,
        store=Store(store),
        progress=progress_for(quiet=quiet),
    )
    _save(written, terms, out, as_json=as_json)


def _writer(asked: "TextsConfig", local_llm: str | None) -> "Writer | None":
    from asr_tv.pipeline.writing.written import writer_of

    if asked.llm and local_llm:
        raise ConfigError("--llm and --local-llm: one language model at a time")
    return writer_of(asked, "auto")


def _save(written: "WrittenCorpus", terms: Path, out: Path, *, as_json: bool) -> None:
    from asr_tv.store.results import write_atomically

    if not written.sentences:
        raise DataError(f"no sentence of 3 to 25 words came of {terms}: give --sentences with slots for its terms")
    write_atomically(out, "".join(f"{sentence}\n" for sentence in written.sentences))
    row = written.coverage
    write_atomically(out.with_name(f"{out.name}.coverage.json"), json.dumps(row, indent=1, ensure_ascii=False) + "\n")
    say({"texts": str(out), **row}, as_json=as_json, text=_summary(row, out))


def _summary(row: Mapping[str, Any], out: Path) -> str:
    terms, lacking = row["terms"], row["terms_without_a_sentence"]
    sources = ", ".join(f"{count} of {source}" for source, count in row["sources"].items())
    found = f"{counted(row['sentences'], 'sentence')} ({sources}), {counted(row['words'], 'word')}"
    lines = [f"{found}, {row['distinct_words']} distinct: {out}"]
    lines.append(f"{len(terms) - len(lacking)} of {len(terms)} terms have a sentence")
    if lacking:
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        lines.append(f"without one: {', '.join(map(str, lacking[:_SHOWN]))}{more}")
    lines += [f"left out, {reason}: {count}" for reason, count in row["dropped"].items()]
    return "\n".join(lines)
