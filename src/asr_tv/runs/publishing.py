"""A finished run's vector as others can use it: what the run was, read back from its report and its store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest
from asr_tv.errors import DataError
from asr_tv.pipeline.material import sentence_identity
from asr_tv.runs.finished import FinishedRun, read_run
from asr_tv.store.payload import MODEL, VECTOR
from asr_tv.store.results import Record, Store
from asr_tv.synthesis.engines import split_voice
from asr_tv.vectors.published.card import VectorCard
from asr_tv.vectors.published.folder import Publication, VectorOrigin, write_published


def publish_run(run: Path, public: Publication, store: Store, out: Path, coef: float | None = None) -> VectorCard:
    """Writes the folder of a run's own vector.

    Args:
        coef: the recommendation for the pretrained start; not given, what the run's folds found best.

    Raises:
        DataError: the run did not finish or made no vector, or the store has not kept what it was made of.
        ConfigError: no licence.
    """
    finished = read_run(run)
    settings = finished.report["settings"]
    if settings.get("vector", {}).get("published"):
        raise DataError(f"{run}: its vector is {settings['vector']['published']}, not one of its own")
    if not (run / VECTOR).is_file():
        raise DataError(f"{run}: made no vector: a run without source speech has none")
    pretrained, speech = _stage(finished, store, "checkpoint"), _source_clips(finished, store)
    recommended, chosen_on = recommended_coefs(finished.report["selection"], coef)
    origin = VectorOrigin(
        pretrained_name=str(settings["model"]),
        language=str(settings["language"]),
        source=_source(finished, speech, store),
        synthesis=_synthesis(settings),
        recipe=_recipe(settings),
        scaling_coef=recommended,
        chosen_on=chosen_on,
        sentences=tuple(u.text for u in speech),
    )
    identity = sentence_identity(origin.language)
    return write_published(run / VECTOR, pretrained.path / MODEL, origin, public, identity, out)


def source_licences(run: Path) -> tuple[str, ...]:
    """The licences of the corpora behind a run's vector, for whoever decides on the vector's own."""
    corpora = read_run(run).report["corpus"]["corpora"]
    return tuple(dict.fromkeys(f"{c['name']}: {c['licence']}" for c in corpora))


def recommended_coefs(selection: Mapping[str, Any], given: float | None = None) -> tuple[dict[str, float], str]:
    """By start, the coefficient with fewest errors on the folds, of equal ones the smaller; and what that rests on."""
    best: dict[str, tuple[float, float, float]] = {}
    for score in selection["scores"]:
        if score["wer"] is not None:
            found = (score["wer"], abs(score["scaling_coef"]), score["scaling_coef"])
            best[score["start"]] = min(best.get(score["start"], found), found)
    coefs = {start: coef for start, (_, _, coef) in sorted(best.items())}
    told = f"source domains that played the target: {', '.join(selection['folds'])}" if best else "the configuration"
    if not best:
        chosen = selection["chosen"] or {}
        coefs = {chosen["start"]: chosen["scaling_coef"]} if chosen else {}
    if given is None:
        return coefs, told
    return coefs | {"pretrained": given}, f"{told}; pretrained: given by the publisher"


def _stage(run: FinishedRun, store: Store, name: str, label: str = "") -> Record:
    record = next(iter(run.records(store, name, label)), None)
    if record is None:
        raise DataError(f"{run.folder}: {store.root} has not kept its {label or name}; --store names the run's store")
    return record


def _source_clips(run: FinishedRun, store: Store) -> Manifest:
    return stored_manifest(_stage(run, store, "synthesize", "synthesize source"))


def _source(run: FinishedRun, speech: Manifest, store: Store) -> dict[str, Any]:
    """The recordings of the spoken sentences, as far as the store still has the corpora."""
    corpora = run.report["corpus"]["corpora"]
    spoken = {(u.domain, u.text) for u in speech}
    records = [record for record in run.records(store, "corpus") if record]
    real = {u.audio_digest: u for r in records for u in stored_manifest(r) if (u.domain, u.text) in spoken}
    speakers = {u.speaker for u in real.values()}
    return {
        "corpora": [{"name": c["name"], "licence": c["licence"]} for c in corpora],
        "domains": list(speech.domains),
        "utterances": len(spoken),
        "seconds": round(sum(u.duration or 0.0 for u in real.values()), 1),
        "speakers": None if not speakers or None in speakers else len(speakers),
        "line": "; ".join(dict.fromkeys(c["simulated_line"] for c in corpora if c["simulated_line"])) or None,
    }


def _synthesis(settings: Mapping[str, Any]) -> dict[str, Any]:
    speech = settings["synthesis"]
    engines = sorted({split_voice(voice, speech["engine"])[0] for voice in speech["voices"]})
    return {"engines": engines, "voices": list(speech["voices"]), "takes": 1}


def _recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    training = settings["training"]
    return {
        "operation": "source_real - source_synthetic",
        "pooling": settings["vector"]["pooling"],
        "training": training,
        "audio_context": training["audio_context"],
        "normalizer": settings["scoring"]["normalizer"],
    }
