"""Finished epochs of a fine-tuning that is under way: whole or not there, and never gone on from where damaged."""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from asr_tv.store.checks import damage
from asr_tv.store.results import file_digest, write_atomically

_log = logging.getLogger(__name__)

LOSSES = "losses.json"
"""Mean loss of each epoch so far."""
_DIGESTS, _UNDER_WAY = "digests.json", "epoch.tmp"


def keep_epoch(scratch: Path, losses: Sequence[float], write: Callable[[Path], None]) -> None:
    """Keeps the epoch that `losses` ends with: state first, its name last, older epochs go after that.

    Args:
        write: puts model, optimiser and whatever else is gone on from into a folder.
    """
    folder, temporary = scratch / f"epoch-{len(losses)}", scratch / _UNDER_WAY
    shutil.rmtree(temporary, ignore_errors=True)
    write(temporary)
    write_atomically(temporary / LOSSES, json.dumps(list(losses)))
    digests = {p.relative_to(temporary).as_posix(): file_digest(p) for p in temporary.rglob("*") if p.is_file()}
    write_atomically(temporary / _DIGESTS, json.dumps(digests, sort_keys=True))
    temporary.rename(folder)
    for older in _epochs(scratch)[:-1]:
        shutil.rmtree(older)


def last_epoch(scratch: Path) -> tuple[Path, list[float]] | None:
    """The folder of the last kept epoch that is as it was written, and the losses up to it; others are removed."""
    for folder in reversed(_epochs(scratch)):
        if not (problems := _problems(folder)):
            return folder, read_losses(folder)
        _log.warning("%s is damaged (%s): training goes on before it", folder, ", ".join(problems[:3]))
        shutil.rmtree(folder)
    return None


def forget_epochs(scratch: Path) -> None:
    """Removes all of them: the tuned model has taken their place."""
    for folder in [*_epochs(scratch), scratch / _UNDER_WAY]:
        shutil.rmtree(folder, ignore_errors=True)


def read_losses(folder: Path) -> list[float]:
    """The losses that lie in a folder."""
    losses: list[float] = json.loads((folder / LOSSES).read_text(encoding="utf-8"))
    return losses


def _problems(folder: Path) -> list[str]:
    """What is wrong with a kept epoch, all of it read.

    Raises:
        OSError: it cannot be read, which says nothing of what it holds.
    """
    try:
        digests = json.loads((folder / _DIGESTS).read_text(encoding="utf-8"))
        return damage(folder, digests) if LOSSES in digests else [f"{_DIGESTS}: does not know {LOSSES}"]
    except FileNotFoundError:
        return [f"{_DIGESTS}: lost"]
    except (ValueError, TypeError, AttributeError) as error:
        return [f"{_DIGESTS}: {error}"]


def _epochs(scratch: Path) -> list[Path]:
    return sorted(scratch.glob("epoch-*"), key=_number)


def _number(folder: Path) -> int:
    return int(folder.name.partition("-")[2])
