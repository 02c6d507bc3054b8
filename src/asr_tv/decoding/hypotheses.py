"""Hypotheses as files: JSON lines of id and text, one file per scaling coefficient of a sweep."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr_tv.data.manifest import parse_rows, refuse_control_tokens
from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError
from asr_tv.store.results import write_atomically


def read_hypotheses(path: Path) -> dict[str, str]:
    """Id -> text from JSON lines with `id` and `text`; other keys are ignored, empty lines too.

    Raises:
        DataError: the file cannot be read; or every line that is not a hypothesis or repeats an id.
    """
    found: dict[str, str] = {}

    def add(row: Any, _: int) -> None:
        name, text = _parse_row(row)
        if name in found:
            raise ValueError(f"duplicate id {name!r}")
        found[name] = text

    _, problems = parse_rows(read_text(path), str(path), add)
    if problems:
        raise DataError(problems)
    return found


def _parse_row(row: Any) -> tuple[str, str]:
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}")
    for key in ("id", "text"):
        if not isinstance(row.get(key), str):
            raise ValueError(f"{key} is {'not text' if key in row else 'missing'}")
        row[key].encode()  # a lone surrogate, possible in JSON, raises a ValueError here and not when written
    return row["id"], row["text"]


def refuse_commands(texts: Mapping[str, str], source: str) -> None:
    """Refuses another program's hypotheses that hold the model's control tokens, which would count as words.

    Raises:
        DataError: every text with one, by its id.
    """
    problems = []
    for name, text in texts.items():
        try:
            refuse_control_tokens(text)
        except ValueError as error:
            problems.append(f"{source}: {name}: {error}")
    if problems:
        raise DataError(problems)


def hypotheses_file(scaling_coef: float | None = None) -> str:
    """Name of the payload file of one scaling coefficient, or of the checkpoint itself."""
    return "hyp.jsonl" if scaling_coef is None else f"hyp_{scaling_coef:g}.jsonl"


def score_folder(scaling_coef: float | None = None) -> str:
    """Name of the payload folder of one scaling coefficient, or of the checkpoint itself."""
    return hypotheses_file(scaling_coef).removesuffix(".jsonl")


def write_hypotheses(path: Path, texts: Mapping[str, str]) -> None:
    """Writes texts by id as `read_hypotheses` reads them."""
    rows = (json.dumps({"id": name, "text": text}, ensure_ascii=False) for name, text in texts.items())
    write_atomically(path, "".join(row + "\n" for row in rows))
