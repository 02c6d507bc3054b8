"""`asr-tv gate`: leave out synthetic clips that do not say what their label says."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from asr_tv.cli.adapt import DEFAULT_STORE
from asr_tv.cli.stages import JsonOption, OutsideOption, QuietOption, StoreOption, runtime_for, say


def gate(
    clips: Annotated[Path, typer.Argument(help="JSONL manifest of synthetic clips, such as `synthesize` writes")],
    out: Annotated[Path, typer.Option(help="Folder for manifest.jsonl and verdicts.jsonl")],
    judge: Annotated[str, typer.Option(help="Whisper that listens to the clips")] = "openai/whisper-tiny.en",
    engine: Annotated[str, typer.Option(help="The synthesiser that made them, for the record")] = "unknown",
    language: Annotated[str, typer.Option()] = "en",
    outside: OutsideOption = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Keep the clips that say what their label says, judged against the other takes of the same text.

    Example: asr-tv gate clips/manifest.jsonl --judge openai/whisper-tiny.en --out gated
    """
    from asr_tv.config.run import GateConfig
    from asr_tv.data.corpora import stored_manifest
    from asr_tv.data.corpora.local import read_manifest, write_manifest
    from asr_tv.decoding.options import decoding_for
    from asr_tv.decoding.transcribe import transcribe
    from asr_tv.errors import gathered
    from asr_tv.models.family import family_of
    from asr_tv.models.locate import resolve_model
    from asr_tv.store.payload import MANIFEST, MODEL
    from asr_tv.synthesis.gate.gate import VERDICTS, Round
    from asr_tv.synthesis.gate.gate import gate as stage

    runtime = runtime_for(store, quiet=quiet)
    manifest, listener = gathered(
        lambda: read_manifest(clips, outside=outside, store=store), lambda: resolve_model(judge, runtime.store)
    )
    decoding = decoding_for("full", language, 200, "auto", family_of(listener.path / MODEL))
    heard = transcribe(replace(runtime, label="judge"), listener, manifest, decoding)
    rounds = (Round(manifest, heard),)
    record = stage(runtime, rounds, GateConfig(), listener, engine=engine, language=language)
    out.mkdir(parents=True, exist_ok=True)
    write_manifest(stored_manifest(record), out / MANIFEST)
    shutil.copyfile(record.path / VERDICTS, out / VERDICTS)
    say({"manifest": str(out / MANIFEST), **record.details}, as_json=as_json, text=_summary(record.details, out))


def _summary(counts: Any, out: Path) -> str:
    lines = [
        f"{counts['clips']} of {counts['judged']} clips kept, {counts['trimmed']} trimmed: {out / 'manifest.jsonl'}"
    ]
    lines += [f"voice {voice or 'unknown'}: {_share(row)}" for voice, row in counts["voices"].items()]
    lines.append(f"texts with rare words: {_share(counts['rare'])}; others: {_share(counts['common'])}")
    lines += [f"rejected, {reason}: {count}" for reason, count in counts["reasons"].items()]
    return "\n".join(lines)


def _share(row: dict[str, Any]) -> str:
    return f"{row['kept']} of {row['clips']} kept"
