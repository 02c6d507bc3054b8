"""The stage that makes recordings without speech: whatever a model hears in them, it invents."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from asr_tv.audio.recordings import Wave, write_audio
from asr_tv.data.corpora.local import write_manifest
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.store.payload import MANIFEST
from asr_tv.store.results import Identity, Produced, Record, file_digest
from asr_tv.store.runtime import Runtime

STAGE, VERSION = "noise", 2
SAMPLING_RATE = 16_000
CLIP_SECONDS = 5.0
LEVELS = {"silence": None, "faint noise": -50.0, "loud noise": -20.0, "music": -20.0}
"""Domain -> level in dB below full scale: of white noise, and of chords."""
_CHORD_SECONDS, _OVERTONES = 0.5, 6


def noise_stage(runtime: Runtime, seconds: float, seed: int) -> Record:
    """manifest.jsonl with clips of 5 s, at least `seconds` of each domain, with empty references."""

    def produce(scratch: Path) -> Produced:
        rows = []
        with runtime.progress("noise", len(LEVELS), "kinds") as advance:
            for domain, level in LEVELS.items():
                for number in range(max(1, round(seconds / CLIP_SECONDS))):
                    name = f"{domain.replace(' ', '-')}-{number}"
                    path = scratch / "audio" / f"{name}.flac"
                    write_audio(path, _clip(domain, level, (seed, len(domain), number)), SAMPLING_RATE)
                    row = Utterance(name, "", audio=str(path), domain=domain, split="test", duration=CLIP_SECONDS)
                    rows.append(replace(row, audio_digest=file_digest(path)))
                advance()
        write_manifest(Manifest("noise", tuple(rows)), scratch / MANIFEST)
        return Produced((), {"name": "noise", "utterances": len(rows)})

    return runtime.store.build(Identity(STAGE, VERSION, {"seconds": seconds}, {}, seed), produce)


def _clip(domain: str, level: float | None, seed: tuple[int, ...]) -> Wave:
    samples = round(CLIP_SECONDS * SAMPLING_RATE)
    if level is None:
        return np.zeros(samples, np.float32)
    rng = np.random.default_rng(seed)
    wave = _chords(samples, rng) if domain == "music" else rng.standard_normal(samples, dtype=np.float32)
    wave *= np.float32(10 ** (level / 20))
    return wave.clip(-1, 1)


def _chords(samples: int, rng: np.random.Generator) -> Wave:
    """Plucked major triads on random roots between A2 and A4, with overtones; its RMS is 1."""
    time = np.arange(round(_CHORD_SECONDS * SAMPLING_RATE)) / SAMPLING_RATE
    chords = []
    for root in rng.integers(0, 25, size=-(-samples // len(time))):
        notes = 110 * 2 ** ((root + np.array([0, 4, 7])) / 12)
        partials = notes[:, None] * np.arange(1, _OVERTONES + 1)
        waves = np.sin(2 * np.pi * partials[..., None] * time) / np.arange(1, _OVERTONES + 1)[:, None]
        chords.append(waves.sum(axis=(0, 1)) * np.exp(-4 * time))
    played = np.concatenate(chords)[:samples].astype(np.float32)
    wave: Wave = played / np.sqrt(np.mean(played**2))
    return wave
