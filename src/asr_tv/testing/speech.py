"""A fake speech engine: each letter is a tone, so that clips differ as their texts do."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import SynthesisConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.synthesis import engines as tts
from asr_tv.synthesis.engines import SpeechRequest, VoiceInfo

_SAMPLING_RATE = 16_000


@dataclass(frozen=True)
class FakeSynthesizer:
    """Tone bursts, equal for equal requests; for `synthesize(..., synthesizer=...)`, in no registry.

    Attributes:
        labels: of its voices, each a little higher than the previous one.
        delay: seconds that a clip takes.
        failing, mute, crashing: texts that contain this raise an error, become an empty wave, or end the process.
        memory: clips per call beyond which memory runs out.
    """

    labels: tuple[str, ...] = ("tone",)
    version: str = "1"
    delay: float = 0.0
    failing: str | None = None
    mute: str | None = None
    batch_size: int = 1
    crashing: str | None = None
    memory: int | None = None
    language: str | None = None

    name = "fake"

    @property
    def voices(self) -> tuple[VoiceInfo, ...]:
        return tuple(VoiceInfo(label, f"fake {self.version}", _SAMPLING_RATE, self.language) for label in self.labels)

    def settings(self, seed: int) -> Mapping[str, float]:
        return {"length_scale": round(float(np.random.default_rng(seed).uniform(0.8, 1.2)), 4)}

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        if self.memory is not None and len(requests) > self.memory:
            raise MemoryError(f"no room for {len(requests)}")
        return [self._clip(request) for request in requests]

    def _clip(self, request: SpeechRequest) -> Wave:
        time.sleep(self.delay)
        if self.crashing is not None and self.crashing in request.text:
            os._exit(1)
        if self.failing is not None and self.failing in request.text:
            raise RuntimeError(f"cannot say {self.failing!r}")
        if self.mute is not None and self.mute in request.text:
            return np.zeros(0, np.float32)
        rise = 1 + 0.1 * self.labels.index(request.voice)
        samples = round(0.03 * _SAMPLING_RATE * request.settings["length_scale"])
        wave = np.concatenate([_burst(character, samples, rise) for character in request.text])
        noise = np.random.default_rng(request.seed).standard_normal(len(wave), dtype=np.float32)
        spoken: Wave = wave + np.float32(0.01) * noise
        return spoken


def _burst(character: str, samples: int, rise: float) -> Wave:
    if not character.isalnum():
        return np.zeros(samples, np.float32)
    frequency = (200 + 37 * (ord(character) % 64)) * rise
    phase = 2 * np.pi * frequency / _SAMPLING_RATE * np.arange(samples)
    burst: Wave = (0.3 * np.sin(phase) * np.hanning(samples)).astype(np.float32)
    return burst


class EnergyDetector:
    """Finds tones as a speech detector finds speech: one span of whatever is louder than a hundredth of the peak."""

    version = "energy"

    def spans(self, wave: Wave) -> tuple[tuple[float, float], ...]:
        loud = np.flatnonzero(np.abs(wave) > max(0.01 * float(np.abs(wave).max(initial=0)), 1e-3))
        return ((loud[0] / _SAMPLING_RATE, (loud[-1] + 1) / _SAMPLING_RATE),) if loud.size else ()


def dummy_texts(count: int, domain: str = "default", first: int = 0) -> Manifest:
    """`count` different short sentences of one domain, origin "text"; sentence n is the same in every call."""
    verbs, things = ("call", "open", "send", "cancel", "read"), ("the account", "a message", "my order", "the meeting")

    def utterance(n: int) -> Utterance:
        text = f"Please {verbs[n % 5]} {things[n // 5 % 4]} number {n}."
        return Utterance(f"{domain}-{n:04d}", text, domain=domain, origin="text")

    return Manifest("dummy", tuple(map(utterance, range(first, first + count))))


def open_fake(config: SynthesisConfig) -> FakeSynthesizer:
    """Opens the engine for the registry, in which `use_fake_engine` puts it."""
    return FakeSynthesizer(labels=config.voices)


def use_fake_engine() -> None:
    """Makes `synthesis.engine: fake` a choice in this process."""
    tts.ENGINES["fake"] = tts.SpeechEngine(__name__, open_fake.__name__)
