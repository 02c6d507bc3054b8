"""Rows of test-time adaptation of a run: its models on the target's test recordings, which these rows hear."""

from functools import partial
from typing import Any

from asr_tv.config.run import AdaptConfig
from asr_tv.config.test_time import Adaptation
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.transcribe import transcribe
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.material import bootstrap_of
from asr_tv.pipeline.unlabelled.table import adaptation_table
from asr_tv.report.learning.adapted import adapted_rows
from asr_tv.report.systems import ADAPTED, PRETRAINED
from asr_tv.store.results import Record
from asr_tv.text.normalize import get_normalizer


def adapting_rows(
    config: AdaptConfig, pretrained: Record, adapted: Record, test: Manifest | None, execute: Executor
) -> dict[str, Any]:
    """The report's part, such as "adapted, suta"; empty where the configuration asks for none.

    Unlike every other system, these hear the target's recordings before they are scored, and never count as text-only.
    """
    if config.test_time is None or test is None:
        return {}
    methods: dict[str, Adaptation] = {method: Adaptation(method=method) for method in config.test_time.methods}
    bootstrap = bootstrap_of(config)
    rows = []
    for name, checkpoint in ((PRETRAINED, pretrained), (ADAPTED, adapted)):
        if name not in config.test_time.of:
            continue
        hear = partial(_heard, config, name, checkpoint, execute)
        normalize = get_normalizer(config.scoring.normalizer)
        scores = adaptation_table(hear, test, methods, normalize, bootstrap, config.language)
        rows += [{"system": f"{name}, {row['method']}", **row} for row in adapted_rows(scores)]
    heard = [row["system"] for row in rows if row["hears"] != "nothing"]
    return {"rows": rows, "heard_without_labels": [{"manifest": test.name, "digest": test.digest, "systems": heard}]}


def _heard(
    config: AdaptConfig, name: str, checkpoint: Record, execute: Executor, method: str, test: Manifest, how: Decoding
) -> Record:
    step = Step("transcribe", f"{name}, {method}", "target", purpose="scoring", options=config.run)
    return execute([call(step, transcribe, checkpoint, test, how, None)])[0]
