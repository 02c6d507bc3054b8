"""`asr-tv probe`: domain words heard where nobody said them, and yes/no questions about what was said."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_tv.cli.stages import (
    DEFAULT_STORE,
    JsonOption,
    LanguageOption,
    OutsideOption,
    QuietOption,
    StoreOption,
    runtime_for,
)
from asr_tv.errors import DataError, gathered

if TYPE_CHECKING:
    from asr_tv.data.manifest import Manifest
    from asr_tv.store.runtime import Runtime


def probe(
    heard: Annotated[str, typer.Argument(help="JSONL of id and text, or a model that is to transcribe")],
    manifest: Annotated[Path, typer.Argument(help="JSONL manifest of general speech, or of silence: empty texts")],
    terms: Annotated[Path, typer.Option(help="The domain's words and phrases, one per line")],
    language: LanguageOption = "en",
    seed: Annotated[int, typer.Option(help="Of the questions")] = 17,
    outside: OutsideOption = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Count the domain's words that were heard and not said, and ask which words were said, and in which order.

    Answers come from the transcript (a cascade). Questions come in pairs, one of which is to be answered with no, so
    that always answering yes is right half of the time.

    Example: asr-tv probe runs/demo/model general.jsonl --terms terms.txt
    """
    from asr_tv.config.run import ScoringConfig
    from asr_tv.data.corpora.local import read_manifest
    from asr_tv.data.corpora.texts import read_texts
    from asr_tv.pipeline.likeness.probes import probe_set, probed
    from asr_tv.scoring.bootstrap import Bootstrap
    from asr_tv.text.normalize import get_normalizer, sentence_normalizer

    how = ScoringConfig()
    normalize = get_normalizer(sentence_normalizer(language))
    from_file = Path(heard).is_file()
    spoken, asked = gathered(
        lambda: read_manifest(manifest, need_audio=not from_file, outside=outside, store=store),
        lambda: read_texts(terms, "terms"),
    )
    if from_file:
        texts = _read(Path(heard), spoken)
    else:
        texts = transcribed(runtime_for(store, quiet=quiet), heard, spoken, language)
    words = tuple(filter(None, (normalize(u.text) for u in asked)))
    bootstrap = Bootstrap(how.resamples, how.confidence, seed)
    row = probed(probe_set(spoken, normalize, seed), texts, words, normalize, bootstrap)
    if as_json:
        typer.echo(json.dumps(row, ensure_ascii=False, indent=1))
    else:
        _print(row)


def _read(file: Path, spoken: "Manifest") -> dict[str, str]:
    from asr_tv.decoding.hypotheses import read_hypotheses

    texts = read_hypotheses(file)
    if missing := [u.id for u in spoken if u.id not in texts]:
        raise DataError(f"{file}: nothing of id {name!r}" for name in missing)
    return texts


def transcribed(runtime: "Runtime", model: str, spoken: "Manifest", language: str) -> dict[str, str]:
    """What a model hears in 30 s windows, by id."""
    from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
    from asr_tv.decoding.options import decoding_for
    from asr_tv.decoding.transcribe import transcribe
    from asr_tv.models.family import family_of
    from asr_tv.models.locate import resolve_model
    from asr_tv.store.payload import MODEL

    checkpoint = resolve_model(model, runtime.store)
    decoding = decoding_for("full", language, 200, "auto", family_of(checkpoint.path / MODEL))
    record = transcribe(runtime, checkpoint, spoken, decoding)
    return read_hypotheses(record.path / hypotheses_file())


def _print(row: dict[str, Any]) -> None:
    from asr_tv.cli.console import print_tables
    from asr_tv.report.likeness.probes import questions_table, unsaid_table

    print_tables(unsaid_table([row]), questions_table([row]))
