"""The model card of an adapted model: what it was made of, what was measured, and what it forgets."""

from collections.abc import Iterator, Mapping
from typing import Any

from asr_tv.config.run import SynthesisConfig
from asr_tv.config.section import Family
from asr_tv.report.continual.carried import carried_lines
from asr_tv.report.systems import ADAPTED, ADAPTED_SHORT, PRETRAINED, rate_name
from asr_tv.safe_text import counted, escaped, inert, yaml_scalar

Report = Mapping[str, Any]

_HOW_TO_DECODE: Mapping[Family, tuple[str, str]] = {
    "whisper": (
        "Decode greedily and without timestamps: the training labels had none.",
        "Audio context is what the encoder saw: transformers' own pipeline always takes 30 s (full).",
    ),
    "ctc": (
        "Scored with greedy CTC, one clip at a time: padding changes what such a model hears.",
        "Audio context is what the model heard: the whole clip (full).",
    ),
}


def model_card(
    report: Report,
    *,
    base: str,
    base_licence: str,
    synthesis: SynthesisConfig,
    voice_licences: Mapping[str, str],
    language: str,
    family: Family = "whisper",
) -> str:
    """Markdown with the metadata block that model hubs read; `voice_licences` are by the configuration's names."""
    (decode, context), rates = _HOW_TO_DECODE[family], rate_name(report["systems"])
    leaks = report["ledger"]["target_recordings_read_before_scoring"]
    # A voice may be a path of the machine it was used on.
    voices = ", ".join(f"{voice.rpartition('/')[2]} ({voice_licences[voice]})" for voice in synthesis.voices)
    lines = [
        "---",
        f"base_model: {yaml_scalar(base)}",
        f"language: {yaml_scalar(language)}",
        "library_name: transformers",
        "pipeline_tag: automatic-speech-recognition",
        "---",
        f"# {inert(report['name'])}: {inert(base)} adapted to {inert(report['target_domain'])}",
        "",
        "Adapted with asr-tv; recordings of the target domain were used."
        if leaks
        else "Adapted with asr-tv from text alone: no recording of the target domain was used.",
        "",
        inert(report["verdict"]),
        "",
        *_recipe(report["selection"], rates),
        *_texts(report),
        f"- Speech: {synthesis.engine}, {synthesis.takes} takes; voices: {inert(voices)}.",
        f"- Base: {inert(base)} ({inert(base_licence)}).",
        *dict.fromkeys(f"- Data: {inert(c['name'])} ({inert(c['licence'])})." for c in report["corpus"]["corpora"]),
        *carried_lines(report),
        f"- {decode}",
        "",
        "## Scores",
        "",
        context,
        "",
        f"| recordings | system | audio context | {rates} | interval |",
        "|---|---|---|---|---|",
        *(_row(row) for row in report["systems"] if row["name"] in (PRETRAINED, ADAPTED, ADAPTED_SHORT)),
        *_words_alone(report),
        *_proxy(report, rates),
        "",
        "## What it forgets",
        "",
        *_forgetting(report["forgetting"], rates),
    ]
    return "\n".join(lines) + "\n"


def _recipe(selection: Report, rates: str) -> Iterator[str]:
    chosen = selection["chosen"]
    yield (
        f"- Recipe: start {chosen['start']}, channel augmentation {'on' if chosen['augmentation'] else 'off'}, "
        f"scaling coefficient {chosen['scaling_coef']:g}, {100 * (chosen.get('pretrained_weight') or 0):g} % of the "
        f"pretrained weights; chosen by {selection['method']}."
    )
    scores = {_key(score): score["wer"] for score in selection["scores"]}
    best, without = scores.get(_key(chosen)), scores.get(_key({**chosen, "scaling_coef": 0.0}))
    if best is not None and without is not None:
        folds = inert(", ".join(selection["folds"]))
        yield (
            f"- The coefficient was chosen on source domains that played the target ({folds}): "
            f"pooled {rates} {best:.1%} there, {without:.1%} with the same start and augmentation and no vector."
        )


def _key(recipe: Report) -> tuple[str, bool, float]:
    return recipe["start"], recipe["augmentation"], recipe["scaling_coef"]


def _texts(report: Report) -> Iterator[str]:
    spoken = [e for e in report["ledger"]["entries"] if e["label"] == "synthesize target"]
    for entry in spoken[:1]:
        domains = inert(", ".join(entry["domains"]))
        yield f"- Target texts: {counted(entry['utterances'], 'sentence')} of {domains}, spoken by machine."


def _row(row: Report) -> str:
    domain = escaped(row["domain"])
    if row["wer"] is None:
        return f"| {domain} | {row['name']} | | {row['note']} | |"
    interval = f"{row['ci_low']:.1%} to {row['ci_high']:.1%}" if row["ci_high"] is not None else ""
    context = row["conditions"]["audio_context"]
    return f"| {domain} | {row['name']} | {context} | {row['wer']:.1%} | {interval} |"


def _words_alone(report: Report) -> Iterator[str]:
    """What terms and n-gram bought, where the run has measured it."""
    if "biasing" not in report:
        return
    steered = {row["system"] for row in report["biasing"]["systems"]} - {PRETRAINED, ADAPTED}
    yield from (_row(row) for row in report["systems"] if row["name"] in steered)
    rates = [row for row in report["biasing"]["systems"] if row["false_alarms_per_hour"] is not None]
    told = "; ".join(f"{row['system']} {row['false_alarms_per_hour']:.0f}" for row in rates)
    yield ""
    yield (
        "The run's terms and its n-gram over this model's tokens are in the run's folder biasing/ and in its exports; "
        "the rows with a plus say what they bought. Listed terms heard that nobody said, an hour, with distractors "
        f"listed: {told}."
    )


def _proxy(report: Report, rates: str) -> Iterator[str]:
    """What the synthetic proxy says, where the run has one."""
    for row in report["proxy"]["rows"][:1] if "proxy" in report else ():
        if row["pretrained_wer"] is not None and row["adapted_wer"] is not None:
            yield ""
            yield (
                f"On the synthetic proxy, sentences kept out of training and spoken by other engines, not by people: "
                f"{row['pretrained_wer']:.1%} {rates} pretrained, {row['adapted_wer']:.1%} adapted{_change(row)}."
            )


def _forgetting(forgetting: Report, rates: str) -> Iterator[str]:
    for row in forgetting["rows"]:
        if row["pretrained"] is None or row["adapted"] is None:
            continue
        yield (
            f"Recordings of {inert(row['domain'])}: "
            f"{row['pretrained']:.1%} {rates} pretrained, {row['adapted']:.1%} adapted"
            f"{_change(row)}; {'within' if row['passed'] else 'BEYOND'} the bound, {forgetting['bound']:.0%} relative."
        )
    if not forgetting["rows"]:
        yield "Not measured: the run had no general recordings. Other speech may be heard worse than before."


def _change(row: Report) -> str:
    points = [row["difference"], row["ci_low"], row["ci_high"]]
    if None in points:
        return ""
    change, low, high = (f"{100 * value:+.1f}" for value in points)
    return f" ({change} points, interval {low} to {high})"
