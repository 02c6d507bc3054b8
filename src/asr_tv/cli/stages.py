"""The stages as commands on files: synthesize, gate, finetune, score."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_tv.cli.learning.self_training import (
    CoefOption,
    CorrectOption,
    KeepOption,
    Labels,
    LabelsOption,
    tune_on_own,
)
from asr_tv.cli.models import write_model
from asr_tv.errors import ConfigError, gathered, tell_left_out
from asr_tv.safe_text import counted, printable

if TYPE_CHECKING:
    from asr_tv.data.manifest import Manifest
    from asr_tv.store.runtime import Runtime

DEFAULT_STORE = Path(".store")
StoreOption = Annotated[Path, typer.Option(help="Folder of cached stages")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON")]
QuietOption = Annotated[bool, typer.Option(help="No progress")]
OutsideOption = Annotated[bool, typer.Option("--outside", help="Also read recordings outside the manifest's folder")]


def parsed_language(written: str | None) -> str | None:
    """The code of a language given by code, tag or name.

    Raises:
        ConfigError: it is no language.
    """
    from asr_tv.config.language import language_code

    try:
        return None if written is None else language_code(written)
    except ValueError as error:
        raise ConfigError(f"--language: {error}") from None


LanguageOption = Annotated[str, typer.Option(callback=parsed_language, help="Code, tag or English name")]
_SHOWN_DROPS = 10  # dropped.json has all


def say(row: dict[str, Any], *, as_json: bool, text: str) -> None:
    """Print a command's result; JSON has no infinity, so null stands for it."""
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    typer.echo(json.dumps(finite, ensure_ascii=False, allow_nan=False) if as_json else printable(text))


def runtime_for(store: Path, *, quiet: bool, **how: Any) -> "Runtime":
    """How a command runs its stages; `how` are further attributes of Runtime."""
    from asr_tv.cli.console import progress_for
    from asr_tv.store.results import Store
    from asr_tv.store.runtime import Runtime

    return Runtime(Store(store), progress=progress_for(quiet=quiet), **how)


