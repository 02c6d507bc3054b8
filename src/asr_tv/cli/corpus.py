"""`asr-tv corpus`: get labelled speech, count it, check it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from asr_tv.cli.stages import (
    DEFAULT_STORE,
    JsonOption,
    OutsideOption,
    QuietOption,
    StoreOption,
    parsed_language,
    runtime_for,
    say,
)
from asr_tv.errors import ConfigError, listed
from asr_tv.safe_text import counted

app = typer.Typer(help="Labelled speech: fetch, count, validate.", no_args_is_help=True, rich_markup_mode=None)

KINDS = {
    "asterisk": "the Asterisk core prompts in --language en, es, fr, it or ru; fetched",
    "slurp": "SLURP: --path its repository, --audio folder or archives from Zenodo",
    "huggingface": 'a dataset of the hub: --path NAME --split test --column text=sentence; extra "huggingface"',
    "manifest": "JSON lines with audio and text: --path FILE",
    "audiofolder": "a folder with metadata.csv or metadata.jsonl: --path FOLDER",
    "nemo": "NeMo's manifests, offsets too: --path FILE",
    "lhotse": "lhotse's cuts, .jsonl or .jsonl.gz: --path FILE",
    "kaldi": "a data folder with wav.scp and text: --path FOLDER",
    "openslr": "LibriSpeech (12) or speechocean762 (101), unpacked: --path FOLDER --split dev-clean",
}


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the kinds of corpora, as `corpora:` in a configuration and `asr-tv corpus fetch` know them.

    Example: asr-tv corpus list
    """
    say(dict(KINDS), as_json=as_json, text="\n".join(f"{kind:12} {what}" for kind, what in KINDS.items()))


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="asterisk, slurp, huggingface... as `asr-tv corpus list` has them")],
    out: Annotated[Path, typer.Option(help="JSONL manifest to write")],
    language: Annotated[str, typer.Option(help="en, es, fr, it or ru", callback=parsed_language)] = "en",
    line: Annotated[bool, typer.Option(help="Make a simulated line of the recordings")] = False,
    path: Annotated[str | None, typer.Option(help="Its path or name")] = None,
    audio: Annotated[str | None, typer.Option(help="slurp: folder or archives of recordings")] = None,
    split: Annotated[list[str] | None, typer.Option(help="Part to read; repeatable")] = None,
    column: Annotated[list[str] | None, typer.Option(help="ROLE=NAME, such as text=sentence; repeatable")] = None,
    limit: Annotated[int | None, typer.Option(help="huggingface: at most this many rows, from the first")] = None,
    outside: OutsideOption = False,
    drop_missing: Annotated[bool, typer.Option(help="Leave out utterances whose recordings are missing")] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fetch or read a corpus and write its manifest.

    Example: asr-tv corpus fetch asterisk --language en --out asterisk.jsonl

    Example: asr-tv corpus fetch slurp --path slurp/ --audio slurp_real.tar.gz --out slurp.jsonl
    """
    from asr_tv.config.parsing import parse_section
    from asr_tv.config.run import CorpusConfig, LineConfig
    from asr_tv.data.corpora import load_corpus
    from asr_tv.data.corpora.local import read_manifest, write_manifest

    if name not in KINDS:
        raise ConfigError(f"unknown corpus {name!r}; corpora that can be fetched: {', '.join(KINDS)}")
    given = {
        **{"kind": name, "language": language, "path": path, "audio": audio, "splits": split or None, "limit": limit},
        **{"columns": _columns(column or ()), "line": LineConfig() if line else None},
        "missing_audio": "drop" if drop_missing else "refuse",
        "outside": outside,
    }
    config = parse_section(CorpusConfig, given, "corpus fetch")
    record = load_corpus(runtime_for(store, quiet=quiet), config)
    out.parent.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(record.path / "manifest.jsonl", need_audio=False)
    write_manifest(manifest, out)
    row = {"manifest": str(out), **record.details}
    lines = [f"{counted(len(manifest), 'utterance')}, {manifest.seconds / 60:.1f} min: {out}"]
    lines += [f"left out, {reason}: {count}" for reason, count in record.details["dropped"].items()]
    say(row, as_json=as_json, text="\n".join(lines))


def _columns(pairs: Sequence[str]) -> dict[str, str]:
    if wrong := [pair for pair in pairs if not all(pair.partition("="))]:
        raise ConfigError(f"--column {pair}: expected ROLE=NAME, such as text=sentence" for pair in wrong)
    return {role: name for role, _, name in (pair.partition("=") for pair in pairs)}


@app.command()
def stats(
    manifest: Annotated[Path, typer.Argument(help="JSONL manifest, or an audiofolder")], as_json: JsonOption = False
) -> None:
    """Count utterances, sentences, words and seconds per domain.

    Example: asr-tv corpus stats asterisk.jsonl
    """
    from asr_tv.data.corpora import corpus_statistics
    from asr_tv.data.corpora.audiofolder import read_audiofolder
    from asr_tv.data.corpora.local import read_manifest

    found = read_audiofolder(manifest) if manifest.is_dir() else read_manifest(manifest, need_audio=False)
    rows = corpus_statistics(found)
    say(rows, as_json=as_json, text="\n".join(f"{domain}: {_counts(row)}" for domain, row in rows.items()))


def _counts(row: dict[str, Any]) -> str:
    sizes = [counted(value, name[:-1]) for name, value in row.items() if name != "seconds"]
    seconds = row["seconds"]
    return ", ".join([*sizes, "seconds unknown" if seconds is None else f"{seconds:g} seconds"])


@app.command()
def validate(
    manifest: Annotated[Path, typer.Argument(help="JSONL manifest, or an audiofolder")],
    outside: OutsideOption = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Open every recording and check every line; all problems are listed.

    Example: asr-tv corpus validate train.jsonl
    """
    from asr_tv.data.corpora.audiofolder import read_audiofolder
    from asr_tv.data.corpora.local import read_manifest
    from asr_tv.data.manifest import without_words

    if manifest.is_dir():
        checked = read_audiofolder(manifest, outside=outside)
    else:
        checked = read_manifest(manifest, outside=outside, store=store)
    row = {"utterances": len(checked), "seconds": round(checked.seconds, 1), "domains": list(checked.domains)}
    domains = ", ".join(checked.domains)
    empty = without_words(checked)
    found = (
        f"{counted(len(empty), 'label')} without a word, and no training takes them: {listed(empty)}"
        if empty
        else "no problem"
    )
    text = f"{counted(len(checked), 'utterance')}, {checked.seconds / 60:.1f} min, domains {domains}: {found}"
    row["without_words"] = list(empty)
    say(row, as_json=as_json, text=text)
