"""Your own labelled speech: a JSON-lines manifest."""

import os
from dataclasses import replace
from pathlib import Path

from asr_tv.audio.recordings import audio_duration
from asr_tv.data.corpora.source import require_declared
from asr_tv.data.corpora.source import require_inside as require_in_folder
from asr_tv.data.manifest import Manifest, Utterance, format_manifest, parse_manifest
from asr_tv.data.recorded import path_of, require_inside
from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError, map_all
from asr_tv.store.results import file_digest, write_atomically

_ROUNDING = 0.01


def read_manifest(path: Path, *, need_audio: bool = True, outside: bool = False, store: Path | None = None) -> Manifest:
    """A JSONL manifest, named by its file; `audio` becomes absolute, from the manifest's folder where it is relative.

    Args:
        need_audio: every utterance must have a recording, which is opened; duration and digest are filled in.
        outside: recordings that are opened may lie anywhere, and not only in the manifest's folder or in `store`,
            where manifests that asr-tv writes keep their recordings.

    Raises:
        DataError: no utterance at all, every line that is not one, or every recording that is missing, empty,
            truncated, not audio, or not the one that duration and digest in the manifest describe.
    """
    manifest = replace(parse_manifest(read_text(path), str(path)), name=path.stem)
    return placed(manifest, path.parent, str(path), need_audio=need_audio, outside=outside, store=store)


def placed(
    manifest: Manifest,
    folder: Path,
    source: str,
    *,
    need_audio: bool = True,
    outside: bool = False,
    store: Path | None = None,
) -> Manifest:
    """The manifest with recordings below a folder where their paths are relative; the rest as `read_manifest`.

    Args:
        source: what the manifest was read from, for messages.

    Raises:
        DataError: as `read_manifest`, but for lines.
    """
    if not len(manifest):
        raise DataError(f"{source}: no utterance")
    found = tuple(located(u, folder) for u in manifest)
    if need_audio and not outside:
        require_in_folder([folder, *([store] if store else [])], found, source)
    named = Manifest(manifest.name, found)
    return opened(named) if need_audio else named


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Writes JSON lines atomically, recordings relative to the manifest's folder, so that both can move together."""
    folder = path.parent.absolute()
    relative = (
        u if u.audio is None else replace(u, audio=os.path.relpath(Path(u.audio).absolute(), folder)) for u in manifest
    )
    write_atomically(path, format_manifest(Manifest(manifest.name, tuple(relative))))


def opened(manifest: Manifest) -> Manifest:
    """The manifest with duration and digest of every recording.

    Raises:
        DataError: every recording that cannot be used, with file and id; no utterance at all.
    """
    if not len(manifest):
        raise DataError(f"{manifest.name}: no utterance")
    return Manifest(manifest.name, tuple(map_all(_opened, manifest)))


def _opened(utterance: Utterance) -> Utterance:
    path = path_of(utterance)
    seconds = audio_duration(path, utterance=utterance.id)
    digest = file_digest(path)
    if utterance.audio_digest not in (None, digest):
        where = f"utterance {utterance.id!r}: {utterance.audio}"
        raise DataError(f"{where}: changed since the manifest was written (audio_digest differs)")
    if utterance.offset is None:
        require_declared(utterance, seconds)
        return replace(utterance, duration=round(seconds, 4), audio_digest=digest)
    require_inside(utterance, seconds)
    start, length = utterance.offset, min(utterance.duration or seconds, seconds - utterance.offset)
    whole = start == 0 and abs(length - seconds) < _ROUNDING
    return replace(utterance, offset=None if whole else start, duration=round(length, 4), audio_digest=digest)


def located(utterance: Utterance, folder: Path) -> Utterance:
    """The utterance with its recording's absolute path, which is relative to the folder if it is relative."""
    if utterance.audio is None:
        return utterance
    return replace(utterance, audio=os.path.normpath(folder.absolute() / Path(utterance.audio).expanduser()))
