"""Prompts for a language model, and the sentences in its answers."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from asr_tv.text.writing.terms import Term

TERMS_PER_REQUEST = 8
SENTENCES_PER_TERM = 3
_MAX_EXAMPLES = 12


class Writer(Protocol):
    """A language model; its name is part of the keys of its answers."""

    @property
    def name(self) -> str: ...
    def answer(self, prompt: str, seed: int) -> str: ...


def prompts(domain: str, language: str, sentences: Sequence[str], terms: Sequence[Term]) -> Iterator[str]:
    """One prompt per `TERMS_PER_REQUEST` terms, with the domain's name and its sentences as examples."""
    examples = "\n".join(sentences[:_MAX_EXAMPLES])
    for start in range(0, len(terms), TERMS_PER_REQUEST):
        batch = [term.text for term in terms[start : start + TERMS_PER_REQUEST]]
        yield (
            f"Domain: {domain}. Language: {language}.\n"
            f"People say sentences like these:\n{examples}\n\n"
            f"Write {SENTENCES_PER_TERM * len(batch)} different sentences that people would say aloud in this domain. "
            f"Use each of these terms in {SENTENCES_PER_TERM} of them, exactly as written: {'; '.join(batch)}.\n"
            "3 to 25 words each, numbers spelled out, one sentence a line, nothing else."
        )


def sentences_in(answer: str) -> list[str]:
    """The sentences of an answer: its lines except blank ones, code fences and introductions."""
    lines = (line.strip() for line in answer.split("\n"))
    return [line for line in lines if line and not line.startswith("```") and not line.endswith(":")]
