"""The score of one checkpoint on one manifest, the conditions it was obtained under, and comparisons of two."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Unpack

from asr_tv.decoding.biasing.bias import OPTIONS
from asr_tv.errors import DataError
from asr_tv.scoring.bootstrap import BootstrapOptions, Difference, Interval, interval, paired_difference
from asr_tv.scoring.wer import ErrorCounts

Scalar = str | int | float | bool | None

AUDIO_CONTEXT = "audio_context"
DECODED_AS = (AUDIO_CONTEXT, *OPTIONS, "adaptation")
"""Decoding options that two compared evaluations may differ in: how a checkpoint was tuned, and what steers it."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a score depends on besides the recordings.

    Attributes:
        checkpoint: digest of the weights; None where it is not known.
        manifest: digest of the references.
        decoding: options of the decoder, sorted by name: audio_context, max_new_tokens, beams, precision, engine...
    """

    checkpoint: str | None
    manifest: str
    decoding: tuple[tuple[str, Scalar], ...]
    normalizer: str
    normalizer_version: str

    def differences(self, other: "Conditions") -> dict[str, tuple[Scalar, Scalar]]:
        """Each condition that differs, with both values; an option that one side lacks is None there."""
        left, right = self._flat(), other._flat()
        pairs = {name: (left.get(name), right.get(name)) for name in sorted({*left, *right})}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def _flat(self) -> dict[str, Scalar]:
        fields = asdict(self)
        return dict(fields.pop("decoding")) | fields


def decoding_pairs(options: Mapping[str, Scalar]) -> tuple[tuple[str, Scalar], ...]:
    """Decoding options as `Conditions` holds them."""
    return tuple(sorted(options.items()))


@dataclass(frozen=True, slots=True)
class UtteranceScore:
    """One utterance's errors.

    Attributes:
        sentence: the normalised reference; utterances that share it are one cluster of the bootstrap.
        reference: as in the manifest.
        hypothesis: as the decoder wrote it.
        heard: the normalised hypothesis.
        raw_word_counts: word errors without normalisation.
    """

    id: str
    domain: str
    sentence: str
    reference: str
    hypothesis: str
    word_counts: ErrorCounts
    character_counts: ErrorCounts
    heard: str
    raw_word_counts: ErrorCounts
    speaker: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """All utterances of one manifest, sorted by id, scored under the same conditions; counts are sums over them."""

    utterances: tuple[UtteranceScore, ...]
    conditions: Conditions

    @cached_property
    def word_counts(self) -> ErrorCounts:
        return sum((u.word_counts for u in self.utterances), ErrorCounts())

    @cached_property
    def character_counts(self) -> ErrorCounts:
        return sum((u.character_counts for u in self.utterances), ErrorCounts())

    @cached_property
    def raw_word_counts(self) -> ErrorCounts:
        return sum((u.raw_word_counts for u in self.utterances), ErrorCounts())

    @property
    def wer(self) -> float:
        return self.word_counts.rate

    @property
    def cer(self) -> float:
        return self.character_counts.rate

    @property
    def sentences(self) -> int:
        """Distinct normalised references."""
        return len({u.sentence for u in self.utterances})

    def interval(self, **options: Unpack[BootstrapOptions]) -> Interval:
        """The bootstrap interval of the pooled WER."""
        return interval(*_columns(self), **options)


def compare(
    a: Evaluation, b: Evaluation, *, may_differ: Collection[str] = DECODED_AS, **options: Unpack[BootstrapOptions]
) -> Difference:
    """WER of a minus WER of b on the same utterances; the two may differ in their checkpoints and in `may_differ`.

    Raises:
        DataError: conditions that differ and must not, with both values, or different utterances or references.
    """
    require_comparable(a, b, may_differ)
    errors_a, words, clusters = _columns(a)
    errors_b, _, _ = _columns(b)
    return paired_difference(errors_a, errors_b, words, clusters, **options)


def require_comparable(a: Evaluation, b: Evaluation, may_differ: Collection[str] = DECODED_AS) -> None:
    """Refuses two evaluations whose difference is not due to the checkpoints alone.

    Raises:
        DataError: as `compare`.
    """
    problems = [
        f"evaluations differ in {name}: {left!r} and {right!r}"
        for name, (left, right) in a.conditions.differences(b.conditions).items()
        if name not in {*may_differ, "checkpoint"}
    ]
    own, other = ({u.id: u.sentence for u in evaluation.utterances} for evaluation in (a, b))
    if ids := sorted(i for i in {*own, *other} if own.get(i) != other.get(i)):
        problems.append(f"evaluations differ in {len(ids)} utterances: {', '.join(map(repr, ids[:3]))}")
    if problems:
        raise DataError(problems)


def _columns(evaluation: Evaluation) -> tuple[list[int], list[int], list[str]]:
    rows = sorted(evaluation.utterances, key=lambda u: u.id)
    return [u.word_counts.errors for u in rows], [u.word_counts.words for u in rows], [u.sentence for u in rows]
