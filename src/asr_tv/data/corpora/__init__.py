"""Labelled speech as a stage: fetched or read, selected, optionally put through a simulated line, stored whole."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from asr_tv.audio.channel import LINE_SAMPLING_RATE, simulate_line
from asr_tv.audio.recordings import audio_duration, write_audio
from asr_tv.config.run import CorpusConfig, LineConfig
from asr_tv.data.corpora.asterisk import asterisk_source
from asr_tv.data.corpora.audiofolder import read_audiofolder
from asr_tv.data.corpora.huggingface import huggingface_source
from asr_tv.data.corpora.kaldi import kaldi_source
from asr_tv.data.corpora.lhotse import lhotse_source
from asr_tv.data.corpora.local import read_manifest, write_manifest
from asr_tv.data.corpora.nemo import nemo_source
from asr_tv.data.corpora.openslr import openslr_source
from asr_tv.data.corpora.selection import corpus_statistics, count_reasons, select
from asr_tv.data.corpora.slurp import slurp_source
from asr_tv.data.corpora.source import Opened, Source
from asr_tv.data.manifest import Dropped, Manifest, Utterance
from asr_tv.data.recorded import read_original
from asr_tv.errors import DataError, map_all
from asr_tv.progress import Progress
from asr_tv.store.payload import DROPPED, MANIFEST
from asr_tv.store.results import Identity, Produced, Record, file_digest, write_atomically
from asr_tv.store.runtime import Runtime

__all__ = ["corpus_statistics", "load_corpus", "stored_manifest"]

_KINDS: Mapping[str, Callable[[CorpusConfig], Source]] = {
    "asterisk": asterisk_source,
    "huggingface": huggingface_source,
    "kaldi": kaldi_source,
    "lhotse": lhotse_source,
    "nemo": nemo_source,
    "openslr": openslr_source,
    "slurp": slurp_source,
}


def load_corpus(runtime: Runtime, config: CorpusConfig) -> Record:
    """The corpus as a stored result: manifest.jsonl, audio/*.flac (16 bit, mono) and dropped.json.

    The recordings keep their sampling rate, unless they are put through `config.line`, a simulated line at 8 kHz.

    Raises:
        ConfigError: an unknown language or domain, with those that exist.
        DataError: the corpus is not available, or every recording of it that cannot be used.
    """
    source = _source(config, runtime.store.root)
    identity = Identity(stage="corpus", version=1, parameters=config.key_parameters(), inputs=source.inputs)
    return runtime.store.build(identity, partial(_produce, config, source, runtime.progress))


def stored_manifest(record: Record) -> Manifest:
    """The utterances of a corpus or synthesis record, with absolute paths; the recordings are not opened again."""
    manifest = read_manifest(record.path / MANIFEST, need_audio=False)
    return replace(manifest, name=record.details.get("name", manifest.name))


def _source(config: CorpusConfig, store: Path) -> Source:
    if config.kind in _KINDS:
        return _KINDS[config.kind](config)
    path = Path(config.path or "").expanduser()
    if config.kind == "manifest":
        manifest = read_manifest(path, outside=config.outside, store=store)
    else:
        manifest = read_audiofolder(path, outside=config.outside)
    return Source({"manifest": manifest.digest}, lambda _: Opened(manifest, details={"licence": "not stated"}))


def _produce(config: CorpusConfig, source: Source, progress: Progress, folder: Path) -> Produced:
    download = folder / "download"
    opened = source.open(download)
    chosen, left_out = select(opened.manifest, config)
    if not len(chosen):
        raise DataError(f"{chosen.name}: no utterance is left of {len(opened.manifest)}: {count_reasons(left_out)}")
    stored = _store_recordings(chosen, folder, config.line, progress)
    dropped = (*opened.dropped, *left_out)
    write_manifest(stored, folder / MANIFEST)
    write_atomically(folder / DROPPED, json.dumps([asdict(d) for d in dropped], indent=1, ensure_ascii=False))
    shutil.rmtree(download, ignore_errors=True)
    # Copying is not learning: the stages that train and score list the manifest among their own reads.
    return Produced(reads=(), details={**_details(config, stored, dropped), **opened.details})


def _details(config: CorpusConfig, stored: Manifest, dropped: tuple[Dropped, ...]) -> dict[str, Any]:
    statistics = corpus_statistics(stored)
    return {
        "name": stored.name,
        "utterances": len(stored),
        "seconds": round(stored.seconds, 3),
        "domains": {domain: row["utterances"] for domain, row in statistics.items()},
        "dropped": count_reasons(dropped),
        "simulated_line": config.line.model_dump(mode="json") if config.line else None,
    }


def _store_recordings(manifest: Manifest, folder: Path, line: LineConfig | None, progress: Progress) -> Manifest:
    """Writes every recording that an interrupted call has not written yet."""
    with progress(f"corpus {manifest.name}", len(manifest), "utterances") as advance:

        def store(utterance: Utterance) -> Utterance:
            try:
                return _store_recording(utterance, folder, line)
            finally:
                advance()

        return Manifest(manifest.name, tuple(map_all(store, manifest)))


def _store_recording(utterance: Utterance, folder: Path, line: LineConfig | None) -> Utterance:
    target = folder / "audio" / _file_name(utterance.id)
    if not target.exists():
        wave, sampling_rate = read_original(utterance)
        if line is not None:
            wave, sampling_rate = simulate_line(wave, sampling_rate, line, utterance.id), LINE_SAMPLING_RATE
        write_audio(target, wave, sampling_rate)
    duration = round(audio_duration(target, utterance=utterance.id), 4)
    return replace(utterance, audio=str(target), duration=duration, offset=None, audio_digest=file_digest(target))


def _file_name(utterance_id: str) -> str:
    """Readable, safe in any file system whatever the id holds, and different for different ids."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", utterance_id)[-60:].strip("-")
    return f"{readable}.{hashlib.sha256(utterance_id.encode()).hexdigest()[:10]}.flac"
