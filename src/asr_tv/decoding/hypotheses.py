"""Hypotheses as files: JSON lines of id and text, one file a coefficient of a sweep."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_tv.data.manifest import parse_json
from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError
from asr_tv.store.results import write_atomically


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a decoder heard in one utterance; empty text when it heard nothing."""

    id: str
    text: str


def read_hypotheses(path: Path) -> dict[str, str]:
    """Id -> text from JSON lines with `id` and `text`; other keys are left to the decoder that wrote them.

    Raises:
        DataError: the file cannot be read, or every line that is no hypothesis or repeats an id.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            hypothesis = _hypothesis(parse_json(line))
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
            continue
        if hypothesis.id in found:
            problems.append(f"{path}:{number}: duplicate id {hypothesis.id!r}")
        found[hypothesis.id] = hypothesis.text
    if problems:
        raise DataError(problems)
    return found


def _hypothesis(row: Any) -> Hypothesis:
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}")
    for key in ("id", "text"):
        if not isinstance(row.get(key), str):
            raise ValueError(f"{key} is {'not text' if key in row else 'missing'}")
        row[key].encode()  # a lone surrogate, which JSON can smuggle in, is a ValueError here and not at the writing
    return Hypothesis(row["id"], row["text"])


def hypotheses_file(scaling_coef: float | None = None) -> str:
    """Name of the payload file: of the checkpoint itself, or of the checkpoint plus so much of the vector."""
    return "hyp.jsonl" if scaling_coef is None else f"hyp_{scaling_coef:g}.jsonl"


def _write(path: Path, texts: Mapping[str, str]) -> None:
    rows = (json.dumps({"id": name, "text": text}, ensure_ascii=False) for name, text in texts.items())
    write_atomically(path, "".join(row + "\n" for row in rows))
