"""Whether a tuned Whisper still writes as before: capital letters, punctuation, valid timestamps, no loops."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from asr_tv.scoring.evaluation import Evaluation
from asr_tv.scoring.loops import looped

_MARKS = frozenset(".,?!;:¿¡")
_MARK = re.compile(r"<\|(\d+\.\d\d)\|>")


@dataclass(frozen=True)
class Retention:
    """Shares of utterances; None where no reference qualifies.

    Casing: where the reference has a capital letter, the hypothesis has one; punctuation: the same of marks.
    """

    casing: float | None
    punctuation: float | None
    repetition: float


def retention(evaluation: Evaluation) -> Retention:
    """Measures retention on texts as written and decoded, without normalisation."""
    rows = evaluation.utterances
    cased = [_has_capital(u.hypothesis) for u in rows if _has_capital(u.reference)]
    marked = [_has_mark(u.hypothesis) for u in rows if _has_mark(u.reference)]
    return Retention(_share(cased), _share(marked), _share([looped(u.hypothesis) for u in rows]) or 0.0)


def words_per_minute(hypotheses: Sequence[str], seconds: float) -> float:
    """Words per minute hallucinated in `seconds` of recordings without speech."""
    return 60 * sum(len(text.split()) for text in hypotheses) / seconds


def timestamps_valid(text: str, seconds: float) -> bool:
    """Whether <|1.28|> marks open and close the text, ascend, and end at most a second after the recording."""
    marks = _MARK.findall(text)
    times = [float(mark) for mark in marks]
    bracketed = len(times) >= 2 and text.startswith(f"<|{marks[0]}|>") and text.endswith(f"<|{marks[-1]}|>")
    return bracketed and times == sorted(times) and times[-1] <= seconds + 1


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _has_capital(text: str) -> bool:
    return any(character.isupper() for character in text)


def _has_mark(text: str) -> bool:
    return any(character in _MARKS for character in text)
