"""Checkpoints of the Hugging Face hub, from the local cache or downloaded if the hub answers at once."""

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_tv.errors import DataError, TryAgain
from asr_tv.models.directory import CONFIG, SIDE_FILES
from asr_tv.models.tensors import INDEX, PICKLED, PICKLED_INDEX, WEIGHTS, open_tensors

_WANTED = [*SIDE_FILES, WEIGHTS, INDEX, "model-*.safetensors", "README.md"]
_PICKLED = [*_WANTED, PICKLED, PICKLED_INDEX, "pytorch_model-*.bin"]
"""Where a repository has no safetensors."""
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class Snapshot:
    """One revision of a model on this machine."""

    name: str
    revision: str
    path: Path

    @property
    def licence(self) -> str:
        """The licence in the header of the model card."""
        card = self.path / "README.md"
        lines = card.read_text(encoding="utf-8", errors="replace").splitlines() if card.exists() else []
        stated = (line.partition(":")[2].strip() for line in lines[:200] if line.startswith("license:"))
        return next(stated, "") or "not stated"


def cached_snapshot(name: str) -> Snapshot | None:
    """The model in the hub's local cache, if it is complete; uses no network."""
    path = _cached(name, allow_patterns=_WANTED)
    return None if path is None else _complete(name, path)


def download_snapshot(name: str) -> Snapshot:
    """Downloads a model, after one short request, so that a closed network costs two seconds.

    Raises:
        DataError: why it is not available: HF_HUB_OFFLINE is set, no answer, unknown name, weights of other kinds.
    """
    for wanted in (_WANTED, _PICKLED):
        path = _download(name, f"/{name}/resolve/main/{CONFIG}", allow_patterns=wanted)
        if (snapshot := _complete(name, path)) is not None:
            return snapshot
    open_tensors(path)  # says what is wrong with the weights
    raise DataError(f"the hub: {name} has no {CONFIG}")


def repository(
    name: str,
    files: Sequence[str],
    *,
    alternatives: Sequence[str] = (),
    also: Sequence[str] = (),
    dataset: bool = False,
) -> Path:
    """The folder of a repository's files, named by their revision, from the local cache or downloaded.

    Each pattern of `files` must match a file, and one of `alternatives`; those of `also` need not.

    Raises:
        DataError: why it is not available.
    """
    kind, patterns = "dataset" if dataset else "model", [*files, *alternatives, *also]
    cached = _cached(name, repo_type=kind, allow_patterns=patterns)
    if cached is not None and not _lacking(cached, files, alternatives):
        return cached
    path = _download(name, repo_type=kind, allow_patterns=patterns)
    if lacking := _lacking(path, files, alternatives):
        raise DataError(f"the hub: {name} has no {', no '.join(lacking)}")
    return path


def _cached(name: str, **wanted: Any) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True, **wanted))  # nosec B615 - its commit is recorded
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _download(name: str, probe: str = "", **wanted: Any) -> Path:
    """Downloads after asking whether the hub answers, and with a `probe`, whether it has that path."""
    import httpx
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if constants.HF_HUB_OFFLINE:
        raise DataError(f"the hub: HF_HUB_OFFLINE is set, and {name} is not in the cache")
    if (status := _status(f"{constants.ENDPOINT}{probe}")) is None:
        raise TryAgain(f"the hub: {constants.ENDPOINT} does not answer")
    if probe and status >= 400:
        raise DataError(f"the hub: {constants.ENDPOINT} answers {status} for {name}")
    try:
        return Path(snapshot_download(name, **wanted))  # nosec B615 - its commit is recorded
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        raise TryAgain(f"the hub: downloading {name} failed: {error}") from error


def _lacking(folder: Path, files: Sequence[str], alternatives: Sequence[str]) -> list[str]:
    lacking = [pattern for pattern in files if not any(folder.glob(pattern))]
    if alternatives and not any(path for pattern in alternatives for path in folder.glob(pattern)):
        lacking.append(" or ".join(alternatives))
    return lacking


def hub_answers() -> bool:
    """Whether the hub can be reached; takes up to two seconds where it cannot."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and _status(constants.ENDPOINT) is not None


def _complete(name: str, path: Path) -> Snapshot | None:
    """The snapshot, or None after an interrupted download: all shards in the index must exist."""
    try:
        open_tensors(path)
    except DataError:
        return None
    return Snapshot(name, path.name, path) if (path / CONFIG).exists() else None


def _status(url: str) -> int | None:
    """HTTP status of a HEAD request, or None without an answer in time, name resolution included."""
    answer: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    threading.Thread(target=_ask, args=(url, answer), daemon=True).start()
    try:
        return answer.get(timeout=_PATIENCE_SECONDS)
    except queue.Empty:
        return None


def _ask(url: str, answer: "queue.SimpleQueue[int | None]") -> None:
    import httpx

    try:
        answer.put(httpx.head(url, timeout=_PATIENCE_SECONDS, follow_redirects=False).status_code)
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        answer.put(None)
