"""The stage that scores a transcription; each scaling coefficient of a sweep has its own folder."""

from collections.abc import Sequence
from pathlib import Path

from asr_tv.config.run import ScoringConfig
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.hypotheses import hypotheses_file, score_folder
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.transcribe import Sweep
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.scoring.score import read_evaluation, score_file
from asr_tv.store.results import Identity, Produced, Record
from asr_tv.store.runtime import Runtime
from asr_tv.text.normalize import get_normalizer

STAGE, VERSION = "score", 2
"""The version is raised whenever the same hypotheses would be scored differently."""


def score(
    runtime: Runtime,
    manifest: Manifest,
    transcription: Record,
    checkpoint: Record,
    decoding: Decoding,
    scoring: ScoringConfig,
    sweep: Sweep | None = None,
) -> Record:
    """The stage: scores every file of hypotheses of a transcription, each into its own folder."""
    coefs: Sequence[float | None] = sweep.scaling_coefs if sweep else (None,)
    normalizer = get_normalizer(scoring.normalizer)
    parameters = decoding.options | {"normalizer": [normalizer.name, normalizer.version], "scaling_coefs": list(coefs)}
    added = sweep.inputs if sweep else {}
    digests = {"manifest": manifest.digest, "transcription": transcription.digest, "checkpoint": checkpoint.digest}

    def produce(scratch: Path) -> Produced:
        with runtime.progress("score", len(coefs), "files") as advance:
            for coef in coefs:
                folder = scratch / score_folder(coef)
                folder.mkdir(exist_ok=True)
                file = transcription.path / hypotheses_file(coef)
                conditions = decoding.options | added | ({} if coef is None else {"scaling_coef": coef})
                score_file(manifest, file, scoring, folder, checkpoint=checkpoint.digest, decoding=conditions)
                advance()
        return Produced((manifest.ref(),), {"utterances": len(manifest)})

    return runtime.store.build(Identity(STAGE, VERSION, parameters, digests | added), produce)


def read_score(record: Record) -> Evaluation:
    """The evaluation that a score record of one checkpoint holds."""
    return read_evaluation(record.path / score_folder())
