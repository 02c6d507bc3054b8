"""One run of the leave-one-domain-out table: the graph per target, then benchmark.json and benchmark.md."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.pipeline.benchmark import Results, benchmark
from asr_tv.pipeline.execution.executor import Done, Executor
from asr_tv.pipeline.lineage import Lineage
from asr_tv.pipeline.material import bootstrap_of
from asr_tv.pipeline.planning import Plan
from asr_tv.pipeline.preflight import check_material, named_voices
from asr_tv.report.benchmark import BenchmarkCell, TableInputs, build_table
from asr_tv.report.benchmark_markdown import render_table
from asr_tv.report.ledger import target_recordings_read_before_scoring
from asr_tv.report.scores import finite
from asr_tv.report.systems import HEARD_TARGET
from asr_tv.runs.outputs import corpus_inputs
from asr_tv.store.results import write_atomically
from asr_tv.store.uses import registered

TABLE_JSON, TABLE_MD = "benchmark.json", "benchmark.md"


def run_benchmark(
    config: BenchmarkConfig, execute: Executor, folder: Path, *, announce: Callable[[Plan], Any] | None = None
) -> dict[str, Any]:
    """Runs the table and leaves benchmark.json and benchmark.md in `folder`; returns the former's content.

    Args:
        announce: is told what the table will train, before it trains.
    """
    config = named_voices(config)
    check_material(config)
    folder.mkdir(parents=True, exist_ok=True)
    with registered(execute.store.root, folder, config.name):
        plans: list[Plan] = []

        def tell(plan: Plan) -> None:
            plans.append(plan)
            if announce is not None:
                announce(plan)

        results = benchmark(config, execute, tell)
        report = build_table(_table_inputs(config, results, plans[0], execute.done))
        write_atomically(folder / TABLE_MD, render_table(report))
        write_atomically(folder / TABLE_JSON, json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return report


def _table_inputs(config: BenchmarkConfig, results: Results, walked: Plan, done: Sequence[Done]) -> TableInputs:
    return TableInputs(
        name=config.name,
        targets=results.domains.targets,
        seeds=config.seeds,
        cells=tuple(_cells(results, Lineage(done))),
        curves=tuple(_curves(results)),
        bootstrap=bootstrap_of(config),
        max_relative=config.forgetting.max_relative,
        paper_scorer=config.benchmark.paper_scorer,
        norm_ratios=dict(_norm_ratios(results)),
        facts=_facts(config, results, walked, done),
    )


def _cells(results: Results, lineage: Lineage) -> Iterator[BenchmarkCell]:
    for row in results.rows:
        stages = lineage.of(row.roots, results.choices[row.cell].readings if row.chosen else ())
        text_only = row.system not in HEARD_TARGET
        leaks = target_recordings_read_before_scoring(stages, row.cell.target, {(s.stage, s.key) for s in stages})
        yield BenchmarkCell(
            row.cell.target,
            row.cell.seed,
            row.system,
            row.test,
            row.evaluation,
            base=row.base,
            scaling_coef=row.scaling_coef,
            text_only=text_only,
            stages=len(stages),
            leaks=leaks if text_only else (),
        )


def _curves(results: Results) -> Iterator[tuple[str, str, str, float, tuple[Any, ...]]]:
    grouped: dict[tuple[str, str, str, float], list[Any]] = {}
    for (cell, row, kind), curve in results.curves.items():
        for coef, evaluation in curve.items():
            grouped.setdefault((cell.target, row, kind, coef), []).append(evaluation)
    for key, evaluations in grouped.items():
        yield *key, tuple(evaluations)


def _norm_ratios(results: Results) -> Iterator[tuple[str, float]]:
    for name, comparison in results.directions.shifts.items():
        real, synthetic = comparison["parts"][0]["norms"]
        yield name, real / synthetic if synthetic else math.inf


def _facts(config: BenchmarkConfig, results: Results, walked: Plan, done: Sequence[Done]) -> dict[str, Any]:
    material = results.domains
    return {
        "plan": {**vars(walked), "text": str(walked)},
        "domains": {
            name: {part: len(getattr(domain, part)) for part in ("train", "dev", "test")}
            for name, domain in material.domains.items()
        },
        "choices": [
            {
                "target": cell.target,
                "seed": cell.seed,
                "folds": list(choice.chosen.folds),
                "system": choice.row,
                "vector": choice.vector,
                "scaling_coef": choice.chosen.recipe.scaling_coef,
                "wer": choice.wer,
            }
            for cell, choice in results.choices.items()
        ],
        "cosines": dict(results.directions.vectors),
        "source_counts": [
            {
                "target": entry.target,
                "count": entry.count,
                "domains": list(entry.domains),
                "system": entry.row,
                "wer": {f"{coef:g}": finite(e.wer) for coef, e in entry.curve.items()},
            }
            for entry in results.source_counts
        ],
        "retention": [dict(row) for row in results.retention],
        "shared_sentences": {
            "left_out": config.drop_shared_sentences,
            "utterances": [{"id": d.id, "reason": d.reason} for d in material.shared],
        },
        "corpora": [asdict(corpus) for corpus in corpus_inputs(config, material.corpora)],
        "configuration": config.model_dump(mode="json", exclude={"run"}),
        "stages": [
            {"name": d.record.stage, "label": d.label, "key": d.record.key, "seconds": d.record.seconds} for d in done
        ],
        "executed": sum(not d.record.cached for d in done),
    }
