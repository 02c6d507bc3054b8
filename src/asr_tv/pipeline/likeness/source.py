"""The report's part on how the synthetic clips of the source sentences differ from their recordings."""

from collections.abc import Sequence
from typing import Any

from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest
from asr_tv.data.pairs import paired
from asr_tv.describing.description import Description
from asr_tv.describing.stage import sampled
from asr_tv.pipeline.execution.executor import Executor
from asr_tv.pipeline.graph import Chosen
from asr_tv.pipeline.likeness.gaps import gap_part, gaps_between, suggestions
from asr_tv.pipeline.likeness.match import described
from asr_tv.pipeline.material import bootstrap_of, sentence_identity


def source_gap(chosen: Chosen, execute: Executor) -> dict[str, Any]:
    """The report's `source_gap`; nothing for a run without source speech, or whose configuration asks for none."""
    config, real = chosen.config, chosen.material.source_train
    most = config.source_gap.clips
    if not most or not len(real):
        return {}
    normalize = sentence_identity(config.language)
    spoken = stored_manifest(chosen.speech.used[1])
    recordings, clips = paired(sampled(real, most), spoken, normalize)
    first, second = described(config, recordings, _once(clips), execute)
    gaps = gaps_between(first, second, normalize, bootstrap_of(config))
    part = gap_part(gaps, suggestions(gaps, first, voice_pitches(spoken, second)))
    return {"source_gap": {**part, "matched": config.synthesis.match is not None}}


def _once(clips: Manifest) -> Manifest:
    """Each clip once: of a sentence that is recorded twice there is one."""
    first = {u.audio_digest or u.id: u for u in reversed(clips.utterances)}
    return Manifest(clips.name, tuple(first.values()))


def voice_pitches(clips: Manifest, descriptions: Sequence[Description]) -> dict[str, float]:
    """Voice -> median pitch in Hz of its clips."""
    speakers = {u.id: u.speaker or "" for u in clips}
    found: dict[str, list[float]] = {}
    for one in descriptions:
        if one.attributes.f0_hz is not None:
            found.setdefault(speakers.get(one.id.rpartition("~")[2], ""), []).append(one.attributes.f0_hz)
    return {voice: sorted(values)[len(values) // 2] for voice, values in found.items() if voice}
