"""Inputs of reports and what was made of them, for every test that draws one."""

import base64
import csv
import io
from dataclasses import replace
from typing import Any

from asr_tv.pipeline.recipe_scores import RecipeScore

from asr_tv.config.run import Recipe
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.report.build import build_report
from asr_tv.report.inputs import CorpusInput, DroppedUtterance, ReportInputs, SelectionInput, SystemInput, TermsInput
from asr_tv.report.ledger import StageEntry
from asr_tv.report.page import render_page
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.score import evaluate

CHOSEN = {"start": "source_mixed", "augmentation": True, "scaling_coef": 0.3}


CONDITIONS = {"audio_context": "dynamic"}


REPORT: dict[str, Any] = {
    "name": "demo",
    "target_domain": "voicemail",
    "verdict": "Better.",
    "selection": {
        "method": "leave_one_source_domain_out",
        "folds": ["conference", "services"],
        "chosen": CHOSEN,
        "scores": [{**CHOSEN, "wer": 0.182}, {**CHOSEN, "scaling_coef": 0.0, "wer": 0.249}],
    },
    "ledger": {
        "target_recordings_read_before_scoring": [],
        "entries": [{"label": "synthesize target", "utterances": 57, "domains": ["voicemail"]}],
    },
    "corpus": {"corpora": [{"name": "prompts", "licence": "CC BY-SA 3.0"}] * 2},
    "systems": [
        {
            "name": "adapted",
            "domain": "voicemail",
            "wer": 0.177,
            "ci_low": 0.13,
            "ci_high": 0.232,
            "conditions": CONDITIONS,
        }
    ],
    "forgetting": {
        "bound": 0.1,
        "passed": False,
        "rows": [
            {
                "domain": "general",
                "pretrained": 0.073,
                "adapted": 0.101,
                "difference": 0.028,
                "ci_low": 0.004,
                "ci_high": 0.05,
                "passed": False,
            }
        ],
    },
}


WORDS = 10


SENTENCES = 40


def manifest(domain, split="test", count=SENTENCES):
    rows = (
        Utterance(f"{domain}-{i}", f"{domain} {i} a b c d e f g h", domain=domain, split=split) for i in range(count)
    )
    return Manifest(f"{domain} {split}", tuple(rows))


def scored(reference, wrong, checkpoint="0" * 64, **decoding):
    """An evaluation with `wrong` errors: sentences in turn lose one word more."""
    losses = {u.id: wrong // len(reference) + (i < wrong % len(reference)) for i, u in enumerate(reference)}
    hypotheses = {u.id: " ".join(u.text.split()[: WORDS - losses[u.id]]) for u in reference}
    return evaluate(reference, hypotheses, "basic", checkpoint=checkpoint, decoding={"audio_context": 8.0} | decoding)


VOICEMAIL, LIBRI = manifest("voicemail"), manifest("libri")


def target(name, wrong, text_only=True, **more):
    return SystemInput(name, "target", "voicemail", "test", scored(VOICEMAIL, wrong), text_only, **more)


def general(name, wrong, context="full"):
    return SystemInput(name, "general", "libri", "test", scored(LIBRI, wrong, audio_context=context), text_only=True)


RECIPE = Recipe(start="pretrained", augmentation=True, scaling_coef=0.4)


SCORES = tuple(
    RecipeScore(replaced, errors, 200, {"digits": errors / 100, "phrases": 0.0})
    for replaced, errors in (
        (RECIPE, 10),
        (RECIPE.model_copy(update={"scaling_coef": 0.0}), 40),
        (RECIPE.model_copy(update={"augmentation": False}), 30),
    )
)


INPUTS = ReportInputs(
    name="demo",
    target_domain="voicemail",
    systems=(
        target("pretrained", 160),
        target("target_synthetic", 100),
        target("source_real_then_target_synthetic", 90),
        target("adapted", 40, scaling_coef=0.4, simulated_line="gsm, 5 dB SNR"),
        target("topline", 20, text_only=False),
        general("pretrained", 20),
        general("adapted", 21, context=8.0),
    ),
    selection=SelectionInput("leave_one_source_domain_out", RECIPE, ("digits", "phrases"), SCORES),
    stages=(
        StageEntry("synthesize", "synthesize target", "k1", True, 12.0),
        StageEntry("finetune", "target_synthetic", "k2", False, 3.5),
        StageEntry("transcribe", "transcribe adapted", "k3", False, 2.0, (VOICEMAIL.ref(),), "scoring"),
    ),
    corpora=(CorpusInput("asterisk en", "CC BY-SA 3.0", 563, 1500.0, "gsm, 5 dB SNR"),),
    bootstrap=Bootstrap(300, 0.95, 1),
    max_relative=0.1,
    dropped=(
        DroppedUtterance("t9", "synthesize", "longer than 60 words"),
        DroppedUtterance("t1", "corpus", "too | long\nrecording"),
    ),
    target_curve={0.4: scored(VOICEMAIL, 40), 0.0: scored(VOICEMAIL, 100)},
)


HOSTILE = "<script>alert(1)</script>\x1b[31m\u202egnp\x00 \"'><img src=x onerror=alert(2)> {{ 7*7 }}"


def page_of(inputs=INPUTS, **players):
    return render_page(build_report(inputs), players)


def hostile_inputs():
    reference = Manifest("ref", tuple(Utterance(f"u{i}{HOSTILE}", HOSTILE, domain=HOSTILE) for i in range(3)))
    systems = tuple(
        SystemInput(
            name, "target", HOSTILE, "test", evaluate(reference, {u.id: heard for u in reference}, "none"), True
        )
        for name, heard in (("pretrained", ""), (HOSTILE, HOSTILE), ("adapted", HOSTILE + " " + HOSTILE))
    )
    dropped = (DroppedUtterance(HOSTILE, HOSTILE, HOSTILE),)
    return replace(INPUTS, name=HOSTILE, systems=systems, dropped=dropped, terms=TermsInput("given", (HOSTILE,)))


def rows_of(made):
    return list(csv.reader(io.StringIO(base64.b64decode(made.csv_data.partition("base64,")[2]).decode())))
