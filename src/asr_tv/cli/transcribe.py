"""`asr-tv transcribe`: a manifest or any recordings, as JSON lines, JSON, text, SRT or WebVTT."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_tv.cli.biasing import (
    AlphaOption,
    BeamsOption,
    BoostOption,
    NgramOption,
    PromptOption,
    TermsOption,
    bias_of,
)
from asr_tv.cli.learning.options import Adapt, AdaptOption, AdaptSetOption, adaptation_of, tell_adapted
from asr_tv.cli.models import model_path, model_settings, parsed_context
from asr_tv.cli.stages import (
    DEFAULT_STORE,
    JsonOption,
    OutsideOption,
    QuietOption,
    StoreOption,
    parsed_language,
    runtime_for,
)
from asr_tv.errors import ConfigError, DataError, gathered
from asr_tv.safe_text import printable

if TYPE_CHECKING:
    from asr_tv.data.manifest import Manifest
    from asr_tv.decoding.options import Decoding
    from asr_tv.decoding.subtitles import Transcript
    from asr_tv.store.results import Record
    from asr_tv.store.runtime import Runtime


class Form(StrEnum):
    """The forms of a transcript."""

    jsonl = "jsonl"
    json = "json"
    txt = "txt"
    srt = "srt"
    vtt = "vtt"


class Engine(StrEnum):
    """As `asr_tv.config.run.Engine`, which takes longer to load than a command's help should."""

    torch = "torch"
    ctranslate2 = "ctranslate2"
    ctranslate2_int8 = "ctranslate2_int8"
    auto = "auto"


_ONE_FILE_EACH = frozenset({Form.txt, Form.srt, Form.vtt})
_SHORT_PIECE = 15.0
"""Longest piece in seconds for a model tuned on short audio: it knows sentences, not half minutes."""


LongestOption = Annotated[
    float | None,
    typer.Option(min=2, max=30, help="Seconds; longer audio is cut  [default: 30; 15 if tuned on short audio]"),
]


