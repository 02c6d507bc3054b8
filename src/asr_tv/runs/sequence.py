"""One run of a sequence of domains: the trainings, then sequence.json, sequence.md and sequence.svg."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asr_tv.config.sequence import SequenceConfig
from asr_tv.pipeline.continual.sequence import SequenceResult, sequence
from asr_tv.pipeline.execution.executor import Done, Executor
from asr_tv.pipeline.material import bootstrap_of
from asr_tv.pipeline.preflight import check_material, named_voices
from asr_tv.pipeline.writing.replayed import recited
from asr_tv.report.continual.sequence import SequenceInputs, build_sequence, plot_sequence, render_sequence
from asr_tv.runs.outputs import corpus_inputs
from asr_tv.store.results import write_atomically
from asr_tv.store.uses import registered

SEQUENCE_JSON, SEQUENCE_MD, SEQUENCE_SVG = "sequence.json", "sequence.md", "sequence.svg"


def run_sequence(config: SequenceConfig, execute: Executor, folder: Path) -> dict[str, Any]:
    """Runs the sequence and leaves its matrix in `folder`; returns the content of sequence.json, which comes last."""
    config = named_voices(config)
    check_material(config)
    folder.mkdir(parents=True, exist_ok=True)
    with registered(execute.store.root, folder, config.name):
        result = sequence(config, execute)
        report = build_sequence(_inputs(config, result, execute.done))
        write_atomically(folder / SEQUENCE_MD, render_sequence(report))
        write_atomically(folder / SEQUENCE_SVG, plot_sequence(report))
        write_atomically(
            folder / SEQUENCE_JSON, json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        )
    return report


def _inputs(config: SequenceConfig, result: SequenceResult, done: Sequence[Done]) -> SequenceInputs:
    return SequenceInputs(
        name=config.name,
        domains=config.sequence.domains,
        rows=config.sequence.rows,
        seeds=config.seeds,
        cells=result.evaluations,
        bootstrap=bootstrap_of(config),
        seconds=_seconds(config, done),
        facts={
            "learnt": {each.name: _learnt(each) for each in result.lessons},
            "replayed": recited(done),
            "corpora": [asdict(corpus) for corpus in corpus_inputs(config, result.corpora)],
            "configuration": config.model_dump(mode="json", exclude={"run"}),
        },
    )


def _learnt(lesson: Any) -> dict[str, int]:
    texts = len({u.text for u in lesson.clips})
    return {"texts": texts, "clips": len(lesson.clips), "recordings": len(lesson.recordings)}


def _seconds(config: SequenceConfig, done: Sequence[Done]) -> dict[str, float]:
    """Of each row's trainings, those it shares with other rows among them; a vector's are the row's that has it."""
    found: dict[str, float] = {}
    for row in config.sequence.rows:
        runs = {f"{row}, seed {seed}" for seed in config.seeds}
        if row.endswith("+ vector"):
            runs |= {f"vectors, seed {seed}" for seed in config.seeds}
        own = {d.record.key: d.record.seconds for d in done if d.record.stage == "finetune" and d.step.run in runs}
        found[row] = sum(own.values())
    return found
