"""One run: the graph, then its report and outputs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asr_tv.config.run import AdaptConfig
from asr_tv.errors import RunFailed
from asr_tv.pipeline.execution.executor import Executor
from asr_tv.pipeline.graph import adapt
from asr_tv.pipeline.likeness.source import source_gap
from asr_tv.pipeline.planning import Plan
from asr_tv.pipeline.preflight import check, named_voices
from asr_tv.pipeline.unlabelled.rows import adapting_rows
from asr_tv.report.likeness.bound import domain_words_told
from asr_tv.report.systems import ADAPTED, PRETRAINED, rate_of
from asr_tv.report.verdict import loops_told
from asr_tv.runs.outputs import note_start, report_of, write_outputs
from asr_tv.store.results import file_lock
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
    rows = [row for row in forgetting["rows"] if not row["passed"]]
    if not rows and (told := domain_words_told(forgetting)) is not None:
        return told
    if not rows:
        loops = forgetting["probed_loops"]
        told = f"{loops[ADAPTED]} loops, pretrained {loops[PRETRAINED]}"
        return f"the adapted model loops in silence, noise, music or clips of one or two words ({told})"
    rates = rate_of([config.scoring.normalizer])
    lost = [
        f"{r.get('target', r.get('domain'))}: {_rate(r['pretrained'], rates)} to {_rate(r['adapted'], rates)}"
        f"{loops_told(r)}"
        for r in rows
    ]
    bound = f"forgetting.max_relative {config.forgetting.max_relative:g}"
    return f"general speech was lost beyond {bound} ({'; '.join(lost)})"


def _rate(value: float | None, name: str) -> str:
    return "undefined" if value is None else f"{100 * value:.1f} % {name}"


def with_listeners(report: dict[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """The report with rows of test-time adaptation, and its ledger with what they heard without labels."""
    if not part:
        return report
    ledger = {**report["ledger"], "heard_without_labels": part["heard_without_labels"]}
    return {**report, "ledger": ledger, "test_time": list(part["rows"])}


def run(
    config: AdaptConfig, execute: Executor, folder: Path, *, announce: Callable[[Plan], Any] | None = None
) -> dict[str, Any]:
    """Runs the configuration and leaves report, model and vector in `folder`; returns the report.

    Args:
        announce: is told what the run will train, before it trains.
    """
    config = named_voices(config)
    check(config)
    note_start(config, folder)
    with registered(execute.store.root, folder, config.name):
        outcome = adapt(config, execute, announce)
        found, test = outcome.chosen.material, outcome.chosen.material.target_test
        listening = adapting_rows(config, found.base, outcome.adapted, test, execute)
        gap = source_gap(outcome.chosen, execute)
        report = with_listeners(report_of(outcome, execute.done), listening) | gap
        with file_lock(folder / ".lock"):  # two runs of one configuration may end at once
            write_outputs(outcome, report, folder)
    return report
