"""What steers a decoder besides the recording, as a value that enters keys and the conditions of scores."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from asr_tv.decoding.biasing.phrases import Phrase
from asr_tv.store.records import Record, canonical_json

SAFE_BOOST, SAFE_ALPHA = 1.0, 0.1
"""Strengths that cost little where they do not help, for use without recordings to choose on."""
OPTIONS: Final = ("prompt", "prompts", "terms", "boost", "ngram", "alpha", "beta", "internal_lm", "gamma")
"""Names of a bias's options, by which two systems of one table may differ."""


@dataclass(frozen=True)
class Bias:
    """A prompt, phrases, an n-gram; each absent by default.

    Attributes:
        prompt: for every recording.
        prompts: instead, (id, prompt) for each recording of a manifest.
        boost: the weight of phrases.
        ngram: a record that holds `NGRAM`; alpha is its weight, beta the score of every text token.
        internal_lm: a record that holds `INTERNAL`; gamma is the weight with which the recogniser's own language model
            is subtracted.
    """

    prompt: str = ""
    prompts: tuple[tuple[str, str], ...] = ()
    phrases: tuple[Phrase, ...] = ()
    boost: float = SAFE_BOOST
    ngram: Record | None = None
    alpha: float = SAFE_ALPHA
    beta: float = 0.0
    internal_lm: Record | None = None
    gamma: float = 0.0

    def __post_init__(self) -> None:
        if self.prompt and self.prompts:
            raise ValueError("one prompt for all recordings, or one for each")
        if not self.ngram and (self.beta or self.internal_lm):
            raise ValueError("beta and the internal language model go with an n-gram")

    @property
    def options(self) -> Mapping[str, str | float]:
        """As in a key and in a score's conditions: what is used, long things by their digest."""
        rows: dict[str, str | float] = {}
        if self.prompt:
            rows["prompt"] = _digest(self.prompt)
        if self.prompts:
            rows["prompts"] = _digest(self.prompts)
        if self.phrases:
            rows |= {"terms": _digest([asdict(phrase) for phrase in self.phrases]), "boost": self.boost}
        if self.ngram:
            rows |= {"ngram": self.ngram.digest, "alpha": self.alpha, "beta": self.beta}
        if self.internal_lm:
            rows |= {"internal_lm": self.internal_lm.digest, "gamma": self.gamma}
        return rows


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
