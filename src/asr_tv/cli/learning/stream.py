"""`asr-tv stream`: recordings in time order, agents that learn from feedback, and the curve that shows it."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_tv.cli.models import model_path
from asr_tv.cli.stages import (
    DEFAULT_STORE,
    JsonOption,
    LanguageOption,
    OutsideOption,
    QuietOption,
    StoreOption,
    runtime_for,
)
from asr_tv.errors import ConfigError, gathered
from asr_tv.safe_text import printable

if TYPE_CHECKING:
    from asr_tv.runs.retraining import Followed
    from asr_tv.store.runtime import Runtime
    from asr_tv.streaming.learners import Retraining
    from asr_tv.streaming.table import StreamPlan


class Feedback(StrEnum):
    """What agents are told of their answers."""

    none = "none"
    right_wrong = "right-wrong"
    corrected = "corrected"


def stream(
    model: Annotated[str, typer.Argument(help="Run, model name or folder")],
    manifest: Annotated[
        Path | None, typer.Argument(help="JSONL manifest with audio and texts, in the order of time")
    ] = None,
    feedback: Annotated[Feedback, typer.Option(help="What agents are told of their answers")] = Feedback.none,
    agents: Annotated[str, typer.Option(help="Comma-separated; an unknown one lists them all")] = "frozen",
    glossary: Annotated[
        Path | None, typer.Option(help="The target's terms, one a line, for the agents glossary")
    ] = None,
    boost: Annotated[float, typer.Option(min=0, help="Weight of boosted terms")] = 1.0,
    ask: Annotated[float, typer.Option(min=0, max=1, help="Share of the turns that get feedback")] = 1.0,
    tolerance: Annotated[float, typer.Option(min=0, help="WER up to which an answer is called right")] = 0.1,
    orders: Annotated[int, typer.Option(min=1, help="The manifest's order, then shuffled ones")] = 1,
    every: Annotated[int, typer.Option(min=1, help="Verified recordings between two trainings")] = 16,
    replay: Annotated[
        Path | None, typer.Option(help="Labelled source recordings to hear among the verified ones")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value of the training; repeatable")] = None,
    follow: Annotated[
        Path | None, typer.Option(help="Folder of recordings and corrections.jsonl to watch instead")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="With --follow: take what is there, and end")] = False,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="With --follow: also tune after every so many verified")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; with --follow for journal, texts, terms")
    ] = None,
    normalizer: Annotated[str, typer.Option(help="english, basic, characters or none")] = "english",
    language: LanguageOption = "en",
    seed: Annotated[int, typer.Option()] = 42,
    outside: OutsideOption = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Play recordings to agents that learn while they listen, and compare them with the recogniser as it is.

    Agents hear waves; texts are for scoring and for the feedback alone. A killed stream goes on where it was.

    Example: asr-tv stream openai/whisper-tiny.en calls.jsonl --feedback corrected --agents corrections
    """
    runtime = runtime_for(store, quiet=quiet)
    if (manifest is None) == (follow is None):
        raise ConfigError("stream: give a manifest to compare agents on, or --follow FOLDER to listen to")
    learning = _retraining(every, replay, set_ or [], outside, store)
    if follow is not None:
        _follow(runtime, model, follow, out, once, retrain, learning, language, boost, normalizer)
        return
    from asr_tv.report.learning.stream import render_stream
    from asr_tv.store.results import write_atomically
    from asr_tv.streaming.harness import Teaching
    from asr_tv.streaming.specs import Setup
    from asr_tv.streaming.table import StreamPlan

    names = tuple(dict.fromkeys(name.strip() for name in agents.split(",") if name.strip()))
    setup = Setup(language, _terms(glossary), boost, learning)
    plan = StreamPlan(names, setup, Teaching(feedback.value, ask, tolerance, seed), orders)
    part = _compared(runtime, model, manifest, plan, normalizer, outside=outside)
    if out is not None:
        write_atomically(out / STREAM, json.dumps(part, ensure_ascii=False, indent=1) + "\n")
        write_atomically(out / "stream.md", render_stream(part))
    typer.echo(json.dumps(part, ensure_ascii=False) if as_json else render_stream(part))


def _terms(glossary: Path | None) -> tuple[str, ...]:
    from asr_tv.decoding.biasing.phrases import read_phrases

    return tuple(phrase.text for phrase in read_phrases(glossary)) if glossary else ()