def transcribe(
    model: Annotated[str, typer.Argument(help="Run, model name, folder or openai-whisper .pt")],
    inputs: Annotated[list[Path], typer.Argument(help="Audio files and folders of them, or one JSONL manifest")],
    out: Annotated[
        Path | None, typer.Option(help="File, or folder for txt, srt and vtt of several  [default: standard output]")
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="  [default: --out's suffix, else jsonl: one id and text per line]")
    ] = None,
    longest: LongestOption = None,
    language: Annotated[
        str | None, typer.Option(help="  [default: the model's own settings, else en]", callback=parsed_language)
    ] = None,
    audio_context: Annotated[
        str | None, typer.Option(help="full, dynamic or seconds  [default: the model's own settings, else full]")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 16,
    engine: Annotated[
        Engine, typer.Option(help="Decoder for a Whisper; auto: CTranslate2 where it was measured to be faster")
    ] = Engine.torch,
    terms: TermsOption = None,
    boost: BoostOption = 1.0,
    ngram: NgramOption = None,
    alpha: AlphaOption = 0.1,
    prompt: PromptOption = None,
    beams: BeamsOption = 1,
    adapt: AdaptOption = Adapt.none,
    adapt_set: AdaptSetOption = None,
    outside: OutsideOption = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Transcribe a manifest or recordings. Long ones are cut at silences; unusable ones are reported.

    Example: asr-tv transcribe runs/demo/model calls/ --format srt --out subtitles
    """
    from asr_tv.data.corpora.local import read_manifest
    from asr_tv.data.text_files import holds_json_lines
    from asr_tv.decoding.files import find_recordings, transcribe_files
    from asr_tv.decoding.options import decoding_for
    from asr_tv.models.family import family_of
    from asr_tv.models.locate import resolve_model

    runtime, weights = runtime_for(store, quiet=quiet, batch_size=batch_size), model_path(model)
    listed = len(inputs) == 1 and holds_json_lines(inputs[0])
    settings, given, shape, how, material, base = gathered(
        lambda: model_settings(weights),
        lambda: parsed_context(audio_context, "--audio-context") if audio_context else None,
        lambda: _form(form, as_json, out, listed),
        lambda: adaptation_of(adapt, adapt_set, listed=listed),
        lambda: read_manifest(inputs[0], outside=outside, store=store) if listed else find_recordings(inputs),
        lambda: resolve_model(weights, runtime.store),
    )
    context, spoken = given or settings["audio_context"], language or settings.get("language", "en")
    bias = bias_of(runtime, base, terms, boost, ngram, alpha, prompt)
    family = family_of(base.path / "model")
    decoding = decoding_for(context, spoken, 200, "auto", family, engine.value, beams, bias, how)
    if listed:
        _put(_joined(_of_manifest(base, material, decoding, runtime), shape), out)
        return
    targets = _targets(material, inputs, shape, out)
    pauses = settings["audio_context"] != "full"
    limits = {"longest": _longest(longest, context), "at_each_pause": pauses}
    _deliver(transcribe_files(runtime, base, material, decoding, **limits), targets, shape, out)


def _deliver(
    heard: tuple[Sequence["Transcript"], Sequence[str]], targets: Mapping[Path, Path], shape: Form, out: Path | None
) -> None:
    """Writes each transcript to its own target, or all to one place; then tells what could not be read."""
    transcripts, problems = heard
    if not targets:
        _put(_joined(transcripts, shape), out)
    for transcript in transcripts if targets else ():
        _put(_rendered(transcript, shape), targets[Path(transcript.name)])
    if problems:
        raise DataError(problems)


def _form(form: Form | None, as_json: bool, out: Path | None, listed: bool) -> Form:
    if as_json and form not in (None, Form.json):
        raise ConfigError(f"--json and --format {form}: one of them")
    suffix = out.suffix.removeprefix(".") if out and not out.is_dir() else ""
    chosen = form or (Form.json if as_json else Form(suffix) if suffix in set(Form) else Form.jsonl)
    if listed and chosen in (Form.srt, Form.vtt):
        raise ConfigError(f"--format {chosen}: is for audio files; a manifest gives jsonl, json or txt")
    return chosen


def _longest(asked: float | None, context: Any) -> float:
    from asr_tv.models.audio_context import FULL_SECONDS, context_seconds

    usual = _SHORT_PIECE if context == "dynamic" else FULL_SECONDS
    return min(asked or usual, context_seconds(context, FULL_SECONDS))


def _of_manifest(base: "Record", manifest: "Manifest", decoding: "Decoding", runtime: "Runtime") -> list["Transcript"]:
    from asr_tv.audio.silences import Span
    from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
    from asr_tv.decoding.subtitles import Cue, Transcript
    from asr_tv.decoding.transcribe import transcribe as stage

    record = stage(runtime, base, manifest, decoding)
    if decoding.adaptation is not None:
        tell_adapted(record.details["adapted"])
    heard = read_hypotheses(record.path / hypotheses_file())
    spans = {u.id: Span(0.0, u.duration or 0.0) for u in manifest}
    return [Transcript(name, spans[name].end, (Cue(spans[name], text),)) for name, text in heard.items()]


def _targets(files: Sequence[Path], inputs: Sequence[Path], shape: Form, out: Path | None) -> dict[Path, Path]:
    """The file for each recording's transcript; empty where all go to one place."""
    if shape not in _ONE_FILE_EACH or (len(files) == 1 and (out is None or out.suffix == f".{shape}")):
        return {}
    if out is None:
        if shape is Form.txt:
            return {}
        raise ConfigError(f"--format {shape}: of {len(files)} recordings needs --out FOLDER")
    if out.is_file() or out.suffix == f".{shape}":
        raise ConfigError(f"--out {out}: {len(files)} recordings need a folder")
    folders = [path for path in inputs if path.is_dir()]
    targets = {file: out / _inside(file, folders).with_suffix(f".{shape}") for file in files}
    owners: dict[Path, Path] = {}
    for file, target in targets.items():
        if (other := owners.setdefault(target, file)) != file:
            raise ConfigError(f"{other} and {file}: both would be written to {target}")
    return targets


def _inside(file: Path, folders: Sequence[Path]) -> Path:
    return next((file.relative_to(folder) for folder in folders if file.is_relative_to(folder)), Path(file.name))


def _joined(transcripts: Sequence["Transcript"], shape: Form) -> str:
    if shape is Form.jsonl:
        rows = ({"id": t.name, "text": t.text} for t in transcripts)
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if shape is Form.json:
        return json.dumps([t.row() for t in transcripts], ensure_ascii=False, indent=1) + "\n"
    if shape is Form.txt and len(transcripts) > 1:
        return "".join(f"{printable(t.name, keep='')}\t{printable(t.text, keep='')}\n" for t in transcripts)
    return "".join(_rendered(t, shape) for t in transcripts)


def _rendered(transcript: "Transcript", shape: Form) -> str:
    from asr_tv.decoding.subtitles import as_srt, as_text, as_vtt

    return {Form.txt: as_text, Form.srt: as_srt, Form.vtt: as_vtt}[shape](transcript)


def _put(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    from asr_tv.store.results import write_atomically

    write_atomically(out, text)
