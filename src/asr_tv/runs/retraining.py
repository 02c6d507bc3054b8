"""Tunes a followed folder's model on what people verified, and promotes it by the rule of runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from asr_tv.data.manifest import Manifest
from asr_tv.data.text_files import read_text
from asr_tv.devices import choose_device
from asr_tv.models.family import family_of
from asr_tv.models.locate import resolve_model
from asr_tv.report.systems import ADAPTED
from asr_tv.runs.following import Follower, Pass, counts_of, divided, put_model
from asr_tv.runs.promotion import CURRENT, REPORT, VERSIONS, Promotion, promote
from asr_tv.scoring.bootstrap import interval
from asr_tv.scoring.wer import ErrorCounts
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record
from asr_tv.store.runtime import Runtime
from asr_tv.streaming.learners import tuned
from asr_tv.streaming.specs import Setup, loader
from asr_tv.streaming.stage import shared_ear
from asr_tv.streaming.turns import Ear
from asr_tv.text.normalize import Normalizer


@dataclass(frozen=True)
class Followed:
    """A look into the folder, and what became of a training, if there was one."""

    look: Pass
    promotion: Promotion | None = None
    trained_on: int = 0


def current_model(name: str, out: Path) -> str:
    """The promoted model of an output folder, else the one that was given."""
    promoted = out / CURRENT / MODEL
    return str(promoted) if promoted.is_dir() else name


def follow_once(
    runtime: Runtime,
    model: str,
    folder: Path,
    out: Path,
    setup: Setup,
    normalize: Normalizer,
    *,
    retrain: bool = False,
) -> Followed:
    """Hears what is new; with `retrain`, tunes the given model once `every` more recordings are verified.

    Raises:
        DataError: a model that does not load, or as `Follower.look`.
    """
    heard_with = resolve_model(current_model(model, out), runtime.store)
    family = family_of(heard_with.path / MODEL)
    ear = shared_ear(heard_with.path / MODEL, family, setup, runtime.device)
    look = Follower(folder, out, ear, heard_with.digest, normalize, family == "whisper").look()
    train, judges = divided(look.verified)
    steps = len(train) // setup.retraining.every
    if not retrain or not steps or not len(judges):
        return Followed(look)
    first = Manifest("verified", train.utterances[: steps * setup.retraining.every])
    base = resolve_model(model, runtime.store)
    record = tuned(runtime, base, first, setup.retraining, setup.language)
    if _is_judged(out, record):
        return Followed(look)
    new = loader(family, setup, choose_device(runtime.device))(record.path / MODEL)
    report = report_of(record, new, judges, first, normalize)
    put_model(record.path / MODEL, out, report)
    return Followed(look, promote(out, report, worse_than(ear, judges, report, normalize)), len(first))


def report_of(record: Record, ear: Ear, judges: Manifest, trained: Manifest, normalize: Normalizer) -> dict[str, Any]:
    """What promotion reads: the tuned model's WER on held-out verified recordings, and what was heard."""
    counts = counts_of(ear, judges, normalize)
    ends = interval(
        [c.errors for c in counts],
        [c.words for c in counts],
        [normalize(u.text) for u in judges],
        resamples=2000,
        confidence=0.95,
        seed=17,
    )
    row = {
        "name": ADAPTED,
        "role": "target",
        "domain": "stream",
        "wer": sum(counts, ErrorCounts()).rate,
        "ci_low": ends.low,
        "ci_high": ends.high if isfinite(ends.high) else None,
        "utterances": len(judges),
        "conditions": {"manifest": judges.digest, "normalizer": normalize.name},
    }
    heard = {"manifest": trained.name, "digest": trained.digest, "utterances": len(trained), "systems": [ADAPTED]}
    ledger = {"target_recordings_read_before_scoring": [], "learnt_from_feedback": [heard]}
    return {"name": "stream", "systems": [row], "ledger": ledger, "checkpoint": record.digest}


def worse_than(ear: Ear, judges: Manifest, report: Mapping[str, Any], normalize: Normalizer) -> str | None:
    """Why a tuned model must not be promoted: it makes more errors than the one in use, on the same recordings."""
    before = sum(counts_of(ear, judges, normalize), ErrorCounts()).rate
    (row,) = report["systems"]
    if row["wer"] <= before:
        return None
    told = f"{100 * row['wer']:.1f} % on {len(judges)} held-out verified recordings"
    return f"WER is {told}, that of the model in use {100 * before:.1f} %"


def _is_judged(out: Path, record: Record) -> bool:
    """Whether this model is a version already, promoted or refused."""
    reports = (json.loads(read_text(path)) for path in (out / VERSIONS).glob(f"*/{REPORT}"))
    return any(report.get("checkpoint") == record.digest for report in reports)
