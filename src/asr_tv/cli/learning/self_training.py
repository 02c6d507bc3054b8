"""`asr-tv finetune --labels self`: recordings without texts, labelled by the model that is tuned on them."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_tv.errors import gathered

if TYPE_CHECKING:
    from asr_tv.store.runtime import Runtime


class Labels(StrEnum):
    """Where the texts of a fine-tuning come from."""

    given = "given"
    self = "self"


LabelsOption = Annotated[Labels, typer.Option(help="self: the recordings have no texts, and the model hears its own")]
KeepOption = Annotated[
    float, typer.Option(min=0.01, max=1, help="With --labels self: share of its labels, the surest, to train on")
]
CorrectOption = Annotated[
    Path | None,
    typer.Option(help="With --labels self: labelled source speech, to add what true labels teach beyond its own"),
]
CoefOption = Annotated[float, typer.Option(help="With --correct: how much of that is added")]


def tune_on_own(
    runtime: "Runtime",
    model: str,
    manifest: Path,
    settings: list[str],
    how: dict[str, Any],
    keep: float,
    correct: Path | None,
    coef: float,
    outside: bool,
) -> tuple[Any, dict[str, Any], str]:
    """The tuned model's record, a row for --json, and a line of text.

    Args:
        how: `seed` and `language`.

    Raises:
        DataError, ConfigError: everything that cannot be used, together.
    """
    from asr_tv.config.file import section_of
    from asr_tv.config.run import TrainingConfig
    from asr_tv.data.corpora.local import read_manifest
    from asr_tv.data.unlabelled import read_unlabelled
    from asr_tv.models.locate import resolve_model
    from asr_tv.pipeline.unlabelled.self_training import SelfTraining, corrected, tuned_on_own

    store = runtime.store.root
    training, recordings, source, base = gathered(
        lambda: section_of(TrainingConfig, settings, {"epochs": 2}),
        lambda: read_unlabelled(manifest, outside=outside, store=store),
        lambda: read_manifest(correct, outside=outside, store=store) if correct else None,
        lambda: resolve_model(model, runtime.store),
    )
    asked = SelfTraining(training, how["seed"], how["language"], keep)
    record, kept = tuned_on_own(runtime, base, recordings, asked)
    context = record.details["audio_context"]
    row: dict[str, Any] = {"recordings": len(recordings), "trained_on": len(kept.labels), "dropped": dict(kept.dropped)}
    if source is not None:
        record = corrected(runtime, base, record, source, coef, asked)
        row |= {"corrected_with": len(source), "coef": coef}
    left = ", ".join(f"{reason}: {count}" for reason, count in kept.dropped.items() if count)
    told = f"tuned on {len(kept.labels)} of {len(recordings)} recordings by its own labels"
    return record, row | {"audio_context": context}, told + (f" ({left})" if left else "")
