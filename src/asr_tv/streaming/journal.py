"""The journal of a stream: a line a turn, on the disk before the agent learns, so that a killed stream goes on."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError
from asr_tv.store.durable import append_durably, write_atomically
from asr_tv.streaming.turns import Answer, Corrected, Feedback, Judged, Nothing


@dataclass(frozen=True)
class Turn:
    """One line: what was answered, what it counted, and what the agent was told.

    Attributes:
        id: of the utterance; agents do not see it.
        errors, words: of the normalised answer.
        seconds: of computing; not part of the digest.
    """

    number: int
    id: str
    answer: Answer
    errors: int
    words: int
    feedback: Feedback
    seconds: float = field(default=0.0, compare=False)


def format_turn(turn: Turn) -> str:
    """The turn as a line of JSON with its end; `parse_turn` is its inverse."""
    row = _row(turn) | {"seconds": round(turn.seconds, 4)}
    return json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n"


def _row(turn: Turn) -> dict[str, Any]:
    return {
        "number": turn.number,
        "id": turn.id,
        "text": turn.answer.text,
        "notes": dict(turn.answer.notes),
        "errors": turn.errors,
        "words": turn.words,
        "feedback": _told(turn.feedback),
    }


def _told(feedback: Feedback) -> Mapping[str, Any] | None:
    if isinstance(feedback, Nothing):
        return None
    return {"right": feedback.right} | ({"text": feedback.text} if isinstance(feedback, Corrected) else {})


def parse_turn(line: str) -> Turn:
    """A turn from its line.

    Raises:
        ValueError: the line is torn, or holds something else.
    """
    row = json.loads(line)
    try:
        told = row["feedback"]
        feedback: Feedback = Nothing()
        if told is not None:
            feedback = Corrected(told["text"], told["right"]) if "text" in told else Judged(told["right"])
        answer = Answer(row["text"], row["notes"])
        return Turn(row["number"], row["id"], answer, row["errors"], row["words"], feedback, row["seconds"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a turn: {error!r}") from error


def read_turns(path: Path) -> list[Turn]:
    """The turns of a finished journal.

    Raises:
        DataError: a line that is no turn.
    """
    try:
        return [parse_turn(line) for line in read_text(path).splitlines()]
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def recovered(path: Path) -> list[Turn]:
    """The whole turns of a journal that may have been cut, which is mended; none where there is no file."""
    if not path.exists():
        return []
    turns: list[Turn] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            turns.append(parse_turn(line))
        except ValueError:
            break
    write_atomically(path, "".join(map(format_turn, turns)))
    return turns


def append(path: Path, turn: Turn) -> None:
    """Adds a line and waits until it is on the disk."""
    append_durably(path, format_turn(turn).encode())


def digest(turns: Iterable[Turn]) -> str:
    """sha256 over everything but the seconds."""
    lines = (json.dumps(_row(turn), ensure_ascii=False, sort_keys=True) for turn in turns)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
