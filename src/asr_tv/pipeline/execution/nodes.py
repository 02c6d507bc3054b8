"""What a node of a cluster does with a call: it checks that package and store are the flow's, fetches, and executes."""

import functools
import hashlib
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr_tv.data.manifest import Manifest
from asr_tv.errors import ConfigError, UserError
from asr_tv.pipeline.execution.events import Event, telling
from asr_tv.pipeline.execution.executor import Call
from asr_tv.pipeline.execution.inputs import changed
from asr_tv.store.durable import write_atomically
from asr_tv.store.inventory import CLIPS
from asr_tv.store.object_storage import open_store
from asr_tv.store.results import Damaged, Record, Store

_ID = ".id"
"""A file of the store by which another machine knows it again."""
_TELL_SECONDS = 1.0


@dataclass(frozen=True)
class Home:
    """What a node must have in common with the process that sends it calls.

    Attributes:
        source: digest of the package's source.
        location: the store's, as `open_store` takes it.
        root: the folder of the sender's store, or of its copy of the bucket; paths in calls begin with it.
        store: the store's id.
    """

    source: str
    location: str
    root: str
    store: str


def home_of(store: Store) -> Home:
    """This process and its store; gives the store an id if it has none."""
    file = store.root / _ID
    if (known := _read_id(store)) is None:
        write_atomically(file, known := uuid.uuid4().hex)
        if store.mirror is not None:
            store.mirror.send(file)
    return Home(source_digest(), store.location, str(store.root), known)


def _read_id(store: Store) -> str | None:
    file = store.root / _ID
    if store.mirror is not None:
        store.mirror.fetch(file)
    return file.read_text(encoding="utf-8") if file.exists() else None


@functools.cache
def source_digest() -> str:
    """sha256 over the package's modules as this process finds them."""
    root, digest = Path(__file__).parents[2], hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


@functools.cache
def misfit(home: Home) -> str | None:
    """Why this machine cannot work for that process, or None."""
    if source_digest() != home.source:
        return "has another version of asr-tv: install the same on all nodes and on the flow's machine"
    try:
        store = open_store(home.location)
        same = _read_id(store) == home.store
    except (UserError, OSError) as error:
        return f"cannot reach the store {home.location}: {error}"
    return None if same else f"does not see the store {home.location}: mount it there, at the same path"


def execute(call: Call, home: Home, newer_than: float, threads: int, put: Callable[[Event], Any]) -> Record:
    """The call's record, as this machine has it.

    Args:
        threads: that torch computes with.
        put: is told of the progress.

    Raises:
        ConfigError: this machine cannot work for that process.
        Damaged: an input is lost.
    """
    if problem := misfit(home):
        raise ConfigError(f"node {socket.gethostname()} {problem}")
    import torch

    torch.set_num_threads(threads)
    given = fetched(call.arguments, Path(home.root), open_store(home.location))
    store = open_store(home.location, newer_than=newer_than)
    return replace(call, arguments=given).run(store, telling(put, _TELL_SECONDS))


def fetched(arguments: Any, root: Path, store: Store) -> Any:
    """The arguments with the paths of this machine, once all is there that they name; the same where it is one folder.

    Args:
        root: the folder below which the sender keeps its results.

    Raises:
        Damaged: a result is lost.
    """
    if root == store.root:
        return arguments

    @functools.cache
    def result(stage: str, key: str) -> None:
        if store.fetched(stage, key) is None:
            raise Damaged(f"{store.location}: damaged, to be made again: {stage} {key}: lost")

    def file(path: str) -> str:
        if not Path(path).is_relative_to(root):
            return path
        first, second, *_ = inside = Path(path).relative_to(root).parts
        here = store.root.joinpath(*inside)
        if first != CLIPS:
            result(first, second)
        elif not here.is_file() and store.mirror is not None:
            store.mirror.fetch(here)
        return str(here)

    def change(value: Record | Manifest) -> Record | Manifest:
        if isinstance(value, Record):
            return replace(value, path=Path(file(str(value.path))))
        here = (replace(u, audio=file(u.audio)) if u.audio else u for u in value)
        return replace(value, utterances=tuple(here))

    return changed(arguments, change)
