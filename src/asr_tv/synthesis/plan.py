"""Plans which clips to speak: every text in its voices and takes, drawn by seed before anything is spoken."""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from asr_tv.config.run import SynthesisConfig
from asr_tv.data.manifest import Manifest, Utterance, checked
from asr_tv.store.results import canonical_json
from asr_tv.synthesis.clips import SHAPING, ClipJob, clip_key, key_parts
from asr_tv.synthesis.draw import draw_voices
from asr_tv.synthesis.engines import SpeechRequest, Synthesizer
from asr_tv.synthesis.voices import Engines, Speaker, speakers_of
from asr_tv.text.spoken_form import other_script, spoken_form, unspoken


@dataclass(frozen=True)
class PlannedClip:
    """One clip: its id in the manifest, the utterance whose text it speaks, the speaker's label, and the job."""

    id: str
    text: Utterance
    speaker: str
    job: ClipJob


@dataclass(frozen=True)
class Drop:
    """Clips of one text that are not made, and why; `id` is that of the text."""

    id: str
    reason: str
    clips: tuple[str, ...]


@dataclass(frozen=True)
class SpeechPlan:
    """The clips to speak, in the order of the texts, and those dropped."""

    clips: tuple[PlannedClip, ...]
    drops: tuple[Drop, ...]
    rewritten: bool
    """Whether the text front end changed or refused a text, so that its version enters the key."""

    @property
    def jobs(self) -> tuple[ClipJob, ...]:
        """One job per distinct clip: two domains may share a sentence."""
        return tuple({clip.job.key: clip.job for clip in self.clips}.values())

    @property
    def rows(self) -> str:
        """JSON lines, one per clip; `written` is the label, if the spoken words differ from it."""
        return "".join(json.dumps(_row(clip), ensure_ascii=False, sort_keys=True) + "\n" for clip in self.clips)


def plan_speech(
    texts: Manifest, engines: Engines, config: SynthesisConfig, seed: int, first_take: int = 0
) -> SpeechPlan:
    """Every text in each of its voices and takes; a function of the arguments alone.

    Raises:
        DataError: two clips have the same id.
    """
    clips: list[PlannedClip] = []
    drops: list[Drop] = []
    takes, refused = range(first_take, first_take + config.takes), 0
    available, shaping = speakers_of(engines), config.model_dump(include=set(SHAPING), exclude_defaults=True)
    for text in texts:
        drawn = draw_voices(available, text.text, config.voices_per_text, takes, seed)
        if reason := _refusal(text.text, config.max_words):
            drops.append(_drop(text, reason, drawn))
            continue
        for speaker, own in drawn:
            if reason := _script_refusal(text.text, speaker, config) or _symbol_refusal(text.text, speaker, config):
                drops.append(_drop(text, reason, [(speaker, own)]))
                refused += 1
                continue
            clips += [_plan(text, speaker, take, engines[speaker.engine], config, seed, shaping) for take in own]
    # Ids can only collide if one contains a voice's label; better to report that than to lose a clip.
    checked(Manifest("clips to speak", tuple(replace(clip.text, id=clip.id) for clip in clips)))
    rewritten = refused > 0 or any(clip.job.request.text != clip.text.text for clip in clips)
    return SpeechPlan(tuple(clips), tuple(drops), rewritten)


def clip_id(text: str, voice: str, take: int) -> str:
    """The clip's id, percent-encoded so that it is a valid file name and unambiguous."""
    return f"{quote(text, safe='')}_{quote(voice, safe='')}_t{take}"


def _drop(text: Utterance, reason: str, drawn: Iterable[tuple[Speaker, tuple[int, ...]]]) -> Drop:
    return Drop(text.id, reason, tuple(clip_id(text.id, s.label, take) for s, takes in drawn for take in takes))


def _refusal(text: str, max_words: int) -> str | None:
    if not any(unicodedata.category(character)[0] in "LN" for character in text):
        return "no letter or digit to speak"
    words = len(text.split())
    return f"{words} words; synthesis.max_words is {max_words}" if words > max_words else None


def _script_refusal(text: str, speaker: Speaker, config: SynthesisConfig) -> str | None:
    language = speaker.voice.language or config.language
    script = other_script(text, language)
    return f"holds {script} words, and the voice {speaker.label} speaks {language}" if script else None


def _symbol_refusal(text: str, speaker: Speaker, config: SynthesisConfig) -> str | None:
    """Why a text cannot be said as it is labelled: signs that no rule says, or an engine's own marks for phonemes."""
    if "[[" in text:
        return "holds [[, which engines take for phonemes"
    language = speaker.voice.language or config.language or ""
    if not config.spoken_form or not language.lower().startswith("en"):
        return None
    left = unspoken(spoken_form(text, language, reads_numbers=speaker.voice.reads_numbers))
    return f"cannot be said: {left}" if left else None


def _plan(
    text: Utterance,
    speaker: Speaker,
    take: int,
    engine: Synthesizer,
    config: SynthesisConfig,
    seed: int,
    shaping: Mapping[str, Any],
) -> PlannedClip:
    voice, words = speaker.voice, text.text
    if config.spoken_form:
        words = spoken_form(words, voice.language or config.language, reads_numbers=voice.reads_numbers)
    drawn = int.from_bytes(_digest([seed, words, voice.label, take])[:8], "big")
    request = SpeechRequest(words, voice.label, take, drawn, engine.settings(drawn))
    parts = key_parts(request, speaker.engine, voice.version, seed, shaping)
    job = ClipJob(clip_key(parts), parts, request, voice.sampling_rate)
    return PlannedClip(clip_id(text.id, speaker.label, take), text, speaker.label, job)


def _digest(parts: Any) -> bytes:
    return hashlib.sha256(canonical_json(parts).encode()).digest()


def _row(clip: PlannedClip) -> Mapping[str, Any]:
    request = clip.job.request
    row = {"id": clip.id, "text_id": clip.text.id, "text": request.text, "voice": clip.speaker, "take": request.take}
    written = {"written": clip.text.text} if clip.text.text != request.text else {}
    return {**row, **written, "seed": request.seed, "settings": dict(request.settings), "clip": clip.job.key}
