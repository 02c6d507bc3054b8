"""What a run leaves in its folder: the report as page, text and data, the adapted model with its card, the vector."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asr_tv.config.run import AdaptConfig, LineConfig
from asr_tv.models.family import family_of
from asr_tv.models.output import new_file, new_folder
from asr_tv.pipeline.biasing import BiasedRows
from asr_tv.pipeline.continual.published import published_use
from asr_tv.pipeline.execution.executor import Done
from asr_tv.pipeline.graph import Outcome, tuned_systems
from asr_tv.pipeline.lineage import Lineage, stage_entry
from asr_tv.pipeline.material import bootstrap_of
from asr_tv.pipeline.proxy.voices import proxy_speech
from asr_tv.pipeline.writing.replayed import recited
from asr_tv.report.biasing import biasing_part
from asr_tv.report.build import build_report
from asr_tv.report.inputs import (
    BoundInput,
    CorpusInput,
    DroppedUtterance,
    ReportInputs,
    Role,
    SelectionInput,
    SynthesisInput,
    SystemInput,
)
from asr_tv.report.markdown import render_markdown
from asr_tv.report.model_card import model_card
from asr_tv.report.page import render_page
from asr_tv.report.proxy import proxy_part
from asr_tv.report.scores import loops_more, within_bound
from asr_tv.report.systems import (
    ADAPTED,
    ADAPTED_SHORT,
    HEARD_TARGET,
    PRETRAINED,
    PRETRAINED_SHORT,
    TEXT_ONLY_DECODER,
    TOPLINE,
)
from asr_tv.runs.players import players
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.store.payload import BIASING, MODEL, NGRAM, VECTOR
from asr_tv.store.results import RECORD, Record, write_atomically
from asr_tv.synthesis.engines.licences import voice_licences
from asr_tv.text.normalize import get_normalizer

REPORT_JSON, REPORT_MD, REPORT_HTML = "report.json", "report.md", "report.html"
RUN_JSON, UNFINISHED = "run.json", "unfinished"
"""What a run notes of itself at its start, and the name of the report of one that was stopped."""
SETTINGS = "asr_tv.json"
"""Beside the weights: how to decode them."""


def report_of(outcome: Outcome, done: Sequence[Done]) -> dict[str, Any]:
    """The content of report.json, made of nothing but records and evaluations."""
    chosen, config, material = outcome.chosen, outcome.chosen.config, outcome.chosen.material
    record = json.loads((outcome.adapted.path / RECORD).read_text(encoding="utf-8"))
    origin = Lineage(done).of([outcome.adapted], chosen.readings)
    inputs = ReportInputs(
        name=config.name,
        target_domain=material.target_domain,
        systems=tuple(_systems(outcome)),
        selection=SelectionInput(config.selection.method, chosen.recipe, chosen.folds, chosen.recipes),
        stages=tuple(map(stage_entry, done)),
        corpora=tuple(corpus_inputs(config, material.corpora)),
        bootstrap=bootstrap_of(config),
        max_relative=config.forgetting.max_relative,
        max_domain_words=config.forgetting.max_domain_words,
        bound=_bound_input(outcome),
        dropped=tuple(_dropped(outcome)),
        target_curve=outcome.curve,
        gates={what: record.details for what, record in chosen.speech.gates.items()},
        origin=frozenset((stage.stage, stage.key) for stage in origin),
        terms=outcome.terms,
        synthesis=tuple(SynthesisInput(d.label, d.record.details) for d in done if d.record.stage == "synthesize"),
        retention=outcome.retention,
        settings=config.model_dump(mode="json"),
        packages=record["packages"],
    )
    published = published_use(config, material)
    used: dict[str, Any] = {"published": published.row()} if published else {}
    used |= {"replayed": rows} if (rows := recited(done)) else {}
    extra = _biasing_part(outcome, inputs.bootstrap) | _proxy_part(outcome, inputs.bootstrap)
    return build_report(inputs) | extra | used


def _proxy_part(outcome: Outcome, bootstrap: Bootstrap) -> dict[str, Any]:
    """The synthetic proxy; nothing where no sentence was kept out for it."""
    if not outcome.proxy:
        return {}
    truth = {name: e for (name, test), e in outcome.evaluations.items() if test == "target"}
    voices = proxy_speech(outcome.chosen.config).voices
    return {"proxy": proxy_part(outcome.proxy, truth, voices, bootstrap)}


def _bound_input(outcome: Outcome) -> BoundInput:
    bounded, general = outcome.chosen.bounded, outcome.chosen.material.general
    names = {u.speaker for u in general or ()}
    speakers = len(names) if names and None not in names else None
    return BoundInput(bounded.pretrained, bounded.general, bounded.within, outcome.frontier, speakers)


def _biasing_part(outcome: Outcome, bootstrap: Bootstrap) -> dict[str, Any]:
    """What decode-time methods bought and cost; nothing where none was asked for."""
    biased, test = outcome.biased, outcome.chosen.material.target_test
    if not biased.evaluations or test is None:
        return {}
    normalize = get_normalizer(outcome.chosen.config.scoring.normalizer)
    plain = {name: outcome.evaluations[name, "target"] for name in (PRETRAINED, ADAPTED)}
    terms = tuple(dict.fromkeys(normalize(phrase.text) for phrase in biased.terms))
    part = biasing_part(
        plain | dict(biased.evaluations), terms, tuple(map(normalize, biased.distractors)), test.seconds, bootstrap
    )
    choices = [
        {"system": choice.system, "chosen": dict(choice.chosen), "tried": [list(row) for row in choice.tried]}
        for choice in biased.choices
    ]
    return {"biasing": part | {"choices": choices}}


def role_domains(target: str) -> dict[Role, str]:
    """What the report calls the domain of each test set."""
    return {"target": target, "source": "all domains", "general": "general"}


def _systems(outcome: Outcome) -> Iterator[SystemInput]:
    chosen, material = outcome.chosen, outcome.chosen.material
    names = {name for name, _ in outcome.evaluations} | {PRETRAINED, ADAPTED}
    names |= {system.name for system in tuned_systems(chosen)}
    for role, domain in role_domains(material.target_domain).items():
        for name in sorted(names, key=_place):
            evaluation = outcome.evaluations.get((name, role))
            if evaluation is None and not (role == "target" and material.target_test is None):
                continue
            yield SystemInput(
                name=name,
                role=role,
                domain=domain,
                split="test",
                evaluation=evaluation,
                text_only=name not in HEARD_TARGET,
                scaling_coef=chosen.recipe.scaling_coef if name in (ADAPTED, ADAPTED_SHORT) else None,
                simulated_line=_line_of(chosen.config, role),
            )


_BIASED = tuple(f"{PRETRAINED} + {row}" for row in ("prompt", "boost", "boost, distractors", "ngram"))
_ORDER = (PRETRAINED, *_BIASED, TEXT_ONLY_DECODER, PRETRAINED_SHORT, "source_real", "source_synthetic", "source_mixed")


def _place(name: str) -> tuple[int, str]:
    """Of a row in the table, from what one starts with to what one ends with."""
    if name in _ORDER:
        return _ORDER.index(name), name
    last = {ADAPTED: 96, ADAPTED_SHORT: 98, TOPLINE: 99}
    if name.startswith(f"{ADAPTED} + "):
        return 97, name
    return last.get(name, 30 + name.startswith("source")), name


def _line_of(config: AdaptConfig, test: str) -> str | None:
    corpora = config.general if test == "general" else config.corpora
    lines = sorted({_line(corpus.line) for corpus in corpora if corpus.line})
    return "; ".join(lines) or None


def _line(line: LineConfig) -> str:
    codec = "GSM 06.10, " if line.codec == "gsm" else ""
    return f"{codec}white noise at {line.snr_db:g} dB SNR"


def corpus_inputs(config: AdaptConfig, records: Sequence[Record]) -> Iterator[CorpusInput]:
    """Corpora with their licences; of an unfinished run those that it has loaded."""
    for corpus, record in zip((*config.corpora, *config.general), records, strict=False):
        details = record.details
        note = "" if details.get("package_as_pinned", True) else " (another version than the tested one)"
        yield CorpusInput(
            name=f"{corpus.kind} {corpus.path or corpus.language}{note}",
            licence=str(details.get("licence", "the user's own")),
            utterances=int(details["utterances"]),
            seconds=float(details["seconds"]),
            simulated_line=_line(corpus.line) if corpus.line else None,
        )


def _dropped(outcome: Outcome) -> Iterator[DroppedUtterance]:
    material, speech = outcome.chosen.material, outcome.chosen.speech
    own = 1 + bool(len(material.source_train))  # the target's and the source's clips; the folds' are the source's again
    for d in material.dropped:
        yield DroppedUtterance(d.id, "split", d.reason)
    for record in (*material.corpora, *speech.spoken[:own], *speech.gates.values()):
        file = record.path / "dropped.json"
        for row in json.loads(file.read_text(encoding="utf-8")) if file.exists() else ():
            yield DroppedUtterance(row["id"], record.stage, row["reason"])


def note_start(config: AdaptConfig, folder: Path) -> None:
    """Notes what the run is, so that a report can tell of it if it is stopped."""
    row = {"settings": config.model_dump(mode="json")}
    write_atomically(folder / RUN_JSON, json.dumps(row, indent=1, ensure_ascii=False) + "\n")


def write_outputs(outcome: Outcome, report: dict[str, Any], folder: Path) -> None:
    """Writes the run's folder; the report comes last, so a folder with a report is a whole one."""
    folder.mkdir(parents=True, exist_ok=True)
    with new_folder(folder / "model") as model:
        shutil.copytree(outcome.adapted.path / MODEL, model, dirs_exist_ok=True)
        for name, text in _beside_weights(outcome, report).items():
            (model / name).write_text(text, encoding="utf-8")
    if outcome.chosen.trained.vector is None:
        (folder / VECTOR).unlink(missing_ok=True)
    else:
        with new_file(folder / VECTOR) as vector:
            shutil.copyfile(outcome.chosen.trained.vector.path / VECTOR, vector)
    write_words(outcome.biased, folder / BIASING)
    write_atomically(folder / REPORT_MD, render_markdown(report))
    write_atomically(folder / REPORT_HTML, render_page(report, players(report, outcome, folder)))
    write_atomically(folder / REPORT_JSON, json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    for form in ("md", "html"):
        (folder / f"{UNFINISHED}.{form}").unlink(missing_ok=True)
    for left in folder.glob(".report.*.tmp"):  # of a process that was killed here; nobody else writes under this lock
        left.unlink(missing_ok=True)


def _short_context_is_safe(report: dict[str, Any]) -> bool:
    """Whether the model keeps general speech in the shorter context, too: within the bound, and without more loops."""
    rows = {row["name"]: row for row in report["systems"] if row["role"] == "general"}
    if PRETRAINED not in rows or ADAPTED_SHORT not in rows:
        return False
    if loops_more(report.get("retention", ()), ADAPTED_SHORT):
        return False
    return within_bound(rows[PRETRAINED], rows[ADAPTED_SHORT], report["forgetting"]["bound"])


def write_words(biased: BiasedRows, folder: Path) -> None:
    """The listed terms and the n-gram in the forms that other programs read; no folder where there are none.

    `terms.txt` has a term a line, as asr-tv and NeMo (`key_phrases_file`) read it; `hotwords.txt` the string for
    faster-whisper's `hotwords`, rarest first, since that keeps the head; `ngram.arpa` is over the model's own tokens.
    """
    if biased.ngram is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    with new_folder(folder) as made:
        terms = [phrase.text for phrase in biased.terms]
        (made / "terms.txt").write_text("".join(f"{term}\n" for term in terms), encoding="utf-8")
        (made / "hotwords.txt").write_text(", ".join(biased.rarest) + "\n", encoding="utf-8")
        shutil.copyfile(biased.ngram.path / NGRAM, made / NGRAM)


def _beside_weights(outcome: Outcome, report: dict[str, Any]) -> dict[str, str]:
    config = outcome.chosen.config
    settings: dict[str, str | float] = {"audio_context": "full", "language": config.language}
    if _short_context_is_safe(report):
        settings["short_context"] = outcome.chosen.audio_context
    return {
        SETTINGS: json.dumps(settings, indent=1) + "\n",
        "README.md": model_card(
            report,
            base=config.model,
            base_licence=str(outcome.chosen.material.base.details.get("licence", "not stated")),
            synthesis=config.synthesis,
            voice_licences=voice_licences(config.synthesis),
            language=config.language,
            family=family_of(outcome.adapted.path / MODEL),
        ),
    }
