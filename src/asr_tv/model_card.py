"""The model card that goes with an adapted model: what it was made of, and what was measured."""

from collections.abc import Mapping
from typing import Any

from asr_tv.config import SynthesisConfig
from asr_tv.families import Family
from asr_tv.verdict import ADAPTED, ADAPTED_AT_30_S, PRETRAINED

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
    report: dict[str, Any],
    *,
    base: str,
    base_licence: str,
    synthesis: SynthesisConfig,
    language: str,
    family: Family = "whisper",
) -> str:
    """Markdown with the metadata block that model hubs read.

    Args:
        report: the content of report.json.
        base: name of the pretrained model.
    """
    decode, context = _HOW_TO_DECODE[family]
    chosen = report["selection"]["chosen"]
    leaks = report["ledger"]["target_recordings_read_before_scoring"]
    data = dict.fromkeys(f"- Data: {c['name']} ({c['licence']})" for c in report["corpus"]["corpora"])
    lines = [
        "---",
        f"base_model: {base}",
        f"language: {language}",
        "library_name: transformers",
        "pipeline_tag: automatic-speech-recognition",
        "---",
        f"# {report['name']}: {base} adapted to {report['target_domain']}",
        "",
        "Adapted with asr-tv; recordings of the target domain were used."
        if leaks
        else "Adapted with asr-tv from text alone: no recording of the target domain was used.",
        "",
        report["verdict"],
        "",
        f"- Recipe: start {chosen['start']}, channel augmentation {'on' if chosen['augmentation'] else 'off'}, "
        f"scaling coefficient {chosen['scaling_coef']:g}; chosen by {report['selection']['method']}.",
        f"- Speech synthesis: {synthesis.engine}, voices {', '.join(synthesis.voices)}, {synthesis.takes} takes.",
        f"- Base: {base} ({base_licence}). The voices have licences of their own.",
        *data,
        f"- {decode}",
        "",
        "## Scores",
        "",
        context,
        "",
        "| recordings | system | audio context | WER | interval |",
        "|---|---|---|---|---|",
        *(_row(row) for row in report["systems"] if row["name"] in (PRETRAINED, ADAPTED, ADAPTED_AT_30_S)),
    ]
    return "\n".join(lines) + "\n"


def _row(row: dict[str, Any]) -> str:
    if row["wer"] is None:
        return f"| {row['domain']} | {row['name']} | | {row['note']} | |"
    interval = f"{row['ci_low']:.1%} to {row['ci_high']:.1%}" if row["ci_high"] is not None else ""
    context = row["conditions"]["audio_context"]
    return f"| {row['domain']} | {row['name']} | {context} | {row['wer']:.1%} | {interval} |"
