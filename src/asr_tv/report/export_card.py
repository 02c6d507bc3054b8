"""The model card of an export: how to load it, how it was checked, and what its 30 s of context cost."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from asr_tv.report.systems import ADAPTED, ADAPTED_SHORT, rate_name
from asr_tv.safe_text import counted, inert, yaml_scalar

_LIBRARY = {"hf": "transformers", "ctranslate2": "ctranslate2", "openai": "openai-whisper"}
_USE = {
    "hf": """from transformers import pipeline

asr = pipeline("automatic-speech-recognition", model="FOLDER")
print(asr("audio.wav", generate_kwargs={{{language}"num_beams": 1}})["text"])""",
    "ctranslate2": """import numpy as np
from faster_whisper import WhisperModel, decode_audio

model = WhisperModel("FOLDER", compute_type="{compute_type}")
audio = decode_audio("audio.wav")
audio = np.pad(audio, (0, max(0, 30 * 16000 - len(audio))))  # see below
pieces, _ = model.transcribe(audio, language="{code}", beam_size=1, without_timestamps=True)
print("".join(piece.text for piece in pieces))""",
    "openai": """import whisper

model = whisper.load_model("FOLDER/model.pt")
audio = whisper.load_audio("audio.wav")
audio = whisper.pad_or_trim(audio, max(len(audio), 30 * 16000))  # see below
print(model.transcribe(audio, language="{code}", without_timestamps=True)["text"])""",
}


@dataclass(frozen=True)
class Check:
    """An exported model, loaded by its own runtime, against the checkpoint it came from, on the same recordings.

    Attributes:
        wer_before: of the checkpoint, decoded by asr-tv in fp32 and 30 s; a fraction, as is `wer_after`.
        same_words: clips in which both heard the same after normalisation.
        words_changed: WER of the exported model against what the checkpoint heard; None where the export rounds the
            weights, which may change a word.
        rates: what the rates are, by the normaliser: WER or CER.
    """

    runtime: str
    recordings: str
    clips: int
    words: int
    wer_before: float
    wer_after: float
    same_words: int
    max_wer_change: float
    words_changed: float | None = None
    rates: str = "WER"

    @property
    def passed(self) -> bool:
        """Whether the WER and, of weights that are not rounded, the words are those of the checkpoint."""
        return self.wer_is_kept and (self.words_changed or 0.0) <= self.max_wer_change + 1e-12

    @property
    def wer_is_kept(self) -> bool:
        """Equal rates are kept whatever they are; infinite ones, without a word to hear, are equal or not."""
        if self.wer_before == self.wer_after:
            return True
        change = abs(self.wer_after - self.wer_before)
        return isfinite(change) and change <= self.max_wer_change + 1e-12


def plain_card(name: str, licence: str, language: str) -> str:
    """The card of a checkpoint that no run of asr-tv made."""
    return f"""---
language: {yaml_scalar(language)}
library_name: transformers
pipeline_tag: automatic-speech-recognition
---
# {inert(name)}

- Licence of the weights: {inert(licence)}.
"""


def export_card(
    card: str,
    form: str,
    precision: str,
    *,
    language: str,
    multilingual: bool,
    check: Check | None,
    report: Mapping[str, Any] | None = None,
) -> str:
    """A model's own card with the sections of one export behind it; `report` is of the run that made the model."""
    language = re.sub(r"[^A-Za-z-]", "", language)  # it stands in a program that people copy
    told = f'"language": "{language}", "task": "transcribe", ' if multilingual else ""
    code = _USE[form].format(code=language, language=told, compute_type="int8" if precision == "int8" else "auto")
    card = re.sub(r"^library_name: .*$", f"library_name: {_LIBRARY[form]}", card, count=1, flags=re.MULTILINE)
    parts = [card.rstrip("\n"), f"## This export: {form}, {precision}", f"```python\n{code}\n```"]
    parts += [
        "Decode without timestamps: the training labels had none, so what the model says of times means nothing. "
        "For subtitles, cut at silences and decode the pieces (`asr-tv transcribe --format srt` does)."
    ]
    if form != "hf":
        parts += [
            "Pad short recordings with silence to 30 s, as above: left to itself this runtime pads their features with "
            "zeros, which no silence has, and hears other words than the model that was scored."
        ]
    parts += [context] if (context := _short_context(report)) else []
    return "\n\n".join([*parts, _checked(check)]) + "\n"


def _short_context(report: Mapping[str, Any] | None) -> str:
    """How the model does in 30 s, as runtimes decode, and in a shorter context, if the run measured both."""
    rows = [row for row in (report or {}).get("systems", ()) if row["wer"] is not None]
    by_set = {(row["name"], row["role"]): row for row in rows}
    sentences = []
    for role in ("target", "source", "general"):
        full, short = by_set.get((ADAPTED, role)), by_set.get((ADAPTED_SHORT, role))
        if short and full:
            sentences.append(
                f"{role}: {full['wer']:.1%} {rate_name([full])} in 30 s, {short['wer']:.1%} in the shorter one"
            )
    if not sentences:
        return ""
    return (
        "The model was tuned in a shorter audio context; this runtime pads every recording to 30 s, where the run's "
        f"scores were measured ({'; '.join(sentences)})."
    )


def _checked(check: Check | None) -> str:
    if check is None:
        return "This export was not re-scored."
    return (
        f"Loaded again with {check.runtime} and re-scored on {counted(check.clips, 'clip')} "
        f"of {inert(check.recordings)} ({counted(check.words, 'word')}), greedy, 30 s: "
        f"{check.rates} {check.wer_after:.2%}, {check.wer_before:.2%} before the export "
        f"(bound on the change: {check.max_wer_change:.2%}); "
        f"the same words on {check.same_words} of {check.clips}."
    )
