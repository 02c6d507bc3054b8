"""What a call reads: the records and manifests in its arguments, all of it hashed right before the call executes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from asr_tv.data.manifest import Manifest
from asr_tv.store.checks import file_problem
from asr_tv.store.results import Damaged, Record, Store


def leaves(value: Any) -> Iterator[Any]:
    """Records and manifests anywhere in a call's arguments."""
    if isinstance(value, Record | Manifest):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves(inner)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from leaves(getattr(value, field.name))


def changed(value: Any, change: Callable[[Record | Manifest], Record | Manifest]) -> Any:
    """The same arguments with other records and manifests in them, wherever they are."""
    if isinstance(value, Record | Manifest):
        return change(value)
    if isinstance(value, Mapping):
        return {key: changed(inner, change) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([changed(inner, change) for inner in value])
    if is_dataclass(value) and not isinstance(value, type):
        inside = {field.name: changed(getattr(value, field.name), change) for field in fields(value) if field.init}
        return replace(value, **inside)
    return value


def check_inputs(arguments: Mapping[str, Any], store: Store) -> None:
    """Reads all results and recordings of the store that a call was given, and compares their digests.

    Raises:
        Damaged: each that is not what it was; they are out of the store.
    """
    given = list(leaves(arguments))
    results = {(r.stage, r.key): None for r in given if isinstance(r, Record) and r.path.is_relative_to(store.root)}
    spoken = [u for manifest in given if isinstance(manifest, Manifest) for u in manifest]
    audio = {Path(u.audio): u.audio_digest for u in spoken if u.audio and u.audio_digest}
    problems = []
    for stage, key in results:
        faults = store.discard(stage, key) if (store.root / stage / key).exists() else ["lost"]
        problems += [f"{stage} {key}: {problem}" for problem in faults]
    for path, digest in audio.items():
        if path.is_relative_to(store.root) and file_problem(path.name, path, digest) is not None:
            problems += _damaged_recording(store, path, digest)
    if problems:
        raise Damaged(f"{store.root}: damaged, to be made again: {problem}" for problem in problems)


def _damaged_recording(store: Store, path: Path, digest: str) -> list[str]:
    """Of a corpus the whole result goes, of the spoken clips this one."""
    stage, key, *inside = path.relative_to(store.root).parts
    if inside and (store.root / stage / key / "record.json").exists():
        return [f"{stage} {key}: {problem}" for problem in store.discard(stage, key)]
    if (problem := file_problem(path.name, path, digest)) is None:  # mended meanwhile by another process
        return []
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return [f"clip {problem}"]
