"""`asr-tv describe`: measured attributes of clips, two sets compared, and a language model's answers about them."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from asr_tv.safe_text import counted, printable

if TYPE_CHECKING:
    from asr_tv.describing.description import Description

LlmOption = Annotated[str | None, typer.Option(help="Language model at an OpenAI-compatible endpoint")]
UrlOption = Annotated[str, typer.Option(help="The endpoint, without /chat/completions")]
KeyOption = Annotated[str, typer.Option(help="Environment variable that holds the endpoint's key")]
DEFAULT_URL, DEFAULT_KEY = "http://localhost:8000/v1", "OPENAI_API_KEY"


def describe(
    clips: Annotated[Path, typer.Argument(help="JSONL manifest with audio")],
    against: Annotated[Path | None, typer.Option(help="Manifest of synthetic clips to compare them with")] = None,
    sample: Annotated[int, typer.Option(min=0, help="Clips that stand for each set; 0: all")] = 200,
    pitch: Annotated[bool, typer.Option(help="Measure pitch, which takes longer than all else")] = True,
    ask: Annotated[str | None, typer.Option(help="A question to the language model about each clip")] = None,
    llm: LlmOption = None,
    llm_url: UrlOption = DEFAULT_URL,
    llm_key: KeyOption = DEFAULT_KEY,
    out: Annotated[Path | None, typer.Option(help="JSONL of the answers to --ask; those it has are kept")] = None,
    language: LanguageOption = "en",
    outside: OutsideOption = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one per core")] = 0,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print a line per clip with its duration, pitch, speed, level and noise, or compare two sets of clips.

    What cannot be measured of a clip is "unknown"; so are gender, age, accent, emotion, intent and C50, unless an
    installed package says them (entry points asr_tv.describers). Each clip is measured once.

    Example: asr-tv describe calls.jsonl --against clips/manifest.jsonl
    """
    from asr_tv.data.corpora.local import read_manifest
    from asr_tv.describing.stage import describe as stage
    from asr_tv.describing.stage import read_described, sampled

    _require_whole(ask, llm, out, against)
    runtime = runtime_for(store, quiet=quiet, workers=workers)
    files = [clips, *([against] if against else [])]
    sets = gathered(*(lambda f=file: read_manifest(f, outside=outside, store=store) for file in files))
    chosen = [sampled(s, sample) if sample else s for s in sets]
    described = [read_described(stage(runtime, s, language, pitch=pitch)) for s in chosen]
    if against is not None:
        _print_gap(described[0], described[1], chosen[1], language, as_json=as_json)
    elif ask is not None and llm is not None and out is not None:
        _ask(described[0], chosen[0], ask, writer_at(llm, llm_url, llm_key), out, runtime, as_json=as_json)
    else:
        left_out = len(sets[0]) - len(chosen[0])
        _print_lines(described[0], left_out, as_json=as_json)


def _require_whole(ask: str | None, llm: str | None, out: Path | None, against: Path | None) -> None:
    problems = []
    if ask is not None and (llm is None or out is None):
        problems.append("--ask: needs --llm, which answers, and --out, where the answers go")
    if ask is None and (llm is not None or out is not None):
        problems.append("--llm and --out: nothing is asked without --ask")
    if ask is not None and against is not None:
        problems.append("--ask and --against: one at a time")
    if problems:
        raise ConfigError(problems)


def writer_at(llm: str, url: str, key: str) -> Any:
    """The language model at an endpoint, whose most likely answers are taken."""
    from asr_tv.text.writing.endpoint import EndpointWriter

    return EndpointWriter(url, llm, os.environ.get(key), temperature=0.0)


def _print_lines(described: "tuple[Description, ...]", left_out: int, *, as_json: bool) -> None:
    from asr_tv.describing.description import seed_transcript

    for one in described:
        line = json.dumps(one.row, ensure_ascii=False) if as_json else printable(seed_transcript(one), keep="")
        typer.echo(line)
    if left_out and not as_json:
        typer.echo(
            f"{counted(left_out, 'clip')} not described: a sample stands for them; --sample 0 takes all", err=True
        )


def _print_gap(
    real: "tuple[Description, ...]", synthetic: "tuple[Description, ...]", clips: Any, language: str, *, as_json: bool
) -> None:
    from asr_tv.cli.console import print_tables, print_text
    from asr_tv.config.run import ScoringConfig
    from asr_tv.pipeline.likeness.gaps import gap_part, gaps_between, suggestions
    from asr_tv.pipeline.likeness.source import voice_pitches
    from asr_tv.pipeline.material import sentence_identity
    from asr_tv.report.likeness import likeness_note, likeness_table
    from asr_tv.scoring.bootstrap import Bootstrap

    how = ScoringConfig()
    gaps = gaps_between(real, synthetic, sentence_identity(language), Bootstrap(how.resamples, how.confidence, seed=0))
    part = gap_part(gaps, suggestions(gaps, real, voice_pitches(clips, synthetic)))
    if as_json:
        typer.echo(json.dumps(part, ensure_ascii=False, indent=1))
        return
    print_text(likeness_note(part))
    print_tables(likeness_table(part))


def _ask(
    described: "tuple[Description, ...]", clips: Any, ask: str, writer: Any, out: Path, runtime: Any, *, as_json: bool
) -> None:
    from asr_tv.cli.stages import say
    from asr_tv.describing.targets import write_targets

    written = write_targets(described, clips, ask, writer, out, runtime.progress)
    row = {"targets": str(out), "answers": written, "model": writer.name}
    say(row, as_json=as_json, text=f"{counted(written, 'answer')} of {writer.name}: {out}")
