"""Rejects synthetic clips that do not say their label, by comparison with the other takes of the same text.

A recogniser mishears a rare word in every take alike, so rare words cost no clips, while a clip that differs from the
other takes is wrong. Thresholds were set on real Piper clips, see docs/gate.md.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from asr_tv.config.run import GateConfig
from asr_tv.scoring.wer import count_characters
from asr_tv.synthesis.gate.tempo import MAX_CER, ClipMeasure, expected_seconds

NO_SPEECH = "no speech in it"
CLIPPED = "clipped"
TOO_SHORT = "too short for its words"
TOO_LONG = "too long for its words"
OTHER_WORDS = "other words than its text"

_TIE = 0.15
"""A smaller difference in CER does not tell which of two takes is wrong."""
_HEARD_AS = 0.35
"""A clip counts as another text if its CER against that is at most this, and its own CER exceeds that by as much."""
_SHORTEST_HEARD = 4
"""Letters; in shorter texts a judge may hear "four" for "fourth"."""
_CANDIDATES = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one clip.

    Attributes:
        reasons: why it is rejected; empty if it is kept.
        doubtful: kept only because there is no other take to compare it with.
        cer: of the judge; `excess` is its difference from the median of the other takes, None without other takes.
        tempo: ratio of its seconds of speech to the expected ones for its text and voice.
    """

    id: str
    reasons: tuple[str, ...]
    doubtful: bool
    cer: float
    excess: float | None
    tempo: float

    @property
    def kept(self) -> bool:
        return not self.reasons


@dataclass(frozen=True)
class _Case:
    """A clip with derived values; `tempo` is the natural logarithm."""

    clip: ClipMeasure
    cer: float
    tempo: float


def judge_clips(clips: Sequence[ClipMeasure], config: GateConfig) -> tuple[Verdict, ...]:
    """One verdict per clip, in the given order. Judging kept clips again keeps those whose other takes were kept."""
    expected = expected_seconds(clips)
    cases = {c.id: _Case(c, c.cer, log(max(c.speech_seconds, 1e-3) / expected[c.id])) for c in clips}
    takes: dict[str, list[_Case]] = {}
    for case in cases.values():
        takes.setdefault(case.clip.sentence, []).append(case)
    texts = _Texts({case.clip.reference for case in cases.values()})
    return tuple(_verdict(cases[c.id], takes[c.sentence], texts, config) for c in clips)


def _verdict(case: _Case, takes: Sequence[_Case], texts: "_Texts", config: GateConfig) -> Verdict:
    peers = [other for other in takes if other is not case and other.clip.speech_seconds > 0]
    reasons = [CLIPPED] if case.clip.clipped > config.clipped_share else []
    if case.clip.speech_seconds:
        reasons += _length(case, peers, config) + _words(case, peers, texts, config)
    else:
        reasons = [NO_SPEECH, *reasons]
    excess = case.cer - _typical((p.cer for p in peers), case.cer) if peers else None
    doubtful = not reasons and not peers and case.cer > config.cer_excess
    return Verdict(case.clip.id, tuple(reasons), doubtful, case.cer, excess, exp(case.tempo))


def _length(case: _Case, peers: Sequence[_Case], config: GateConfig) -> list[str]:
    if peers:
        speech = case.tempo - _typical((p.tempo for p in peers), case.tempo)
        whole = log(case.clip.seconds / _typical((p.clip.seconds for p in peers), case.clip.seconds))
        apart = max(speech, whole, key=abs)
        wrong = abs(apart) > log(config.tempo_ratio) and _guilty(case, peers)
    else:
        # Without another take, an odd duration counts only if the judge also heard something else.
        wrong = abs(case.tempo) > log(config.lone_tempo_ratio) and case.cer > _TIE
        apart = case.tempo
    return [TOO_LONG if apart > 0 else TOO_SHORT] if wrong else []


def _typical(values: Iterable[float], own: float) -> float:
    """The median; for an even number of values, the middle one closer to `own`.

    A clip that agrees with half of the other takes is not an outlier: with one bad take of three, the good ones stay.
    """
    ranked = sorted(values)
    middle = ranked[(len(ranked) - 1) // 2 : len(ranked) // 2 + 1]
    return min(middle, key=lambda value: abs(value - own))


def _guilty(case: _Case, peers: Sequence[_Case]) -> bool:
    """Whether this take, and not the other, is wrong: by CER, or else by its deviation from the expected duration."""
    if len(peers) > 1:
        return True  # it differs from more than half of the takes
    (other,) = peers
    if abs(case.cer - other.cer) > _TIE:
        return case.cer > other.cer
    return abs(case.tempo) >= abs(other.tempo)


def _words(case: _Case, peers: Sequence[_Case], texts: "_Texts", config: GateConfig) -> list[str]:
    """Checks for a CER far above that of the other takes, and for another text, which all takes may say by mistake."""
    letters = max(len(case.clip.reference), 1)
    if peers:
        # One misheard sound is a large share of a short text.
        allowed = config.cer_excess + config.cer_excess_letters / letters
        if case.cer - _typical((p.cer for p in peers), case.cer) > allowed:
            return [OTHER_WORDS]
    return [OTHER_WORDS] if texts.heard_another(case) else []


class _Texts:
    def __init__(self, references: Iterable[str]) -> None:
        self._by_word: dict[str, set[str]] = {}
        for reference in references:
            for word in reference.split():
                self._by_word.setdefault(word, set()).add(reference)

    def heard_another(self, case: _Case) -> bool:
        """Whether the hypothesis matches another text and clearly not the clip's own."""
        heard = case.clip.hypothesis
        if case.cer < 2 * _HEARD_AS or len(heard) < _SHORTEST_HEARD:
            return False
        nearest = min((count_characters(text, heard).rate for text in self._like(heard)), default=MAX_CER)
        return nearest <= _HEARD_AS and case.cer - nearest >= _HEARD_AS

    def _like(self, heard: str) -> list[str]:
        shared = Counter(text for word in set(heard.split()) for text in self._by_word.get(word, ()))
        likely = sorted(shared, key=lambda text: (-shared[text] / (1 + abs(len(text) - len(heard))), text))
        return [text for text in likely[:_CANDIDATES] if len(text) >= _SHORTEST_HEARD]


def choose_clips(
    verdicts: Mapping[str, Verdict], sentences: Mapping[str, str], planned: frozenset[str], order: Sequence[str]
) -> tuple[str, ...]:
    """The clips to train on: the planned clips that are kept, and kept retakes in place of the others, in order.

    No sentence gets more clips than were planned.
    """
    missing = Counter(sentences[clip] for clip in planned if not verdicts[clip].kept)
    chosen = []
    for clip in order:
        if not verdicts[clip].kept or (clip not in planned and not missing[sentences[clip]]):
            continue
        if clip not in planned:
            missing[sentences[clip]] -= 1
        chosen.append(clip)
    return tuple(chosen)
