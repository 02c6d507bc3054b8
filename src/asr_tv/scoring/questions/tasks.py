"""Instruction-style tasks in the form of Dynamic-SUPERB (arXiv 2309.09510): exact matches, with the level of chance.

A scorer of your own questions; its numbers are none of that benchmark's.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asr_tv.data.manifest import parse_rows
from asr_tv.errors import DataError
from asr_tv.scoring.bootstrap import Bootstrap, ResampledSums

_NOT_WORDS = re.compile(r"[^\w\s]|_")


@dataclass(frozen=True, slots=True)
class TaskItem:
    """A question about a recording with the options to choose from, one of which is the label."""

    id: str
    task: str
    instruction: str
    audio: str
    label: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class TaskScore:
    """One task's answers.

    Attributes:
        accuracy: share of exact matches after normalisation, an unanswered question being wrong; its interval by
            drawing recordings.
        chance: what answers drawn from the options would get.
        unanswered: share of answers that are none of the options.
    """

    task: str
    items: int
    accuracy: float
    ci_low: float | None
    ci_high: float | None
    chance: float
    unanswered: float

    @property
    def row(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def parse_tasks(text: str, name: str) -> tuple[TaskItem, ...]:
    """Items from JSON lines of task, instruction, audio, label, options, and an id where there is one.

    Raises:
        DataError: every line that is no item, whose label is none of its options, or whose id another has.
    """
    ids: set[str] = set()

    def new(row: Any, number: int) -> TaskItem:
        item = _item(row, f"line-{number}")
        if item.id in ids:
            raise ValueError(f"duplicate id {item.id!r}")
        ids.add(item.id)
        return item

    items, problems = parse_rows(text, name, new)
    if problems or not items:
        raise DataError(problems or [f"{name}: no task"])
    return tuple(items)


def _item(row: Any, default_id: str) -> TaskItem:
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}")
    for key in ("task", "instruction", "audio", "label"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise ValueError(f"{key} is {'not text' if key in row else 'missing'}")
    options = row.get("options")
    if not isinstance(options, list) or len(options) < 2 or not all(isinstance(o, str) for o in options):
        raise ValueError("options: needs a list of two texts or more")
    normalised = [normalise(option) for option in options]
    if len(set(normalised)) < len(normalised) or "" in normalised:
        raise ValueError("options: two are the same, or one is empty, after normalisation")
    if normalise(row["label"]) not in normalised:
        raise ValueError(f"label {row['label']!r} is none of the options")
    values = (row["task"], row["instruction"], row["audio"], row["label"])
    return TaskItem(str(row.get("id", default_id)), *values, tuple(options))


def normalise(text: str) -> str:
    """Lower case, without punctuation, white space as single spaces."""
    return " ".join(_NOT_WORDS.sub(" ", text.casefold()).split())


def score_tasks(items: Sequence[TaskItem], answers: Mapping[str, str], bootstrap: Bootstrap) -> tuple[TaskScore, ...]:
    """A score for each task, in alphabetical order; `answers` by the items' ids."""
    return tuple(
        _score(task, [item for item in items if item.task == task], answers, bootstrap)
        for task in sorted({item.task for item in items})
    )


def _score(task: str, items: Sequence[TaskItem], answers: Mapping[str, str], bootstrap: Bootstrap) -> TaskScore:
    given = [normalise(answers[item.id]) for item in items]
    right = [answer == normalise(item.label) for item, answer in zip(items, given, strict=True)]
    lacking = sum(a not in map(normalise, item.options) for item, a in zip(items, given, strict=True))
    sums = ResampledSums([i.audio for i in items], {"right": right, "asked": [1] * len(items)}, bootstrap)
    low, high = sums.interval("right", "asked").ends
    return TaskScore(
        task=task,
        items=len(items),
        accuracy=sum(right) / len(items),
        ci_low=low,
        ci_high=high,
        chance=sum(1 / len(item.options) for item in items) / len(items),
        unanswered=lacking / len(items),
    )
