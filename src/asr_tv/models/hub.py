"""Checkpoints of the Hugging Face hub: from the local cache, or downloaded when the hub answers at once."""

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_tv.errors import DataError, TryAgain
from asr_tv.models.directory import CONFIG, SIDE_FILES
from asr_tv.models.tensors import INDEX, WEIGHTS, open_tensors

_WANTED = [*SIDE_FILES, WEIGHTS, INDEX, "model-*.safetensors", "README.md"]
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class Snapshot:
    """One revision of a model on this machine."""

    name: str
    revision: str
    path: Path

    @property
    def licence(self) -> str:
        """As the model card's header states it."""
        card = self.path / "README.md"
        lines = card.read_text(encoding="utf-8", errors="replace").splitlines() if card.exists() else []
        stated = (line.partition(":")[2].strip() for line in lines[:200] if line.startswith("license:"))
        return next(stated, "") or "not stated"


def cached_snapshot(name: str) -> Snapshot | None:
    """What earlier downloads left in the hub's local cache, if it is complete; asks no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(name, allow_patterns=_WANTED, local_files_only=True))  # nosec B615
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return _complete(name, path)


def download_snapshot(name: str) -> Snapshot:
    """Downloads a model, after one short question to the hub, so that a closed network costs two seconds.

    Raises:
        DataError: why it cannot be had: offline by HF_HUB_OFFLINE, no answer, unknown name, no safetensors.
    """
    import httpx
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if constants.HF_HUB_OFFLINE:
        raise DataError("the hub: HF_HUB_OFFLINE is set, and the model is not in the cache")
    if (status := _status(f"{constants.ENDPOINT}/{name}/resolve/main/{CONFIG}")) is None:
        raise TryAgain(f"the hub: {constants.ENDPOINT} does not answer")
    if status >= 400:
        raise DataError(f"the hub: {constants.ENDPOINT} answers {status} for {name}")
    try:
        path = Path(snapshot_download(name, allow_patterns=_WANTED))  # nosec B615 - its commit is recorded
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        raise TryAgain(f"the hub: downloading {name} failed: {error}") from error
    if (snapshot := _complete(name, path)) is None:
        raise DataError(f"the hub: {name} has no {CONFIG} or no {WEIGHTS}; pickled weights are not loaded")
    return snapshot


def repository(
    name: str,
    files: Sequence[str],
    *,
    alternatives: Sequence[str] = (),
    also: Sequence[str] = (),
    dataset: bool = False,
) -> Path:
    """Folder of a repository's files, named by their revision: from the local cache, else downloaded.

    Args:
        files: patterns, each of which must match a file.
        alternatives: patterns, one of which must.
        also: patterns of what is taken along where it is there.

    Raises:
        DataError: why it cannot be had.
    """
    import httpx
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = [*files, *alternatives, *also]
    wanted: dict[str, Any] = {"repo_type": "dataset" if dataset else "model", "allow_patterns": patterns}
    try:
        cached = Path(snapshot_download(name, local_files_only=True, **wanted))  # nosec B615 - its commit is recorded
        if not _lacking(cached, files, alternatives):
            return cached
    except (LocalEntryNotFoundError, HFValidationError):
        pass
    if constants.HF_HUB_OFFLINE:
        raise DataError(f"the hub: HF_HUB_OFFLINE is set, and {name} is not in the cache")
    if _status(constants.ENDPOINT) is None:
        raise DataError(f"the hub: {constants.ENDPOINT} does not answer")
    try:
        path = Path(snapshot_download(name, **wanted))  # nosec B615 - its commit is recorded
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        raise DataError(f"the hub: downloading {name} failed: {error}") from error
    if lacking := _lacking(path, files, alternatives):
        raise DataError(f"the hub: {name} has no {', no '.join(lacking)}")
    return path


def _lacking(folder: Path, files: Sequence[str], alternatives: Sequence[str]) -> list[str]:
    lacking = [pattern for pattern in files if not any(folder.glob(pattern))]
    if alternatives and not any(path for pattern in alternatives for path in folder.glob(pattern)):
        lacking.append(" or ".join(alternatives))
    return lacking


def hub_answers() -> bool:
    """Whether the hub can be reached from here; takes a second or two where it cannot."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and _status(constants.ENDPOINT) is not None


def _complete(name: str, path: Path) -> Snapshot | None:
    """The snapshot, unless a download was cut off: every shard that the index names must be there."""
    try:
        open_tensors(path)
    except DataError:
        return None
    return Snapshot(name, path.name, path) if (path / CONFIG).exists() else None


def _status(url: str) -> int | None:
    """HTTP status of a HEAD request, or None without an answer in time; name resolution cannot hold it up longer."""
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
