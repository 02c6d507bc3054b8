"""Pairs of a recording and a clip of the same sentence: what source_real and source_synthetic are trained on."""

from collections.abc import Callable
from dataclasses import replace

from asr_tv.data.manifest import Manifest, Utterance


def paired(real: Manifest, clips: Manifest, normalize: Callable[[str], str]) -> tuple[Manifest, Manifest]:
    """The recordings whose sentence has a clip, and as many clips, one per recording.

    A sentence recorded several times has its clip as often, under the recordings' ids, so that the two trainings
    differ in real and synthetic speech but not in sentences or in the number of updates. A recording whose sentence
    has no clip is in neither; the synthesis record lists it.
    """
    by_sentence: dict[tuple[str, str], Utterance] = {}
    for clip in clips:
        by_sentence.setdefault((clip.domain, normalize(clip.text)), clip)
    kept, matched = [], []
    for recording in real:
        if (found := by_sentence.get((recording.domain, normalize(recording.text)))) is not None:
            kept.append(recording)
            matched.append(replace(found, id=f"{recording.id}~{found.id}"))
    return Manifest(real.name, tuple(kept)), Manifest(f"{real.name} clips", tuple(matched))
