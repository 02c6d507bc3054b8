"""What a language model is asked for, and what is taken of its answer."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from asr_tv.text.writing.terms import Term

TERMS_A_REQUEST = 8
SENTENCES_A_TERM = 3
_MOST_EXAMPLES = 12


class Writer(Protocol):
    """A language model: its name enters the record, a prompt and a seed give an answer."""

    @property
    def name(self) -> str: ...
    def answer(self, prompt: str, seed: int) -> str: ...


def prompts(domain: str, language: str, sentences: Sequence[str], terms: Sequence[Term]) -> Iterator[str]:
    """A prompt for each few terms, with the domain's name and its sentences as examples."""
    examples = "\n".join(sentences[:_MOST_EXAMPLES])
    for start in range(0, len(terms), TERMS_A_REQUEST):
        batch = [term.text for term in terms[start : start + TERMS_A_REQUEST]]
        yield (
            f"Domain: {domain}. Language: {language}.\n"
            f"People say sentences like these:\n{examples}\n\n"
            f"Write {SENTENCES_A_TERM * len(batch)} different sentences that people would say aloud in this domain. "
            f"Use each of these terms in {SENTENCES_A_TERM} of them, exactly as written: {'; '.join(batch)}.\n"
            "3 to 25 words each, numbers spelled out, one sentence a line, nothing else."
        )


def lines_of(answer: str) -> list[str]:
    """The sentences of an answer: its lines that are neither blank nor a fence nor an announcement."""
    lines = (line.strip() for line in answer.split("\n"))
    return [line for line in lines if line and not line.startswith("```") and not line.endswith(":")]
