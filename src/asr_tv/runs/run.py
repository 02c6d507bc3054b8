"""One run: the graph, then its report and outputs."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.run import AdaptConfig
from asr_tv.errors import RunFailed
from asr_tv.pipeline.benchmark import Results, Row, leave_one_out
from asr_tv.pipeline.execution.executor import Done, Executor
from asr_tv.pipeline.graph import adapt
from asr_tv.pipeline.lineage import Lineage
from asr_tv.pipeline.plan import Plan
from asr_tv.pipeline.preflight import check, check_material
from asr_tv.pipeline.tunings import BenchmarkPlan
from asr_tv.report.benchmark import TOPLINE, BenchmarkCell, TableInputs, build_table
from asr_tv.report.benchmark_markdown import render_table
from asr_tv.report.ledger import target_recordings_read_before_scoring
from asr_tv.report.scores import finite
from asr_tv.runs.outputs import corpus_inputs, note_start, report_of, write_outputs
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.store.results import file_lock, write_atomically
from asr_tv.store.uses import registered


def require_kept(config: AdaptConfig, forgetting: Mapping[str, Any], folder: Path) -> None:
    """Ends a run as failed whose configuration bounds the forgetting, and which forgot more.

    Raises:
        RunFailed: the adapted model lost more than `forgetting.max_relative` on general speech.
    """
    if (lost := forgot_too_much(config, forgetting)) is not None:
        raise RunFailed(f"{lost}; everything is kept in {folder}")


def forgot_too_much(config: AdaptConfig, forgetting: Mapping[str, Any]) -> str | None:
    """What was lost on general speech beyond a bound that the configuration itself sets, or None."""
    if "forgetting" not in config.model_fields_set or forgetting["passed"] is not False:
        return None
    rows = (row for row in forgetting["rows"] if not row["passed"])
    lost = [f"{r.get('target', r.get('domain'))}: {_rate(r['pretrained'])} to {_rate(r['adapted'])}" for r in rows]
    bound = f"forgetting.max_relative {config.forgetting.max_relative:g}"
    return f"general speech was lost beyond {bound} ({'; '.join(lost)})"


def _rate(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.1f} % WER"


def run(
    config: AdaptConfig, execute: Executor, folder: Path, *, announce: Callable[[Plan], Any] = lambda plan: None
) -> dict[str, Any]:
    """Runs the configuration and leaves report, model and vector in `folder`; returns the report."""
    check(config)
    note_start(config, folder)
    with registered(execute.store.root, folder, config.name):
        outcome = adapt(config, execute, announce)
        report = report_of(config, outcome, execute.done)
        with file_lock(folder / ".lock"):  # two runs of one configuration may end at once
            write_outputs(config, outcome, report, folder)
    return report


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


def _cells(results: Results, lineage: Lineage) -> Iterator[BenchmarkCell]:
    readings = {(scope.target, scope.seed): choice.readings for scope, choice in results.choices.items()}
    for row in results.rows:
        stages = lineage.of(row.roots, readings[row.target, row.seed] if row.chosen else ())
        text_only = row.system != TOPLINE
        leaks = target_recordings_read_before_scoring(stages, row.target, {(s.stage, s.key) for s in stages})
        yield BenchmarkCell(
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
