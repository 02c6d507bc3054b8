"""`asr-tv export`: a run's model, or any checkpoint, in the form another program needs."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_tv.cli.models import model_settings
from asr_tv.cli.stages import DEFAULT_STORE, JsonOption, OutsideOption, QuietOption, StoreOption, parsed_language, say
from asr_tv.errors import ConfigError, DataError, gathered
from asr_tv.safe_text import counted

if TYPE_CHECKING:
    from asr_tv.data.manifest import Manifest
    from asr_tv.report.export_card import Check
    from asr_tv.runs.export import Examination
    from asr_tv.runs.finished import FinishedRun
    from asr_tv.store.results import Record, Store
    from asr_tv.store.runtime import Runtime


def export(
    source: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="Folder of a run, or a model by name or path")],
    form: Annotated[str, typer.Option("--format", help="hf, ctranslate2 (faster-whisper) or openai (openai-whisper)")],
    out: Annotated[Path | None, typer.Option(help="Folder  [default: RUN/exports/FORMAT]")] = None,
    precision: Annotated[str, typer.Option(help="fp32 or fp16; for ctranslate2 also int8")] = "fp32",
    clips: Annotated[int, typer.Option(min=0, help="Recordings to re-score it on; 0: none")] = 50,
    max_wer_change: Annotated[
        float, typer.Option(min=0, max=1, help="How far WER may move, up or down; 0.01 is one point")
    ] = 0.01,
    manifest: Annotated[
        Path | None,
        typer.Option(help="JSONL manifest to re-score on  [default: the run's test recordings; of a model, TTS]"),
    ] = None,
    outside: OutsideOption = False,
    language: Annotated[
        str | None, typer.Option(help="  [default: the model's own settings, else en]", callback=parsed_language)
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Export a model, load it in its own runtime, re-score it there, and keep it only if WER stays where it was.

    Example: asr-tv export runs/demo --format ctranslate2 --precision int8
    """
    from asr_tv.cli.console import progress_for
    from asr_tv.data.corpora.local import read_manifest
    from asr_tv.models.formats import check_exportable
    from asr_tv.models.locate import resolve_model
    from asr_tv.runs.export import export as stage
    from asr_tv.runs.export import require_export_folder
    from asr_tv.store.payload import BIASING
    from asr_tv.store.results import Store
    from asr_tv.store.runtime import Runtime

    opened = Store(store)
    _, run = gathered(lambda: check_exportable(form, precision), lambda: _run(source))
    folder = out or _default_folder(run, form, precision)
    weights = str(run.folder / "model") if run else source
    _, settings, base = gathered(
        lambda: require_export_folder(folder), lambda: model_settings(weights), lambda: resolve_model(weights, opened)
    )
    listed = (lambda: read_manifest(manifest, outside=outside, store=store)) if manifest else None
    settings = {"audio_context": "full"} | settings | {"language": language or settings.get("language", "en")}
    progress = progress_for(quiet=quiet)
    done = stage(
        base,
        form,  # type: ignore[arg-type]  # checked above
        folder,
        card=_card(base, run, form, precision, settings["language"]),
        settings=settings | {"without_timestamps": True},
        store=opened,
        language=settings["language"],
        precision=precision,  # type: ignore[arg-type]
        examination=_examination(run, listed, clips, max_wer_change, settings["language"], Runtime(opened, progress)),
        words=run.folder / BIASING if run and (run.folder / BIASING).is_dir() else None,
        progress=progress,
    )
    _say(done.check, folder, form, precision, as_json)


def _run(source: str) -> "FinishedRun | None":
    """The run of a folder, None for a model; refuses what is neither, and a run that did not finish."""
    from asr_tv.runs.finished import REPORT, read_run

    path = Path(source)
    of_run = any((path / name).exists() for name in (REPORT, "run.json", "model"))
    if of_run and not (path / "config.json").exists():
        return read_run(path)
    if not path.exists() and path.parent != Path() and path.parent.is_dir():
        raise DataError(f"{source}: no such run or model; `asr-tv adapt` makes a run's folder when it ends")
    return None


def _default_folder(run: "FinishedRun | None", form: str, precision: str) -> Path:
    if run is None:
        raise ConfigError("--out: a model that is no run needs a folder to go to")
    return run.folder / "exports" / (form if precision == "fp32" else f"{form}-{precision}")


def _examination(
    run: "FinishedRun | None",
    listed: "Callable[[], Manifest] | None",
    clips: int,
    bound: float,
    language: str,
    runtime: "Runtime",
) -> "Examination | None":
    from asr_tv.data.corpora.local import opened
    from asr_tv.runs.export import Examination, chosen_clips
    from asr_tv.runs.spoken_clips import LANGUAGE, spoken_clips
    from asr_tv.text.normalize import sentence_normalizer

    if clips == 0:
        return None
    if listed is not None:
        return Examination(chosen_clips(listed(), clips), sentence_normalizer(language), bound)
    if run is None:
        return Examination(spoken_clips(runtime, clips), "english", bound, LANGUAGE)
    recordings, normalizer = _recordings(run, runtime.store)
    return Examination(opened(chosen_clips(recordings, clips)), normalizer, bound)


def _recordings(run: "FinishedRun", store: "Store") -> tuple[Any, str]:
    """The run's test recordings, of the target where it has some, and the normaliser of their scores."""
    from asr_tv.report.systems import ADAPTED
    from asr_tv.runs.finished import ROLES

    scored = {row["role"]: row for row in run.report["systems"] if row["name"] == ADAPTED and row["wer"] is not None}
    for role in ROLES:
        if role in scored and (found := run.recordings(role, store)) is not None:
            return found, scored[role]["conditions"]["normalizer"]
    raise DataError(
        f"{run.folder}: {store.root} has not kept its test recordings; "
        "--manifest names others, --clips 0 exports without re-scoring"
    )


def _card(
    base: "Record", run: "FinishedRun | None", form: str, precision: str, language: str
) -> "Callable[[Check | None], str]":
    from asr_tv.models.vocabulary import is_multilingual, load_tokenizer
    from asr_tv.report.export_card import export_card, plain_card

    written = run.folder / "model" / "README.md" if run else None
    own = written.read_text(encoding="utf-8") if written and written.is_file() else None
    details = base.details
    card = own or plain_card(str(details.get("source", "model")), str(details.get("licence", "not stated")), language)
    multilingual = is_multilingual(load_tokenizer(base.path / "model"))

    def make(check: "Check | None") -> str:
        report = run.report if run else None
        return export_card(
            card, form, precision, language=language, multilingual=multilingual, check=check, report=report
        )

    return make


def _say(check: "Check | None", folder: Path, form: str, precision: str, as_json: bool) -> None:
    row: dict[str, Any] = {"path": str(folder), "format": form, "precision": precision}
    if check is None:
        text = "not re-scored: no recordings were given"
    else:
        row |= asdict(check)
        text = (
            f"{check.runtime} has {check.wer_after:.2%} {check.rates} on {counted(check.clips, 'clip')}, "
            f"asr-tv had {check.wer_before:.2%} (bound {check.max_wer_change:.2%}); "
            f"the same words on {check.same_words}"
        )
    say(row, as_json=as_json, text=f"{folder}: {text}")
