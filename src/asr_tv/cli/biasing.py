"""What steers `asr-tv transcribe` by words, and `asr-tv terms`, which finds a domain's words in its texts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr_tv.cli.stages import JsonOption, LanguageOption, say
from asr_tv.errors import ConfigError, DataError, gathered
from asr_tv.safe_text import printable

if TYPE_CHECKING:
    from asr_tv.decoding.biasing.bias import Bias
    from asr_tv.decoding.biasing.phrases import Phrase
    from asr_tv.store.results import Record
    from asr_tv.store.runtime import Runtime

TermsOption = Annotated[Path | None, typer.Option(help="Terms to expect, one a line; heard more readily")]
BoostOption = Annotated[float, typer.Option(min=0, help="How much more readily: 1 is safe, 4 hears them everywhere")]
NgramOption = Annotated[
    Path | None, typer.Option(help="ARPA file over the model's tokens, such as RUN/biasing/ngram.arpa")
]
AlphaOption = Annotated[float, typer.Option(min=0, help="The n-gram's weight")]
PromptOption = Annotated[str | None, typer.Option(help="Text taken for said before: terms, or sentences in the style")]
BeamsOption = Annotated[int, typer.Option(min=1, max=25, help="Of a beam search; 1 is greedy")]


def bias_of(
    runtime: "Runtime",
    base: "Record",
    terms: Path | None,
    boost: float,
    ngram: Path | None,
    alpha: float,
    prompt: str | None,
) -> "Bias | None":
    """What the options ask for, None if nothing; what a prompt has no room for is told on standard error.

    Raises:
        DataError, ConfigError: every file that cannot be used, a term or a prompt that spells a control token, or a
            model that takes none of them.
    """
    if terms is None and ngram is None and not (prompt or "").strip():
        return None
    from asr_tv.decoding.biasing.bias import Bias
    from asr_tv.decoding.biasing.stages import imported_ngram
    from asr_tv.models.family import family_of
    from asr_tv.store.payload import MODEL

    if family_of(base.path / MODEL) == "ctc":
        raise ConfigError("--terms, --ngram and --prompt are for Whisper; this is a CTC model")
    phrases, model, said = gathered(
        lambda: _phrases(base, terms) if terms else (),
        lambda: imported_ngram(runtime, base, ngram) if ngram else None,
        lambda: _prompt(base, (prompt or "").strip()),
    )
    return Bias(prompt=said, phrases=phrases, boost=boost, ngram=model, alpha=alpha)


def _phrases(base: "Record", terms: Path) -> "tuple[Phrase, ...]":
    from asr_tv.decoding.biasing.phrases import phrase_tokens, plain_encoder, read_phrases
    from asr_tv.models.whisper import load_tokenizer, whisper_config
    from asr_tv.store.payload import MODEL

    phrases = read_phrases(terms)
    model = base.path / MODEL
    phrase_tokens(phrases, plain_encoder(load_tokenizer(model)), whisper_config(model).eos_token_id)
    return phrases


def _prompt(base: "Record", prompt: str) -> str:
    from asr_tv.decoding.biasing.prompts import MOST_TOKENS, tokenised
    from asr_tv.models.whisper import load_tokenizer, whisper_config
    from asr_tv.store.payload import MODEL

    model = base.path / MODEL
    try:
        cut = tokenised(load_tokenizer(model), prompt, whisper_config(model).eos_token_id).cut
    except ValueError as error:
        raise DataError(f"--prompt: {error}") from error
    if cut:
        typer.echo(printable(f"--prompt: over {MOST_TOKENS} tokens; left out at its start: {cut}"), err=True)
    return prompt


def terms(
    texts: Annotated[Path, typer.Argument(help="The domain's sentences, one a line")],
    out: Annotated[Path | None, typer.Option(help="File  [default: standard output]")] = None,
    others: Annotated[
        Path | None, typer.Option(help="Texts of other domains, one a line: what is frequent there is no term")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="At most this many, the most frequent")] = 200,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Find the terms of a domain in its texts: a list to read, correct, and give to --terms.

    Example: asr-tv terms my_sentences.txt --out my_terms.txt
    """
    from asr_tv.data.corpora.texts import read_texts
    from asr_tv.models.vocabulary import known_words
    from asr_tv.store.results import write_atomically
    from asr_tv.text.domain_terms import domain_terms, general_frequency

    sentences, background = gathered(
        lambda: [u.text for u in read_texts(texts, "terms")],
        lambda: [u.text for u in read_texts(others, "others")] if others else [],
    )
    frequency = general_frequency(language)
    known = known_words(language)
    found = domain_terms(sentences, known, frequency, background, most=count)
    if not found:
        raise DataError(f"{texts}: no term: every word in it is an ordinary one")
    if frequency is None and not background:
        typer.echo(
            f"no general word list of {language}, so rarity is told by the vocabulary alone; {_INSTALL}", err=True
        )
    lines = "".join(f"{term}\n" for term in found)
    if out is not None:
        write_atomically(out, lines)
    told = f"{len(found)} terms: {out}" if out else lines.rstrip("\n")
    say({"terms": list(found), "file": str(out) if out else None}, as_json=as_json, text=told)


_INSTALL = 'pip install "asr-tv[terms]" adds one'