def _compared(
    runtime: "Runtime", model: str, manifest: Path | None, plan: "StreamPlan", normalizer: str, *, outside: bool
) -> dict[str, Any]:
    """The table of a stream, once it is clear that its agents can be made."""
    from asr_tv.data.corpora.local import read_manifest
    from asr_tv.models.audio_context import FULL_SECONDS, refuse_longer
    from asr_tv.models.family import family_of
    from asr_tv.models.locate import resolve_model
    from asr_tv.scoring.bootstrap import Bootstrap
    from asr_tv.store.payload import MODEL
    from asr_tv.streaming.specs import check_agents
    from asr_tv.streaming.table import stream_table
    from asr_tv.text.normalize import get_normalizer

    assert manifest is not None  # nosec B101 - for the type checker
    recordings, normalize, base = gathered(
        lambda: read_manifest(manifest, outside=outside, store=runtime.store.root),
        lambda: get_normalizer(normalizer),
        lambda: resolve_model(model_path(model), runtime.store),
    )
    family = family_of(base.path / MODEL)
    check_agents(plan.agents, family, plan.teaching.mode, plan.setup)
    if family == "whisper":
        refuse_longer(recordings, FULL_SECONDS, "cut it before")
    return stream_table(runtime, base, recordings, plan, normalize, Bootstrap(2000, 0.95, 17))


STREAM = "stream.json"
"""In a folder, what `asr-tv report` prints of a stream."""


def print_stream(folder: Path, *, as_json: bool) -> None:
    """The report of a finished stream.

    Raises:
        DataError: the file is not what `asr-tv stream` writes.
    """
    from asr_tv.data.text_files import read_text
    from asr_tv.errors import DataError
    from asr_tv.report.learning.stream import render_stream

    try:
        part = json.loads(read_text(folder / STREAM))
        shown = render_stream(part)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / STREAM}: not what asr-tv stream writes: {error!r}") from error
    typer.echo(json.dumps(part, ensure_ascii=False) if as_json else printable(shown, keep="\n"))


def _retraining(every: int, replay: Path | None, settings: list[str], outside: bool, store: Path) -> "Retraining":
    from asr_tv.config.file import section_of
    from asr_tv.config.run import TrainingConfig
    from asr_tv.data.corpora.local import read_manifest
    from asr_tv.streaming.learners import Retraining

    usual = Retraining().training.model_dump(mode="json")
    training, source = gathered(
        lambda: section_of(TrainingConfig, settings, usual),
        lambda: read_manifest(replay, outside=outside, store=store) if replay else None,
    )
    return Retraining(every, training, source)


_PAUSE_SECONDS = 2.0


def _follow(
    runtime: "Runtime",
    model: str,
    folder: Path,
    out: Path | None,
    once: bool,
    retrain: bool,
    learning: "Retraining",
    language: str,
    boost: float,
    normalizer: str,
) -> None:
    """Looks into the folder again and again, or once; says what is new."""
    import time

    from asr_tv.errors import DataError
    from asr_tv.runs.retraining import follow_once
    from asr_tv.streaming.specs import Setup
    from asr_tv.text.normalize import get_normalizer

    if out is None:
        raise ConfigError("--follow: needs --out FOLDER for the journal, the texts and the terms")
    if not folder.is_dir():
        raise ConfigError(f"--follow {folder}: there is no such folder")
    setup, normalize = Setup(language, boost=boost, retraining=learning), get_normalizer(normalizer)
    told: set[str] = set()
    while True:
        done = follow_once(runtime, model_path(model), folder, out, setup, normalize, retrain=retrain)
        told = _say_new(done, told)
        if once:
            if done.look.problems:
                raise DataError(done.look.problems)
            return
        time.sleep(_PAUSE_SECONDS)


def _say_new(done: "Followed", told: set[str]) -> set[str]:
    """Prints what was heard and learnt, and each oddity once; what was told so far."""
    for hearing in done.look.heard:
        typer.echo(printable(f"{hearing.audio}\t{hearing.text}", keep="\t"))
    odd = [
        *done.look.problems,
        *(f"correction of {name}: no such recording was heard yet; it is kept" for name in done.look.unheard),
        *(f"corrections of {name}: more than one; the last counts" for name in done.look.twice),
    ]
    if done.promotion is not None:
        what = "promoted" if done.promotion.promoted else "not promoted"
        odd.append(f"tuned on {done.trained_on} verified recordings, {what}: {done.promotion.reason}")
    for line in odd:
        if line not in told:
            typer.echo(printable(line), err=True)
    return {*told, *odd}
