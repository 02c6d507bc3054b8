"""Pretrained and adapted on the synthetic proxy."""

from collections.abc import Mapping

from asr_tv.config.run import AdaptConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.proxy.sentences import NAME
from asr_tv.pipeline.proxy.voices import proxy_speech
from asr_tv.pipeline.scoring import System, TestSet, score_systems
from asr_tv.report.systems import ADAPTED, PRETRAINED
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.store.results import Record
from asr_tv.synthesis.synthesize import synthesize


def proxy_scores(
    config: AdaptConfig, texts: Manifest | None, pretrained: Record, adapted: Record, execute: Executor
) -> Mapping[str, Evaluation]:
    """By system, on the sentences that were kept out; nothing where none were."""
    if texts is None:
        return {}
    step = Step("synthesize", NAME, purpose="scoring", options=config.run, alone=True)
    (clips,) = execute([call(step, synthesize, texts, proxy_speech(config), config.seed)])
    systems = [System(PRETRAINED, pretrained), System(ADAPTED, adapted)]
    scored = score_systems(config, systems, [TestSet(NAME, stored_manifest(clips))], execute)
    return {name: evaluation for (name, _), evaluation in scored.items()}
