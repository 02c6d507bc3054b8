"""`current` in a run's folder: a link to the last model that was not worse than the one before it."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_tv.errors import DataError
from asr_tv.models.output import new_file, new_folder
from asr_tv.report.systems import ADAPTED, rate_name
from asr_tv.store.results import canonical_json, file_digest, file_lock

CURRENT, VERSIONS = "current", "versions"
REPORT, MODEL, VECTOR = "report.json", "model", "vector.safetensors"
KEPT = 3
"""The weights of so many versions stay, `current` among them, for who wants the one before back; reports all stay."""


@dataclass(frozen=True)
class Promotion:
    """What became of a run's model.

    Attributes:
        version: folder of the run's files, which later runs leave alone.
        promoted: `current` is this model.
        changed: and was another one before.
    """

    version: Path
    promoted: bool
    changed: bool
    reason: str


def promote(folder: Path, report: Mapping[str, Any], broken: str | None = None) -> Promotion:
    """Makes the model in a run's folder the current one, unless its WER is worse by more than the interval.

    Args:
        broken: a bound that the run broke, if any, for which it is refused.

    Raises:
        DataError: `current` is not a link that this function made.
    """
    with file_lock(folder / ".lock"):
        current, version = folder / CURRENT, folder / VERSIONS / _digest(folder / MODEL)
        if current.exists() and not current.is_symlink():
            raise DataError(f"{current}: is no link; move it away, this name is for the last good model")
        last = _report_in(current)
        is_current = last is not None and current.resolve().name == version.name
        _snapshot(folder, version)
        if is_current:
            return Promotion(version, True, False, "the model is the current one already")
        if (refusal := broken or judge(report, last)) is not None:
            return Promotion(version, False, False, refusal)
        with new_file(current) as link:
            link.unlink(missing_ok=True)
            link.symlink_to(Path(VERSIONS) / version.name, target_is_directory=True)
        _drop_old_weights(version)
        return Promotion(version, True, True, _praise(report, last))


def judge(new: Mapping[str, Any], last: Mapping[str, Any] | None) -> str | None:
    """Why a model must not replace the last one, or None.

    The adapted model's WER is compared where both reports have one: on the target, else on the sources, else on
    general speech. Worse means above the upper end of the last one's interval.
    """
    if leaks := new["ledger"]["target_recordings_read_before_scoring"]:
        return f"{len(leaks)} reads of target recordings before the final scoring: the score proves nothing"
    if last is None or (pair := _comparable(new, last)) is None:
        return None
    here, there = pair
    bound = there["wer"] if there["ci_high"] is None else there["ci_high"]
    if here["wer"] <= bound:
        return None
    other = "" if here["conditions"]["manifest"] == there["conditions"]["manifest"] else ", on other recordings"
    return (
        f"{_told(here)}, the current model's {100 * there['wer']:.1f} %{other}: "
        f"worse than the upper end of its interval, {100 * bound:.1f} %"
    )


def _comparable(new: Mapping[str, Any], last: Mapping[str, Any]) -> tuple[Any, Any] | None:
    mine, theirs = _adapted_rows(new), _adapted_rows(last)
    sets = [(role, domain) for role in ("target", "source", "general") for r, domain in mine if r == role]
    return next(((mine[key], theirs[key]) for key in sets if key in theirs), None)


def _adapted_rows(report: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    rows = (row for row in report["systems"] if row["name"] == ADAPTED and row["wer"] is not None)
    return {(row["role"], row["domain"]): row for row in rows}


def _praise(new: Mapping[str, Any], last: Mapping[str, Any] | None) -> str:
    if last is None:
        return "the first model"
    if (pair := _comparable(new, last)) is None:
        return "no error rate to compare with the last model's"
    here, there = pair
    return f"{_told(here)}, the last model's was {100 * there['wer']:.1f} %"


def _told(row: Mapping[str, Any]) -> str:
    return f"{rate_name([row])} on {row['domain']} is {100 * row['wer']:.1f} %"


def _digest(model: Path) -> str:
    weights = {path.name: file_digest(path) for path in sorted(model.glob("*.safetensors"))}
    return hashlib.sha256(canonical_json(weights).encode()).hexdigest()[:12]


def _report_in(folder: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content


def _snapshot(folder: Path, target: Path) -> None:
    """The run's files as a version; linked, since nothing ever writes into a finished file."""
    with new_folder(target) as version:
        for path in folder.iterdir():
            if path.name in (CURRENT, VERSIONS) or path.name.startswith("."):
                continue
            if path.is_dir():
                shutil.copytree(path, version / path.name, copy_function=_link)
            else:
                _link(path, version / path.name)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _drop_old_weights(current: Path) -> None:
    versions = [path for path in current.parent.iterdir() if path != current and (path / MODEL).is_dir()]
    for version in sorted(versions, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT - 1 :]:
        with contextlib.suppress(OSError):  # somebody may be reading it; it goes the next time
            shutil.rmtree(version / MODEL)
            (version / VECTOR).unlink(missing_ok=True)
