"""One run of the leave-one-domain-out table: the graph, then benchmark.json and benchmark.md."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asr_tv.benchmark_config import BenchmarkConfig
from asr_tv.bootstrap import Bootstrap
from asr_tv.leave_one_out_markdown import render_table
from asr_tv.leave_one_out_report import TOPLINE, Cell, TableInputs, build_table
from asr_tv.ledger import ledger_entries, target_recordings_read_before_scoring
from asr_tv.pipeline.executor import Done, Executor
from asr_tv.pipeline.leave_one_out import Results, Row, leave_one_out
from asr_tv.pipeline.leave_one_out_plan import BenchmarkPlan
from asr_tv.pipeline.lineage import Lineage
from asr_tv.pipeline.outputs import corpus_inputs
from asr_tv.pipeline.preflight import check_material
from asr_tv.report_scores import finite
from asr_tv.store import write_atomically
from asr_tv.store_uses import registered

TABLE_JSON, TABLE_MD = "benchmark.json", "benchmark.md"


def run_benchmark(
    config: BenchmarkConfig,
    execute: Executor,
    folder: Path,
    *,
    announce: Callable[[BenchmarkPlan], Any] = lambda plan: None,
) -> dict[str, Any]:
    """Runs the table and leaves benchmark.json and benchmark.md in `folder`; returns the former's content."""
    check_material(config)
    folder.mkdir(parents=True, exist_ok=True)
    with registered(execute.store.root, folder, config.name):
        results = leave_one_out(config, execute, announce)
        report = build_table(table_inputs(config, results, execute.done))
        write_atomically(folder / TABLE_MD, render_table(report))
        text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(folder / TABLE_JSON, text)
    return report


def table_inputs(config: BenchmarkConfig, results: Results, done: Sequence[Done]) -> TableInputs:
    """What the report is made of, with the lineage of every row."""
    scoring = config.scoring
    return TableInputs(
        name=config.name,
        targets=results.ground.targets,
        seeds=config.seeds,
        cells=tuple(_cells(results, Lineage(done))),
        curves=tuple(_curves(results)),
        bootstrap=Bootstrap(scoring.resamples, scoring.confidence, config.seed),
        max_relative=config.forgetting.max_relative,
        paper_scorer=config.benchmark.paper_scorer,
        norm_ratios=dict(_norm_ratios(results)),
        facts=_facts(config, results, done),
    )


def _cells(results: Results, lineage: Lineage) -> Iterator[Cell]:
    readings = {(scope.target, scope.seed): choice.readings for scope, choice in results.choices.items()}
    for row in results.rows:
        stages = lineage.of(row.roots, readings[row.target, row.seed] if row.chosen else ())
        text_only = row.system != TOPLINE
        leaks = target_recordings_read_before_scoring(ledger_entries(stages), row.target, (), ())
        yield Cell(
            row.target,
            row.seed,
            row.system,
            row.test,
            row.evaluation,
            base=_base(row),
            scaling_coef=row.scaling_coef,
            text_only=text_only,
            stages=len(stages),
            leaks=leaks if text_only else (),
        )


def _base(row: Row) -> str | None:
    base, plus, _ = row.system.partition(" + ")
    return base if plus else None


def _curves(results: Results) -> Iterator[tuple[str, str, str, float, tuple[Any, ...]]]:
    grouped: dict[tuple[str, str, str, float], list[Any]] = {}
    for (scope, row, kind), curve in results.curves.items():
        for coef, evaluation in curve.items():
            grouped.setdefault((scope.target, row, kind, coef), []).append(evaluation)
    for key, evaluations in grouped.items():
        yield *key, tuple(evaluations)


def _norm_ratios(results: Results) -> Iterator[tuple[str, float]]:
    for name, comparison in results.directions.shifts.items():
        real, synthetic = comparison["parts"][0]["norms"]
        yield name, real / synthetic if synthetic else math.inf


def _facts(config: BenchmarkConfig, results: Results, done: Sequence[Done]) -> dict[str, Any]:
    material, plan = results.ground, results.plan
    return {
        "plan": {**vars(plan), "text": str(plan)},
        "domains": {
            name: {part: len(getattr(domain, part)) for part in ("train", "dev", "test")}
            for name, domain in material.domains.items()
        },
        "choices": [
            {
                "target": scope.target,
                "seed": scope.seed,
                "folds": list(choice.folds),
                "system": choice.adapted[0],
                "vector": choice.adapted[1],
                "scaling_coef": choice.adapted[2],
                "wer": choice.wer,
            }
            for scope, choice in results.choices.items()
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
