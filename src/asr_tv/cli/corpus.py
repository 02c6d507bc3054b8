"""`asr-tv corpus`: get labelled speech, count it, check it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from asr_tv.cli.adapt import DEFAULT_STORE
from asr_tv.cli.tools import JsonOption, QuietOption, StoreOption, say
from asr_tv.errors import ConfigError

app = typer.Typer(help="Labelled speech: fetch, count, validate.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="asterisk")],
    out: Annotated[Path, typer.Option(help="JSONL manifest to write")],
    language: Annotated[str, typer.Option(help="en, es, fr, it or ru")] = "en",
    line: Annotated[bool, typer.Option(help="Make a simulated line of the recordings")] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fetch a corpus and write its manifest.

    Example: asr-tv corpus fetch asterisk --language en --out asterisk.jsonl
    """
    from asr_tv.cli.console import progress_for
    from asr_tv.config import CorpusConfig, LineConfig
    from asr_tv.corpora import load_corpus
    from asr_tv.corpora.local import read_manifest, write_manifest
    from asr_tv.store import Store

    if name != "asterisk":
        raise ConfigError(f"unknown corpus {name!r}; corpora that can be fetched: asterisk")
    config = CorpusConfig(kind="asterisk", language=language, line=LineConfig() if line else None)
    record = load_corpus(config, Store(store), progress_for(quiet=quiet))
    out.parent.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(record.path / "manifest.jsonl", need_audio=False)
    write_manifest(manifest, out)
    row = {"manifest": str(out), **record.details}
    say(row, as_json=as_json, text=f"{len(manifest)} utterances, {manifest.seconds / 60:.1f} min: {out}")


@app.command()
def stats(
    manifest: Annotated[Path, typer.Argument(help="JSONL manifest, or an audiofolder")], as_json: JsonOption = False
) -> None:
    """Count utterances, sentences, words and seconds by domain.

    Example: asr-tv corpus stats asterisk.jsonl
    """
    from asr_tv.corpora import corpus_statistics

    rows = corpus_statistics(_read(manifest, need_audio=False))
    text = "\n".join(f"{domain}: {_counts(row)}" for domain, row in rows.items())
    say(rows, as_json=as_json, text=text)


def _counts(row: dict[str, Any]) -> str:
    return ", ".join(f"{value:g} {name}" for name, value in row.items())


@app.command()
def validate(
    manifest: Annotated[Path, typer.Argument(help="JSONL manifest, or an audiofolder")], as_json: JsonOption = False
) -> None:
    """Open every recording and check every line; all problems are listed.

    Example: asr-tv corpus validate train.jsonl
    """
    checked = _read(manifest, need_audio=True)
    row = {"utterances": len(checked), "seconds": round(checked.seconds, 1), "domains": list(checked.domains)}
    text = (
        f"{len(checked)} utterances, {checked.seconds / 60:.1f} min, domains {', '.join(checked.domains)}: no problem"
    )
    say(row, as_json=as_json, text=text)


def _read(path: Path, *, need_audio: bool) -> Any:
    from asr_tv.corpora.local import read_audiofolder, read_manifest

    return read_audiofolder(path) if path.is_dir() else read_manifest(path, need_audio=need_audio)
