"""A language model's answers in a file of JSON lines; what the file has is not asked for again."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError
from asr_tv.progress import Progress
from asr_tv.store.results import canonical_json, write_atomically
from asr_tv.text.writing.prompt import Writer

TARGET = "target"
Asked = Mapping[str, Any]
"""A row of the file but for its answer: with equal rows the answer is the same."""


def answered(
    rows: Sequence[Asked], prompts: Sequence[str], writer: Writer, out: Path, progress: Progress
) -> list[dict[str, Any]]:
    """The rows with the model's name and its answers, as they are then in the file, in their order.

    Each answer is in the file as soon as it is given.

    Raises:
        DataError: the file is there and holds something else; or as the writer does.
    """
    named = [{**row, "model": writer.name} for row in rows]
    known = _known(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with progress("ask", len(named), "questions") as advance:
        for row, prompt in zip(named, prompts, strict=True):
            if canonical_json(row) not in known:
                known[canonical_json(row)] = text = writer.answer(prompt, seed=0).strip()
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({**row, TARGET: text}, ensure_ascii=False) + "\n")
            advance()
    finished = [{**row, TARGET: known[canonical_json(row)]} for row in named]
    write_atomically(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in finished))
    return finished


def _known(out: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    problems = []
    lines = read_text(out).split("\n") if out.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line.strip() else None
            if row is not None:
                found[canonical_json({key: value for key, value in row.items() if key != TARGET})] = str(row[TARGET])
        except (ValueError, KeyError, AttributeError, TypeError):
            if number < len(lines):  # the last line of a killed call is a part of one
                problems.append(f"{out}:{number}: not an answer of this program; name another file with --out")
    if problems:
        raise DataError(problems)
    return found
