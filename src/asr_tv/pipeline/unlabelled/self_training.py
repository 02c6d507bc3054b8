"""Tunes a model on recordings without labels, by what it hears in them (after STAR, arXiv 2405.14161).

Pseudo2Real, arXiv 2510.08047, adds coef x (tuned on true labels - tuned on own labels) of labelled source speech.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from asr_tv.config.run import TrainingConfig
from asr_tv.config.section import Family
from asr_tv.data.manifest import Manifest
from asr_tv.data.recorded import read_wave
from asr_tv.data.text_files import read_text
from asr_tv.decoding.biasing.search import Search
from asr_tv.decoding.options import most_tokens
from asr_tv.decoding.test_time.ctc import AdaptableCtc
from asr_tv.decoding.whisper_torch import TorchDecoder
from asr_tv.devices import choose_device
from asr_tv.errors import DataError
from asr_tv.models.audio_context import FULL_SECONDS, SAMPLING_RATE, log_mel, refuse_longer
from asr_tv.models.family import family_of
from asr_tv.models.whisper import load_tokenizer, prompt_ids, whisper_config
from asr_tv.scoring.loops import looped
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Identity, Produced, Record, write_atomically
from asr_tv.store.runtime import Runtime
from asr_tv.training.data import TrainingData
from asr_tv.training.finetune import finetune
from asr_tv.vectors.stages import adapt_stage, vector_stage

STAGE, VERSION = "self labels", 1
LABELS = "labels.jsonl"
KEPT = 0.8
_MOST_NEW = 200


@dataclass(frozen=True, slots=True)
class SelfLabel:
    """What a model heard in a recording: ln P of each token and of the end; of a CTC model, of each frame's best."""

    id: str
    text: str
    log_p: tuple[float, ...]

    @property
    def mean(self) -> float:
        """How sure the model is, as mean ln P; minus infinity of nothing."""
        return sum(self.log_p) / len(self.log_p) if self.log_p else -math.inf

    @property
    def weights(self) -> tuple[float, ...]:
        """P of each token over their mean."""
        p = [math.exp(value) for value in self.log_p]
        mean = sum(p) / len(p)
        return tuple(round(value / mean, 6) for value in p)


def self_labels(runtime: Runtime, base: Record, manifest: Manifest, language: str) -> Record:
    """The stage: a `SelfLabel` a line in `LABELS`, in 30 s as other programs decode.

    Raises:
        DataError: an utterance without a recording, or over 30 s of a Whisper.
    """
    family = family_of(base.path / MODEL)
    if family == "whisper":
        refuse_longer(manifest, FULL_SECONDS, "cut it before")

    def produce(scratch: Path) -> Produced:
        device = choose_device(runtime.device)
        hear = (
            _CtcLabels(base.path / MODEL, device)
            if family == "ctc"
            else _WhisperLabels(base.path / MODEL, language, device)
        )
        lines = []
        with runtime.progress(runtime.label or STAGE, len(manifest), "utterances") as advance:
            for utterance in manifest:
                text, log_p = hear(read_wave(utterance))
                lines.append(json.dumps({"id": utterance.id, "text": text, "log_p": log_p}, ensure_ascii=False))
                advance(1)
        write_atomically(scratch / LABELS, "".join(line + "\n" for line in lines))
        return Produced((manifest.ref(),), {"utterances": len(manifest)})

    inputs = {"checkpoint": base.digest, "manifest": manifest.digest}
    return runtime.store.build(Identity(STAGE, VERSION, {"language": language}, inputs), produce)


class _WhisperLabels:
    """A Whisper's greedy text and the ln P of its label's tokens, which need not be those it was heard in."""

    def __init__(self, directory: Path, language: str, device: torch.device) -> None:
        config, self._tokenizer = whisper_config(directory), load_tokenizer(directory)
        prompt = prompt_ids(self._tokenizer, language)
        self._decoder = TorchDecoder(directory, prompt, None, device, Search(), bf16=False)
        self._mels, self._end, self._device = config.num_mel_bins, config.eos_token_id, device
        self._room = min(_MOST_NEW, config.max_target_positions - len(prompt) - 1)

    def __call__(self, wave: Any) -> tuple[str, list[float]]:
        state = self._decoder.states(log_mel([wave], FULL_SECONDS, self._mels, self._device))
        (row,) = self._decoder.tokens_of(state, most_tokens(len(wave) / SAMPLING_RATE, self._room))
        text = str(self._tokenizer.decode(row, skip_special_tokens=True)).strip()
        tokens = [*self._tokenizer.encode(f" {text}", add_special_tokens=False), self._end]
        return text, [round(value, 5) for value in self._decoder.log_probabilities(state, tokens)]


