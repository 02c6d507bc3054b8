"""What a quality gate let through: per voice, per reason, and for rare words against common ones."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asr_tv.consensus import Verdict
from asr_tv.manifest import Utterance
from asr_tv.rarity import Known, rare_words

Judged = tuple[Utterance, Verdict, bool]
"""A clip, its verdict, and whether it was planned (and not a retake)."""

YIELD_HEADER = ("clips", "voice", "kept", "all voices", "rare words", "common words", "retakes", "lost texts", "why")
YIELD_NOTE = (
    "Clips kept of clips judged, retakes included. Rare: a word of the text is not one token of Whisper's vocabulary."
)


def clip_yield(clips: Sequence[Judged], engine: str, known: Known) -> dict[str, Any]:
    """JSON-able counts and rates over all clips that were judged, retakes included.

    Args:
        known: whether the recogniser has a word in its vocabulary; a text with one that it has not is rare.
    """
    rare = {u.text: bool(rare_words(u.text, known)) for u, _, _ in clips}
    return {
        "engine": engine,
        "judged": len(clips),
        "retakes": sum(not planned for _, _, planned in clips),
        "all": _rate(clips),
        "voices": {voice: _rate(c for c in clips if (c[0].speaker or "") == voice) for voice in _voices(clips)},
        "rare": _rate(c for c in clips if rare[c[0].text]),
        "common": _rate(c for c in clips if not rare[c[0].text]),
        "doubtful": sum(v.doubtful for _, v, _ in clips),
        "reasons": dict(sorted(Counter(reason for _, v, _ in clips for reason in v.reasons).items())),
    }


def _voices(clips: Iterable[Judged]) -> list[str]:
    return sorted({u.speaker or "" for u, _, _ in clips})


def _rate(clips: Iterable[Judged]) -> dict[str, Any]:
    kept = [v.kept for _, v, _ in clips]
    return {"clips": len(kept), "kept": sum(kept), "rate": round(sum(kept) / len(kept), 4) if kept else None}


def yield_rows(gates: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row a set of clips and voice, with `YIELD_HEADER` as its columns.

    Args:
        gates: set of clips -> what `clip_yield` counted, and `lost_texts`.
    """
    return [
        (
            what,
            # Where several engines speak, each voice has its engine's name before it.
            voice if "+" in gate["engine"] else f"{gate['engine']} {voice}",
            _share(counts),
            _share(gate["all"]),
            _share(gate["rare"]),
            _share(gate["common"]),
            str(gate["retakes"]),
            str(len(gate["lost_texts"])),
            ", ".join(f"{reason}: {count}" for reason, count in gate["reasons"].items()) or "-",
        )
        for what, gate in gates.items()
        for voice, counts in gate["voices"].items()
    ]


def _share(counts: Mapping[str, Any]) -> str:
    return "-" if counts["rate"] is None else f"{counts['kept']} of {counts['clips']} ({100 * counts['rate']:.1f} %)"
