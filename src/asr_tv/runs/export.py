"""Exports a checkpoint for another program, loads it there again, and keeps it only if it hears as before."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.data.recorded import read_wave
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.options import Decoding, most_tokens
from asr_tv.decoding.transcribe import transcribe
from asr_tv.errors import ConfigError, DataError
from asr_tv.models.audio_context import FULL_SECONDS
from asr_tv.models.formats import Format, Precision, check_exportable, write_format
from asr_tv.models.output import new_folder
from asr_tv.models.whisper import load_tokenizer
from asr_tv.progress import Progress, silent
from asr_tv.report.export_card import Check
from asr_tv.report.systems import rate_of
from asr_tv.runs.runtimes import Program, open_runtime
from asr_tv.safe_text import counted
from asr_tv.scoring.score import evaluate
from asr_tv.scoring.wer import ErrorCounts, count_words
from asr_tv.store.payload import BIASING, MODEL
from asr_tv.store.results import Record, Store, file_digest, write_atomically
from asr_tv.store.runtime import Runtime

RECORD, CARD, SETTINGS = "export.json", "README.md", "asr_tv.json"
_MAX_TOKENS = 200


@dataclass(frozen=True)
class Examination:
    """On what an export is re-scored, and how far its WER may move.

    Attributes:
        clips: recordings with their texts; none longer than 30 s.
        max_wer_change: a fraction, 0.01 for a point of WER; up or down.
        language: of the clips, where it is not the export's own.
    """

    clips: Manifest
    normalizer: str
    max_wer_change: float
    language: str | None = None


@dataclass(frozen=True)
class Exported:
    """A finished export; `check` is None where it was not re-scored."""

    path: Path
    check: Check | None


def chosen_clips(manifest: Manifest, count: int) -> Manifest:
    """At most `count` recordings of at most 30 s, the same ones each time and whatever their order.

    Raises:
        DataError: there is none.
    """
    short = [u for u in manifest if u.audio is not None and (u.duration or 0.0) <= FULL_SECONDS]
    if not short:
        raise DataError(f"{manifest.name}: no recording of at most {FULL_SECONDS:g} s to re-score an export on")
    return Manifest(manifest.name, tuple(sorted(drawn(short, count), key=lambda u: u.id)))


def drawn(utterances: Iterable[Utterance], count: int) -> list[Utterance]:
    """At most `count` of them by chance, which their ids decide."""
    return sorted(utterances, key=lambda u: hashlib.sha256(u.id.encode()).hexdigest())[:count]


def export(
    checkpoint: Record,
    form: Format,
    out: Path,
    *,
    card: Callable[[Check | None], str],
    settings: Mapping[str, Any],
    store: Store,
    language: str = "en",
    precision: Precision = "fp32",
    examination: Examination | None = None,
    words: Path | None = None,
    progress: Progress = silent,
) -> Exported:
    """Writes the checkpoint into the folder `out`, which appears whole, with its card and record, or not at all.

    The same clips are decoded before, by asr-tv in fp32 and 30 s, and after, by the program the export is for.

    Args:
        card: makes the model card from what the check found.
        settings: kept beside the weights; how asr-tv decodes the model.
        words: a run's folder of terms and n-gram, to go with the model.

    Raises:
        ConfigError: as `check_exportable`, or `out` holds something else.
        DataError: the form cannot hold the model, or the exported model's WER moved beyond the bound; in fp32 also if
            more of its words than the bound are others than the checkpoint's.
    """
    check_exportable(form, precision)
    require_export_folder(out)
    start = time.perf_counter()
    with new_folder(out.absolute()) as scratch:
        with progress(f"write {form}", 1, "models") as advance:
            write_format(checkpoint.path / MODEL, scratch, form, precision)
            advance()
        check = None
        if examination is not None:
            heard_in = examination.language or language
            runtime = open_runtime(form, scratch, heard_in, precision)
            check = _examined(checkpoint, runtime, examination, heard_in, store, progress, rounded=precision != "fp32")
            _require_unmoved(check, out)
        if words is not None:
            shutil.copytree(words, scratch / BIASING)
        write_atomically(scratch / SETTINGS, json.dumps(dict(settings), indent=1) + "\n")
        write_atomically(scratch / CARD, card(check))
        about = {"format": form, "precision": precision, "checkpoint": checkpoint.digest}
        _publish(scratch, about, check, start)
    return Exported(out, check)


def require_export_folder(out: Path) -> None:
    """An export replaces an earlier one or an empty folder, nothing else.

    Raises:
        ConfigError: the folder holds something else.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / RECORD).exists())):
        raise ConfigError(f"--out {out}: holds something that is not an export")


def _examined(
    checkpoint: Record,
    runtime: Program,
    examination: Examination,
    language: str,
    store: Store,
    progress: Progress,
    *,
    rounded: bool,
) -> Check:
    clips = examination.clips
    decoding = Decoding("full", language, _MAX_TOKENS)
    record = transcribe(Runtime(store, progress=progress, label="decode before"), checkpoint, clips, decoding)
    before = evaluate(clips, read_hypotheses(record.path / hypotheses_file()), examination.normalizer)
    after = evaluate(clips, _heard(checkpoint, runtime, clips, progress), examination.normalizer)
    heard_before = {u.id: u.heard for u in before.utterances}
    changes = (count_words(heard_before[u.id], u.heard) for u in after.utterances)
    return Check(
        runtime=runtime.name,
        recordings=clips.name,
        clips=len(clips),
        words=before.word_counts.words,
        wer_before=before.wer,
        wer_after=after.wer,
        same_words=sum(u.heard == heard_before[u.id] for u in after.utterances),
        max_wer_change=examination.max_wer_change,
        words_changed=None if rounded else sum(changes, ErrorCounts()).rate,
        rates=rate_of([examination.normalizer]),
    )


def _heard(checkpoint: Record, runtime: Program, clips: Manifest, progress: Progress) -> dict[str, str]:
    """Text by id; what runs away is cut where asr-tv's own decoding cuts it, so that loops are compared alike."""
    tokenizer = load_tokenizer(checkpoint.path / MODEL)
    texts: dict[str, str] = {}
    with progress(f"decode with {runtime.name}", len(clips), "utterances") as advance:
        for u in clips:
            wave = read_wave(u)
            ids = tokenizer(runtime.text(wave), add_special_tokens=False).input_ids
            texts[u.id] = tokenizer.decode(ids[: most_tokens(u.duration or FULL_SECONDS, _MAX_TOKENS)])
            advance()
    return texts


def _require_unmoved(check: Check, out: Path) -> None:
    if not check.passed:
        moved = f"moved by more than {check.max_wer_change:.2%}"
        if check.wer_is_kept:
            moved = f"{check.words_changed:.2%} of the words are others, more than {check.max_wer_change:.2%}"
        raise DataError(
            f"{out}: not exported: on {counted(check.clips, 'clip')} {check.runtime} has "
            f"{check.wer_after:.2%} {check.rates}, asr-tv had {check.wer_before:.2%}: {moved} "
            f"(--max-wer-change); the same words on {check.same_words}"
        )


def _publish(folder: Path, about: Mapping[str, Any], check: Check | None, start: float) -> None:
    """Writes the record, without which a folder is no export."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    row = {**about, "files": {p.relative_to(folder).as_posix(): file_digest(p) for p in files}}
    row |= {"check": asdict(check) if check else None, "seconds": round(time.perf_counter() - start, 1)}
    write_atomically(folder / RECORD, json.dumps(row, indent=1, ensure_ascii=False) + "\n")
