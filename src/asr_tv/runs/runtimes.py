"""The programs that people load exported models with, each as its own users do: greedy, without timestamps."""

from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.models.audio_context import FULL_SECONDS, SAMPLING_RATE
from asr_tv.models.formats import OPENAI_FILE, Format, Precision
from asr_tv.models.vocabulary import is_multilingual

_SAMPLES = round(FULL_SECONDS * SAMPLING_RATE)
_MAX_TOKENS = 224
"""What openai-whisper and CTranslate2 write at most; transformers is held to the same."""


class Program(Protocol):
    """One program with one exported model loaded into it, in fp32 unless the weights are less."""

    @property
    def name(self) -> str:
        """Package and version."""

    def text(self, wave: Wave) -> str:
        """What it hears in a recording of 16 kHz and at most 30 s."""


def open_runtime(form: Format, folder: Path, language: str, precision: Precision) -> Program:
    """Loads an exported folder with the program it was exported for, on the processor."""
    if form == "ctranslate2":
        return _FasterWhisper(folder, language, precision)
    return _Transformers(folder, language) if form == "hf" else _OpenAI(folder, language)


class _Transformers:
    def __init__(self, folder: Path, language: str) -> None:
        import torch
        from transformers import pipeline

        from asr_tv.models.whisper import one_at_a_time

        self.name = f"transformers {metadata.version('transformers')}"
        with one_at_a_time():
            self._pipeline: Any = pipeline(
                "automatic-speech-recognition", model=str(folder), device="cpu", dtype=torch.float32
            )
        self._options: dict[str, Any] = {"max_new_tokens": _MAX_TOKENS, "num_beams": 1, "do_sample": False}
        if is_multilingual(self._pipeline.tokenizer):
            self._options |= {"language": language, "task": "transcribe"}

    def text(self, wave: Wave) -> str:
        audio = {"raw": wave, "sampling_rate": SAMPLING_RATE}
        return str(self._pipeline(audio, generate_kwargs=dict(self._options))["text"])


class _FasterWhisper:
    def __init__(self, folder: Path, language: str, precision: Precision) -> None:
        import torch
        from faster_whisper import WhisperModel

        own, engine = metadata.version("faster-whisper"), metadata.version("ctranslate2")
        self.name = f"faster-whisper {own} (CTranslate2 {engine})"
        # CTranslate2 would compute fp16 in fp32 on a processor anyway; int8 stays int8.
        kind = "int8" if precision == "int8" else "float32"
        threads = torch.get_num_threads()
        self._model = WhisperModel(
            str(folder), device="cpu", compute_type=kind, cpu_threads=threads, local_files_only=True
        )
        self._language = language

    def text(self, wave: Wave) -> str:
        pieces, _ = self._model.transcribe(
            _padded(wave),
            language=self._language,
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
            compression_ratio_threshold=None,
            log_prob_threshold=None,
            no_speech_threshold=None,
        )
        return "".join(piece.text for piece in pieces)


class _OpenAI:
    def __init__(self, folder: Path, language: str) -> None:
        import whisper

        self.name = f"openai-whisper {metadata.version('openai-whisper')}"
        self._model = whisper.load_model(str(folder / OPENAI_FILE), device="cpu")
        self._language = language

    def text(self, wave: Wave) -> str:
        heard = self._model.transcribe(
            _padded(wave),
            language=self._language,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
            compression_ratio_threshold=None,
            logprob_threshold=None,
            no_speech_threshold=None,
            fp16=False,
        )
        return str(heard["text"])


def _padded(wave: Wave) -> Wave:
    """The recording with silence up to 30 s: given less, openai-whisper's `transcribe` and faster-whisper pad the
    features with zeros, which no silence has, and hear other words than transformers, which pads the recording.
    """
    return np.pad(wave, (0, max(0, _SAMPLES - len(wave))))
