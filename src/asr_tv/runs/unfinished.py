"""What a run that was stopped has come to: the graph walked over the store, without executing anything."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asr_tv.config.parsing import parse_config
from asr_tv.config.run import AdaptConfig
from asr_tv.decoding.hypotheses import score_folder
from asr_tv.errors import DataError
from asr_tv.pipeline.execution.executor import Done, Step
from asr_tv.pipeline.execution.lookup import Missing, Walk
from asr_tv.pipeline.graph import adapt
from asr_tv.pipeline.lineage import stage_entry
from asr_tv.pipeline.material import TEXT_DOMAIN, bootstrap_of
from asr_tv.report.build import build_report
from asr_tv.report.inputs import ReportInputs, SelectionInput, SynthesisInput, SystemInput
from asr_tv.report.markdown import render_markdown
from asr_tv.report.page import render_page
from asr_tv.report.systems import ADAPTED, HEARD_TARGET
from asr_tv.runs.outputs import REPORT_JSON, RUN_JSON, UNFINISHED, corpus_inputs, role_domains
from asr_tv.scoring.score import SUMMARY
from asr_tv.scoring.stage import read_score
from asr_tv.store.results import Store, write_atomically


def unfinished_report(folder: Path, store: Path) -> dict[str, Any] | None:
    """The report of a run that did not come to its end, also written beside it as unfinished.html and unfinished.md.

    None for a folder in which no run was started, or one that has its report.

    Raises:
        DataError: what the run noted of itself at its start cannot be read.
        ConfigError: it was started by a version whose settings this one does not know.
    """
    file = folder / RUN_JSON
    if (folder / REPORT_JSON).exists() or not file.is_file():
        return None
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: cannot be read: {error!r}") from error
    report = _report(parse_config(settings, str(file)), store)
    write_atomically(folder / f"{UNFINISHED}.md", render_markdown(report))
    write_atomically(folder / f"{UNFINISHED}.html", render_page(report))
    return report


def _report(config: AdaptConfig, store: Path) -> dict[str, Any]:
    walk = Walk(Store(store))
    missing: tuple[Step, ...] = ()
    try:
        adapt(config, walk)
    except Missing as stop:
        missing = stop.args
    target = config.target.domain if config.target else None
    inputs = ReportInputs(
        name=config.name,
        target_domain=target or TEXT_DOMAIN,
        systems=_systems(walk.done, target or TEXT_DOMAIN),
        selection=SelectionInput(config.selection.method, None),
        stages=tuple(map(stage_entry, walk.done)),
        corpora=tuple(corpus_inputs(config, [d.record for d in walk.done if d.record.stage == "corpus"])),
        bootstrap=bootstrap_of(config),
        max_relative=config.forgetting.max_relative,
        synthesis=tuple(SynthesisInput(d.label, d.record.details) for d in walk.done if d.record.stage == "synthesize"),
        settings=config.model_dump(mode="json"),
        missing=(*(step.label for step in missing), *_later([entry.step for entry in walk.done] + list(missing))),
    )
    return build_report(inputs)


def _later(reached: Sequence[Step]) -> list[str]:
    """What comes after the steps that the graph has reached, in few words."""
    kinds = {step.kind for step in reached}
    parts = {"finetune": "fine-tunings", "score": "the choice of the recipe", "adapt": "the adapted model"}
    later = [part for kind, part in parts.items() if kind not in kinds]
    return [*later, "scores of what is not in the tables", "the report"]


def _systems(done: Sequence[Done], target: str) -> tuple[SystemInput, ...]:
    """A row for every score that is there; adapted on the target in any case."""
    rows = []
    for entry in done:
        name = entry.step.subject
        for role, domain in role_domains(target).items():
            if (
                entry.step.kind == "score"
                and entry.step.test == role
                and (entry.record.path / score_folder() / SUMMARY).is_file()
            ):
                evaluation = read_score(entry.record)
                rows.append(SystemInput(name, role, domain, "test", evaluation, text_only=name not in HEARD_TARGET))
    if not any(row.name == ADAPTED and row.role == "target" for row in rows):
        rows.append(SystemInput(ADAPTED, "target", target, "test", None, text_only=True, note="not scored yet"))
    return tuple(rows)
