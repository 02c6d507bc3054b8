"""Instruction-style tasks: what is read, what is refused, and what chance gets."""

import json

import pytest

from asr_tv.errors import DataError
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.questions.tasks import normalise, parse_tasks, score_tasks

HOW = Bootstrap(200, 0.95, 1)
ROW = {"task": "noise", "instruction": "Is it noisy?", "audio": "a.wav", "label": "yes", "options": ["Yes.", "no"]}


def lines(*rows: object) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def test_scores_with_chance_and_unanswered() -> None:
    rows = [ROW | {"id": str(n), "audio": f"{n}.wav"} for n in range(4)]
    rows.append(ROW | {"id": "s", "task": "speed", "options": ["slow", "fast", "medium"], "label": "slow"})
    answers = {"0": "yes", "1": " YES! ", "2": "no", "3": "I cannot tell", "s": "slow"}
    noise, speed = score_tasks(parse_tasks(lines(*rows), "t"), answers, HOW)
    assert (noise.items, noise.accuracy, noise.chance, noise.unanswered) == (4, 0.5, 0.5, 0.25)
    assert noise.ci_low is not None
    assert (speed.accuracy, speed.ci_low) == (1, None)
    assert speed.chance == pytest.approx(1 / 3)


def test_every_bad_line_is_told() -> None:
    text = lines(
        {k: v for k, v in ROW.items() if k != "label"},
        ROW | {"label": "maybe"},
        ROW | {"options": ["yes"]},
        ROW | {"options": ["yes", "Yes!"]},
        ROW | {"id": "x"},
        ROW | {"id": "x"},
    )
    with pytest.raises(DataError) as found:
        parse_tasks(text + "\n[]\nnot JSON\n", "tasks.jsonl")
    told = [problem.partition(" ")[0] for problem in found.value.problems]
    assert told == [f"tasks.jsonl:{n}:" for n in (1, 2, 3, 4, 6, 7, 8)]
    with pytest.raises(DataError, match="no task"):
        parse_tasks("\n", "tasks.jsonl")


def test_normalisation() -> None:
    assert normalise("  It's\tNOISY_here! ") == "it s noisy here"
