"""The yield of a quality gate: per voice, per reason, and for texts with and without rare words."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from asr_tv.data.manifest import Utterance
from asr_tv.synthesis.gate.consensus import Verdict
from asr_tv.text.rare_words import Known, rare_words

Judged = tuple[Utterance, Verdict, bool]
"""A clip, its verdict, and whether it was planned rather than a retake."""


def clip_yield(clips: Sequence[Judged], engine: str, known: Known) -> dict[str, Any]:
    """Counts and rates over all judged clips, retakes included, as JSON values; a text with an unknown word is rare."""
    voices = sorted({u.speaker or "" for u, _, _ in clips})
    rare = {u.text: bool(rare_words(u.text, known)) for u, _, _ in clips}
    return {
        "engine": engine,
        "judged": len(clips),
        "retakes": sum(not planned for _, _, planned in clips),
        "all": _rate(clips),
        "voices": {voice: _rate(c for c in clips if (c[0].speaker or "") == voice) for voice in voices},
        "rare": _rate(c for c in clips if rare[c[0].text]),
        "common": _rate(c for c in clips if not rare[c[0].text]),
        "doubtful": sum(v.doubtful for _, v, _ in clips),
        "reasons": dict(sorted(Counter(reason for _, v, _ in clips for reason in v.reasons).items())),
    }


def _rate(clips: Iterable[Judged]) -> dict[str, Any]:
    kept = [v.kept for _, v, _ in clips]
    return {"clips": len(kept), "kept": sum(kept), "rate": round(sum(kept) / len(kept), 4) if kept else None}
