"""The stage that transcribes a manifest with a checkpoint, or with each checkpoint of a sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from asr_tv.data.manifest import Manifest
from asr_tv.decoding.hypotheses import hypotheses_file, write_hypotheses
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.recogniser import load_recogniser
from asr_tv.decoding.test_time.transcribing import order_of, transcribe_adapting
from asr_tv.devices import choose_device
from asr_tv.models.audio_context import FULL_SECONDS, context_seconds, refuse_longer
from asr_tv.models.family import family_of
from asr_tv.models.tensors import open_tensors
from asr_tv.store.payload import MODEL, VECTOR
from asr_tv.store.results import Identity, Produced, Record
from asr_tv.store.runtime import Runtime
from asr_tv.vectors.task_vector import applied, interpolated

STAGE, VERSION = "transcribe", 1
_KEPT_SECONDS = 2 * 3600.0
"""A sweep keeps the features of at most this much audio, padded to its context: 230 MB with 80 mels."""


@dataclass(frozen=True)
class Sweep:
    """Scaling coefficients with which a task vector is added to the checkpoint; one transcription for each.

    The pretrained model is averaged into each sum with `pretrained_weight`, as in the adapted model. Without a vector
    the only coefficient is 0.
    """

    vector: Record | None
    scaling_coefs: tuple[float, ...]
    pretrained: Record
    pretrained_weight: float = 0.0

    @property
    def inputs(self) -> dict[str, str]:
        """Digests of what is added to the checkpoint."""
        vector = {"vector": self.vector.digest} if self.vector else {}
        return vector | ({"pretrained": self.pretrained.digest} if self.pretrained_weight else {})

    @property
    def parameters(self) -> dict[str, Any]:
        weight = {"pretrained_weight": self.pretrained_weight} if self.pretrained_weight else {}
        return {"scaling_coefs": list(self.scaling_coefs), **weight}


def transcribe(
    runtime: Runtime, checkpoint: Record, manifest: Manifest, decoding: Decoding, sweep: Sweep | None = None
) -> Record:
    """The stage: hypotheses of every utterance in `hyp.jsonl`, or in one file per coefficient of a sweep.

    Raises:
        DataError: an utterance without a recording, or one longer than the audio context; or too little memory.
    """
    family = family_of(checkpoint.path / MODEL)
    if family == "whisper":
        refuse_longer(manifest, context_seconds(decoding.audio_context, FULL_SECONDS), "cut it before transcribing")
    inputs = {"checkpoint": checkpoint.digest, "manifest": manifest.digest} | (sweep.inputs if sweep else {})
    parameters = decoding.options | (sweep.parameters if sweep else {})
    if decoding.adaptation is not None:
        inputs |= order_of(manifest, decoding.adaptation)

    def produce(scratch: Path) -> Produced:
        if decoding.adaptation is not None:
            with runtime.progress(runtime.label or STAGE, len(manifest), "utterances") as advance:
                model, device = checkpoint.path / MODEL, choose_device(runtime.device)
                told = transcribe_adapting(model, manifest, decoding.adaptation, device, scratch, advance)
            return Produced((manifest.ref(),), {"utterances": len(manifest), "cut_hypotheses": 0, **told})
        recogniser = load_recogniser(checkpoint.path / MODEL, family, decoding, choose_device(runtime.device), scratch)
        coefs: Sequence[float | None] = sweep.scaling_coefs if sweep else (None,)
        cut = 0
        padded = sum(context_seconds(decoding.audio_context, u.duration or FULL_SECONDS) for u in manifest)
        if len(coefs) > 1 and padded < _KEPT_SECONDS:
            recogniser.keep_features()
        with runtime.progress(runtime.label or STAGE, len(manifest) * len(coefs), "utterances") as advance:
            for coef in coefs:
                if sweep is not None and coef is not None:
                    recogniser.load(_add_vector(recogniser.own_state, sweep, coef))
                texts = recogniser.transcribe(manifest.utterances, runtime.batch_size, advance)
                cut += recogniser.cut
                write_hypotheses(scratch / hypotheses_file(coef), texts)
        return Produced((manifest.ref(),), {"utterances": len(manifest), "cut_hypotheses": cut})

    return runtime.store.build(Identity(STAGE, VERSION, parameters, inputs), produce)


def _add_vector(own: Mapping[str, Tensor], sweep: Sweep, scaling_coef: float) -> dict[str, Tensor]:
    """The checkpoint's own weights plus `scaling_coef` x vector, averaged as in the adapted model."""
    state = dict(own)
    if sweep.vector is not None:
        state = dict(applied(own, open_tensors(sweep.vector.path / VECTOR), scaling_coef))
    if sweep.pretrained_weight:
        state = dict(interpolated(state, open_tensors(sweep.pretrained.path / MODEL), sweep.pretrained_weight))
    return state