def synthesize(
    texts: Annotated[Path, typer.Argument(help="One sentence per line, or a JSONL manifest")],
    out: Annotated[Path, typer.Option(help="Folder for manifest.jsonl and the clips")],
    engine: Annotated[
        str, typer.Option(help="Speech synthesiser: piper, kokoro, hibari, pocket, espeak, bark, speecht5")
    ] = "piper",
    voice: Annotated[
        list[str] | None, typer.Option(help="Voice, or ENGINE:VOICE such as espeak:en-us+f3; repeatable")
    ] = None,
    voices: Annotated[
        str | None, typer.Option(help="all, or how many of the engine's voices of the language; each clip is in one")
    ] = None,
    takes: Annotated[int, typer.Option(min=1, help="Clips per sentence and voice")] = 1,
    language: Annotated[
        str | None, typer.Option(callback=parsed_language, help="Of the texts; a voice of another one is refused")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value of the synthesis section, such as bark.temperature=0.6; repeatable"),
    ] = None,
    domain: Annotated[str, typer.Option(help="Domain of plain sentences")] = "default",
    seed: Annotated[int, typer.Option()] = 17,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one per core")] = 0,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Synthesise sentences: writes OUT/manifest.jsonl and the clips. Finished clips are never synthesised twice.

    Example: asr-tv synthesize my_sentences.txt --voice en_US-joe-medium --takes 2 --out clips
    """
    from asr_tv.cli.voices import checked_voices, voices_asked
    from asr_tv.config.file import section_of
    from asr_tv.config.run import SynthesisConfig
    from asr_tv.data.corpora.local import read_manifest, write_manifest
    from asr_tv.data.corpora.texts import read_texts
    from asr_tv.data.text_files import holds_json_lines
    from asr_tv.synthesis.synthesize import synthesize as stage

    given = {"engine": engine, "takes": takes, **voices_asked(engine, voice, voices, language)}
    config = checked_voices(section_of(SynthesisConfig, set_ or (), given), language)
    if config.match:
        raise ConfigError("--set match: there are no source recordings here; `asr-tv adapt` has them")
    manifest = read_manifest(texts, need_audio=False) if holds_json_lines(texts) else read_texts(texts, domain)
    record = stage(runtime_for(store, quiet=quiet, workers=workers), manifest, config, seed=seed)
    spoken = read_manifest(record.path / "manifest.jsonl", need_audio=False)
    write_manifest(_copied(spoken, out), out / "manifest.jsonl")
    shutil.copyfile(record.path / "dropped.json", out / "dropped.json")
    row = {"clips": len(spoken), "seconds": round(spoken.seconds, 1), "manifest": str(out / "manifest.jsonl")}
    drops = json.loads((out / "dropped.json").read_text(encoding="utf-8"))
    found = f"{counted(len(spoken), 'clip')}, {spoken.seconds:.0f} s of speech, {len(drops)} dropped"
    text = f"{found}: {out / 'manifest.jsonl'}"
    for drop in [] if as_json else drops[:_SHOWN_DROPS]:
        typer.echo(
            printable(f"not spoken: {drop['id']}, {counted(len(drop['clips']), 'clip')}: {drop['reason']}"), err=True
        )
    say(row | {"dropped": len(drops)}, as_json=as_json, text=text)


def _copied(manifest: Any, out: Path) -> Any:
    """The manifest with its clips copied beside it, so that the folder can be moved and changed freely."""
    from asr_tv.data.manifest import Manifest

    clips = out / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    rows = []
    for utterance in manifest:
        # Ids are percent-encoded, so they name files; file systems take 255 bytes.
        name = utterance.id if len(utterance.id) < 200 else f"{utterance.id[:150]}.{Path(utterance.audio).stem}"
        target = clips / f"{name}.flac"
        shutil.copyfile(utterance.audio, target)
        rows.append(replace(utterance, audio=str(target.absolute())))
    return Manifest(manifest.name, tuple(rows))


def gate(
    clips: Annotated[Path, typer.Argument(help="JSONL manifest of synthetic clips, such as `synthesize` writes")],
    out: Annotated[Path, typer.Option(help="Folder for manifest.jsonl and verdicts.jsonl")],
    judge: Annotated[str, typer.Option(help="Whisper that listens to the clips")] = "openai/whisper-tiny.en",
    engine: Annotated[str, typer.Option(help="The synthesiser that made them, for the record")] = "unknown",
    language: LanguageOption = "en",
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
    row = {"manifest": str(out / MANIFEST), **record.details}
    say(row, as_json=as_json, text=_gate_summary(record.details, out / MANIFEST))


def _gate_summary(counts: Any, file: Path) -> str:
    lines = [f"{counts['clips']} of {counted(counts['judged'], 'clip')} kept, {counts['trimmed']} trimmed: {file}"]
    lines += [f"voice {voice or 'unknown'}: {_share(row)}" for voice, row in counts["voices"].items()]
    lines.append(f"texts with rare words: {_share(counts['rare'])}; others: {_share(counts['common'])}")
    lines += [f"rejected, {reason}: {count}" for reason, count in counts["reasons"].items()]
    return "\n".join(lines)


def _share(row: dict[str, Any]) -> str:
    return f"{row['kept']} of {row['clips']} kept"


def finetune(
    model: Annotated[str, typer.Argument(help="Model name, HF folder, CTranslate2 folder or openai-whisper .pt")],
    manifest: Annotated[Path, typer.Argument(help="JSONL manifest with audio")],
    out: Annotated[Path, typer.Option(help="Folder for the tuned model")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the training section, such as epochs=2; repeatable")
    ] = None,
    language: LanguageOption = "en",
    seed: Annotated[int, typer.Option()] = 17,
    drop_longer: Annotated[bool, typer.Option(help="Leave out clips of over 30 s, which no Whisper hears")] = False,
    augment: Annotated[bool, typer.Option(help="Channel augmentation of synthetic clips")] = False,
    labels: LabelsOption = Labels.given,
    keep: KeepOption = 0.8,
    correct: CorrectOption = None,
    coef: CoefOption = 0.5,
    outside: OutsideOption = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fine-tune a Whisper or CTC model on a manifest. An interrupted run continues from its last finished epoch.

    Example: asr-tv finetune openai/whisper-tiny.en clips/manifest.jsonl --set epochs=2 --out tuned
    """
    from asr_tv.config.file import section_of
    from asr_tv.config.run import AugmentationConfig, TrainingConfig
    from asr_tv.data.corpora.local import read_manifest
    from asr_tv.models.locate import resolve_model
    from asr_tv.training.data import TrainingData
    from asr_tv.training.finetune import finetune as stage
    from asr_tv.training.trainer import LORA_VECTOR

    runtime = runtime_for(store, quiet=quiet)
    if labels is Labels.self:
        require_model_folder(out)
        how = {"seed": seed, "language": language}
        record, row, told = tune_on_own(runtime, model, manifest, set_ or [], how, keep, correct, coef, outside)
        write_model(record, {"audio_context": row["audio_context"], "language": language, "labels": "self"}, out)
        say(row | {"model": str(out)}, as_json=as_json, text=f"{told}: {out}")
        return
    training, recordings, base = gathered(
        lambda: section_of(TrainingConfig, set_ or ()),
        lambda: read_manifest(manifest, outside=outside, store=store),
        lambda: resolve_model(model, runtime.store),
    )
    require_model_folder(out)
    if drop_longer:
        recordings = _without_longer(recordings)
    data = TrainingData(recordings, AugmentationConfig() if augment else None)
    record = stage(runtime, base, data, training, seed=seed, language=language)
    write_model(record, {"audio_context": record.details["audio_context"], "language": language}, out)
    if (record.path / LORA_VECTOR).exists():
        shutil.copyfile(record.path / LORA_VECTOR, out / LORA_VECTOR)
    row = {key: record.details[key] for key in ("updates", "trainable_parameters", "epoch_losses")}
    losses = ", ".join(f"{loss:.2f}" for loss in record.details["epoch_losses"])
    done = f"{row['trainable_parameters']:,} parameters tuned, {counted(row['updates'], 'update')}"
    text = f"{done}, loss by epoch {losses}: {out}"
    say(row | {"model": str(out)}, as_json=as_json, text=text)


def _without_longer(recordings: "Manifest") -> "Manifest":
    from asr_tv.models.audio_context import FULL_SECONDS

    longer = {u.id for u in recordings if (u.duration or 0.0) > FULL_SECONDS}
    tell_left_out(recordings.name, f"longer than {FULL_SECONDS:g} s", sorted(longer))
    return recordings.where(recordings.name, lambda u: u.id not in longer)


def require_model_folder(out: Path) -> None:
    """Refuse to mix a model with other files.

    Raises:
        ConfigError: the folder holds something else.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "config.json").exists())):
        raise ConfigError(f"--out {out}: holds something that is not a model")


def score(
    reference: Annotated[Path, typer.Argument(help="JSONL manifest with the reference texts")],
    hypotheses: Annotated[Path, typer.Argument(help="JSONL of id and text")],
    normalizer: Annotated[
        str, typer.Option(help="english, basic, characters or none; applied to both sides")
    ] = "english",
    as_json: JsonOption = False,
) -> None:
    """Score hypotheses: pooled WER and CER with their errors and a bootstrap interval over sentences.

    Example: asr-tv score test.jsonl hyp.jsonl --normalizer english
    """
    from asr_tv.config.run import ScoringConfig
    from asr_tv.data.corpora.local import read_manifest
    from asr_tv.decoding.hypotheses import read_hypotheses, refuse_commands
    from asr_tv.scoring.score import evaluate
    from asr_tv.text.normalize import get_normalizer

    defaults = ScoringConfig()
    _, references, heard = gathered(
        lambda: get_normalizer(normalizer),
        lambda: read_manifest(reference, need_audio=False),
        lambda: read_hypotheses(hypotheses),
    )
    refuse_commands(heard, str(hypotheses))
    evaluation = evaluate(references, heard, normalizer)
    interval = evaluation.interval(resamples=defaults.resamples, confidence=defaults.confidence, seed=0)
    counts = evaluation.word_counts
    row = {
        "wer": evaluation.wer,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "cer": evaluation.cer,
        "words": counts.words,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
        "utterances": len(evaluation.utterances),
        "normalizer": evaluation.conditions.normalizer,
        "normalizer_version": evaluation.conditions.normalizer_version,
    }
    say(row, as_json=as_json, text=_score_text(evaluation, interval))


def _score_text(evaluation: Any, interval: Any) -> str:
    """One line; of a language without spaces CER comes first, and what its words are is said."""
    from asr_tv.text.normalize import CHARACTERS
    from asr_tv.text.scripts import is_unspaced

    counts, normalizer = evaluation.word_counts, evaluation.conditions.normalizer
    between = f"[{interval.low:.2%}, {interval.high:.2%}]" if math.isfinite(interval.high) else "(no interval)"
    rates, unit = f"WER {evaluation.wer:.2%} {between}, CER {evaluation.cer:.2%}", "words"
    if normalizer == CHARACTERS:
        rates, unit = f"CER {evaluation.wer:.2%} {between}", "characters"
    elif is_unspaced("".join(u.reference for u in evaluation.utterances)):
        unit = "stretches between spaces, which are no words: use --normalizer characters"
        rates = f"CER {evaluation.cer:.2%}; by stretches {evaluation.wer:.2%} {between}"
    errors = ", ".join(
        counted(count, kind)
        for count, kind in (
            (counts.substitutions, "substitution"),
            (counts.deletions, "deletion"),
            (counts.insertions, "insertion"),
        )
    )
    of = f"{counted(len(evaluation.utterances), 'utterance')}; normaliser {normalizer}"
    return f"{rates}: {errors} in {counts.words} {unit}, {of}"
