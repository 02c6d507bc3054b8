"""`asr-tv vector push | list | pull`: vectors that others made, and ours for them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from asr_tv.cli.stages import DEFAULT_STORE, JsonOption, StoreOption, say
from asr_tv.errors import ConfigError, DataError

IndexOption = Annotated[
    str, typer.Option(envvar="ASR_TV_INDEX", help="Folder or address: https://, s3://, hf://; or ASR_TV_INDEX")
]


def push(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run that made a vector")],
    name: Annotated[str, typer.Option(help="Such as tiny.en-gsm10-piper: model, line and engine")],
    to: Annotated[str, typer.Option(help="Folder or address of the index: s3://, hf://")],
    licence: Annotated[str, typer.Option(help="Of the vector; its source speech may demand one")] = "",
    version: Annotated[str, typer.Option(help="Three numbers; a version never changes")] = "1.0.0",
    numbers: Annotated[str, typer.Option(help="fp32, fp16 or int8: int8 is a quarter, at 0.4 % of the norm")] = "int8",
    coef: Annotated[float | None, typer.Option(help="For the pretrained start  [default: the folds']")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Publish a run's vector with a card that says what it stands for.

    Example: asr-tv vector push runs/demo --name tiny.en-gsm10-piper --to vectors/ --licence "CC BY-SA 3.0"
    """
    from tempfile import TemporaryDirectory

    from asr_tv.runs.publishing import publish_run, source_licences
    from asr_tv.store.results import Store
    from asr_tv.vectors.published.folder import Publication
    from asr_tv.vectors.published.index import VectorIndex

    if not licence.strip():
        listed = "; ".join(source_licences(run))
        raise ConfigError(f"--licence: a vector goes out under a licence; it was made of {listed}")
    index = VectorIndex(to)
    with TemporaryDirectory() as folder:
        public = Publication(name, version, licence, _numbers(numbers))
        card = publish_run(run, public, Store(store), Path(folder) / "vector", coef)
        entry = index.push(Path(folder) / "vector")
    row: dict[str, Any] = {"vector": entry.label, "to": to, "bytes": entry.bytes, "scaling_coef": entry.scaling_coef}
    row |= {"numbers": card.numbers, "relative_error": card.relative_error, "licence": entry.licence}
    told = f"{entry.bytes / 1e6:.1f} MB, relative error {100 * card.relative_error:.2f} %, line: {entry.line}"
    say(row, as_json=as_json, text=f"{entry.label}: {told}: {to}")


def list_(
    index: IndexOption,
    for_: Annotated[str | None, typer.Option("--for", help="Only vectors of this model, by its weights")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """List the vectors of an index.

    Example: asr-tv vector list --index https://example.org/vectors --for openai/whisper-tiny.en
    """
    from dataclasses import asdict

    from asr_tv.cli.console import print_rows
    from asr_tv.models.locate import resolve_model
    from asr_tv.report.table import number, words
    from asr_tv.store.payload import MODEL
    from asr_tv.store.results import Store
    from asr_tv.vectors.published.identity import weights_digests
    from asr_tv.vectors.published.index import VectorIndex

    entries = VectorIndex(index).entries()
    if for_ is not None:
        ours = set(weights_digests(resolve_model(for_, Store(store)).path / MODEL))
        entries = tuple(entry for entry in entries if ours & set(entry.digests))
    if as_json:
        say({"index": index, "vectors": [asdict(entry) for entry in entries]}, as_json=True, text="")
        return
    rows = [asdict(e) | {"label": e.label, "engine": ", ".join(e.engines), "mb": e.bytes / 1e6} for e in entries]
    fields = [words("vector", "label"), words("made on", "pretrained"), words("language"), words("line")]
    fields += [words("engine"), number("c", "scaling_coef"), number("MB", "mb", form=".1f"), words("licence")]
    print_rows(rows, fields)


def pull(
    vector: Annotated[str, typer.Argument(help="NAME or NAME@VERSION; the newest version if none is given")],
    index: IndexOption,
    out: Annotated[Path, typer.Option(help="Folder for the vector's own folder")] = Path("vectors"),
    as_json: JsonOption = False,
) -> None:
    """Fetch a vector, for `vector.published` of a run or for `asr-tv vector apply`.

    Example: asr-tv vector pull tiny.en-gsm10-piper --index https://example.org/vectors
    """
    from asr_tv.vectors.published.folder import read_card
    from asr_tv.vectors.published.index import VectorIndex

    source = VectorIndex(index)
    folder = source.pull(source.find(vector), out)
    card = read_card(folder)
    row = {
        "folder": str(folder),
        "vector": card.label,
        "scaling_coef": dict(card.scaling_coef),
        "licence": card.licence,
    }
    text = f"{card.label}: line {card.line}, licence {card.licence}: --set vector.published={folder}"
    say(row, as_json=as_json, text=text)


def _numbers(text: str) -> Any:
    from asr_tv.vectors.quantised import NUMBERS

    if text not in NUMBERS:
        raise DataError(f"--numbers {text}: one of {', '.join(NUMBERS)}")
    return text