class _CtcLabels:
    """A CTC model's greedy text and the ln P of each frame's best class."""

    def __init__(self, directory: Path, device: torch.device) -> None:
        self._model = AdaptableCtc(directory, device)

    def __call__(self, wave: Any) -> tuple[str, list[float]]:
        with torch.inference_mode():
            logits = self._model.logits(wave)
        best = torch.log_softmax(logits, -1).amax(-1) if len(logits) else logits[:, 0]
        return self._model.text(logits) if len(logits) else "", [round(float(value), 5) for value in best]


def read_labels(record: Record) -> list[SelfLabel]:
    """The labels of a finished stage."""
    rows = (json.loads(line) for line in read_text(record.path / LABELS).splitlines())
    return [SelfLabel(row["id"], row["text"], tuple(row["log_p"])) for row in rows]


@dataclass(frozen=True)
class Kept:
    """The labels that are trained on, and how many were left out by reason."""

    labels: tuple[SelfLabel, ...]
    dropped: Mapping[str, int]


def kept_labels(labels: list[SelfLabel], share: float) -> Kept:
    """The surest `share` of those with a word that do not loop; equally sure ones by id.

    Raises:
        DataError: none is left.
    """
    spoken = [label for label in labels if any(c.isalnum() for c in label.text)]
    sound = [label for label in spoken if not looped(label.text)]
    sure = sorted(sound, key=lambda label: (-label.mean, label.id))[: math.ceil(share * len(sound))]
    if not sure:
        raise DataError("no recording in which the model hears a word without looping: nothing to train on")
    counts = {"nothing heard": len(labels) - len(spoken), "loops": len(spoken) - len(sound)}
    return Kept(tuple(sure), counts | {"least sure": len(sound) - len(sure)})


@dataclass(frozen=True)
class SelfTraining:
    """How a model is tuned on its own labels.

    Attributes:
        share: of the usable labels that is kept.
        weighted: whether tokens count by their probability; for a Whisper.
    """

    training: TrainingConfig
    seed: int
    language: str
    share: float = KEPT
    weighted: bool = True


def tuned_on_own(runtime: Runtime, base: Record, recordings: Manifest, how: SelfTraining) -> tuple[Record, Kept]:
    """The model tuned on what it hears in recordings itself, and what was kept of that."""
    family: Family = family_of(base.path / MODEL)
    kept = kept_labels(read_labels(self_labels(runtime, base, recordings, how.language)), how.share)
    texts = {label.id: label.text for label in kept.labels}
    clips = tuple(replace(u, text=texts[u.id]) for u in recordings if u.id in texts)
    weighted = how.weighted and family == "whisper"
    weights = tuple(sorted((label.id, label.weights) for label in kept.labels)) if weighted else ()
    data = TrainingData(Manifest(f"{recordings.name}, own labels", clips), weights=weights)
    return finetune(runtime, base, data, how.training, seed=how.seed, language=how.language), kept


def corrected(
    runtime: Runtime, base: Record, tuned: Record, source: Manifest, coef: float, how: SelfTraining
) -> Record:
    """Tuned + coef x (tuned on the source's true labels - tuned on its own labels of the same recordings)."""
    pseudo, kept = tuned_on_own(runtime, base, source, how)
    names = {label.id for label in kept.labels}
    same = source.where(f"{source.name}, true labels", lambda u: u.id in names)
    true = finetune(runtime, base, TrainingData(same), how.training, seed=how.seed, language=how.language)
    vector = vector_stage(runtime, true, pseudo)
    return adapt_stage(runtime, tuned, vector, base, coef, 0.0)
