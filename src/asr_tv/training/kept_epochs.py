"""Checkpoints of the finished epochs of an unfinished fine-tuning: complete or absent, and never resumed if damaged."""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from asr_tv.store.checks import damage
from asr_tv.store.results import file_digest, write_atomically

_log = logging.getLogger(__name__)

LOSSES = "losses.json"
_DIGESTS, _TEMPORARY = "digests.json", "epoch.tmp"


def keep_epoch(scratch: Path, losses: Sequence[float], write: Callable[[Path], None]) -> None:
    """Keeps the epoch whose loss is the last of `losses`, as `write` writes it into a folder; removes earlier ones.

    Atomic by a rename.
    """
    folder, temporary = scratch / f"epoch-{len(losses)}", scratch / _TEMPORARY
    shutil.rmtree(temporary, ignore_errors=True)
    write(temporary)
    write_atomically(temporary / LOSSES, json.dumps(list(losses)))
    digests = {p.relative_to(temporary).as_posix(): file_digest(p) for p in temporary.rglob("*") if p.is_file()}
    write_atomically(temporary / _DIGESTS, json.dumps(digests, sort_keys=True))
    temporary.rename(folder)
    for older in _epochs(scratch)[:-1]:
        shutil.rmtree(older)


def last_epoch(scratch: Path) -> tuple[Path, list[float]] | None:
    """Folder of the last undamaged epoch and the losses up to it; damaged epochs are removed."""
    for folder in reversed(_epochs(scratch)):
        if not (problems := _problems(folder)):
            return folder, read_losses(folder)
        _log.warning("%s is damaged (%s): training resumes before it", folder, ", ".join(problems[:3]))
        shutil.rmtree(folder)
    return None


def forget_epochs(scratch: Path) -> None:
    """Removes all kept epochs."""
    for folder in [*_epochs(scratch), scratch / _TEMPORARY]:
        shutil.rmtree(folder, ignore_errors=True)


def read_losses(folder: Path) -> list[float]:
    """The mean loss of each finished epoch, as written in a folder."""
    losses: list[float] = json.loads((folder / LOSSES).read_text(encoding="utf-8"))
    return losses


def _problems(folder: Path) -> list[str]:
    # Another OSError is raised: a file that cannot be read is not for that reason damaged.
    try:
        digests = json.loads((folder / _DIGESTS).read_text(encoding="utf-8"))
        return damage(folder, digests) if LOSSES in digests else [f"{_DIGESTS}: has no {LOSSES}"]
    except FileNotFoundError:
        return [f"{_DIGESTS}: missing"]
    except (ValueError, TypeError, AttributeError) as error:
        return [f"{_DIGESTS}: {error}"]


def _epochs(scratch: Path) -> list[Path]:
    return sorted(scratch.glob("epoch-*"), key=lambda folder: int(folder.name.partition("-")[2]))
