"""Which models stand side by side: a run's pretrained and adapted one, those of two runs, or any two."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr_tv.decoding.biasing.bias import SAFE_BOOST
from asr_tv.errors import ConfigError
from asr_tv.report.systems import ADAPTED, PRETRAINED
from asr_tv.runs.finished import REPORT, FinishedRun, read_run
from asr_tv.store.payload import BIASING, MODEL

Find = Callable[[str], tuple[str, Mapping[str, Any]]]
"""From a path or name to the model that it means, and how to decode that: `audio_context`, and `language` if known."""


@dataclass(frozen=True)
class Side:
    """One model of the page.

    Attributes:
        model: path or hub name.
        settings: as `Find` gives them.
        terms: file of terms to boost, one a line.
        boost: their weight.
    """

    name: str
    model: str
    settings: Mapping[str, Any]
    terms: Path | None = None
    boost: float = SAFE_BOOST


@dataclass(frozen=True)
class Comparison:
    """The sides from what one starts with to what is to be judged, the run they are of, and its language."""

    title: str
    sides: tuple[Side, ...]
    run: FinishedRun | None = None


def comparison_of(arguments: Sequence[str], find: Find) -> Comparison:
    """What to compare for one run, or for two runs or models.

    Raises:
        ConfigError: one model alone, or more than two arguments.
        DataError: a run's report cannot be read, or settings beside a model.
    """
    runs = [read_run(Path(given)) if (Path(given) / REPORT).is_file() else None for given in arguments]
    if len(arguments) == 1 and runs[0] is not None:
        return Comparison(str(runs[0].report["name"]), _sides_of_run(runs[0], find), runs[0])
    if len(arguments) != 2:
        raise ConfigError(f"{' '.join(arguments)}: give one run, or two runs or models to compare")
    names = [Path(given).name or given for given in arguments]
    if names[0] == names[1]:
        names = list(arguments) if arguments[0] != arguments[1] else [f"{names[0]} (1)", f"{names[0]} (2)"]
    sides = tuple(
        Side(name, *find(str(Path(given) / MODEL) if run else given))
        for name, given, run in zip(names, arguments, runs, strict=True)
    )
    return Comparison(" and ".join(names), sides, next(filter(None, runs), None))


def _sides_of_run(run: FinishedRun, find: Find) -> tuple[Side, ...]:
    language = {"language": run.report["settings"].get("language", "en")}
    base, settings = find(str(run.report["settings"]["model"]))
    pretrained = Side(PRETRAINED, base, {**settings, **language})
    adapted, own = find(str(run.folder / MODEL))
    terms = run.folder / BIASING / "terms.txt"
    boost = _boost(run) if terms.is_file() else 0.0
    named = f"{PRETRAINED} with the run's terms"
    boosted = [replace(pretrained, name=named, terms=terms, boost=boost)] if boost else []
    return pretrained, *boosted, Side(ADAPTED, adapted, {**language, **own})


def _boost(run: FinishedRun) -> float:
    """The weight that the run chose for its terms on the pretrained model; 0 where none was better."""
    for row in run.report.get("biasing", {}).get("choices", ()):
        if row["system"] == f"{PRETRAINED} + boost":
            return float(row["chosen"].get("boost", 0.0))
    return SAFE_BOOST
