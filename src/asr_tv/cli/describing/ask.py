"""`asr-tv ask`: tasks on recordings, answered by a language model from what was measured and heard."""

import json
from pathlib import Path
from typing import Annotated

import typer

from asr_tv.cli.describing.describe import DEFAULT_KEY, DEFAULT_URL, KeyOption, UrlOption, writer_at
from asr_tv.cli.describing.probe import transcribed
from asr_tv.cli.stages import (
    DEFAULT_STORE,
    JsonOption,
    LanguageOption,
    OutsideOption,
    QuietOption,
    StoreOption,
    runtime_for,
)
from asr_tv.safe_text import counted


def ask(
    tasks: Annotated[Path, typer.Argument(help="JSONL of task, instruction, audio, label and options")],
    llm: Annotated[str, typer.Option(help="Language model at an OpenAI-compatible endpoint")],
    out: Annotated[Path, typer.Option(help="JSONL of the answers; those it has are kept")],
    model: Annotated[str, typer.Option(help="Recogniser that hears the recordings")] = "openai/whisper-tiny.en",
    llm_url: UrlOption = DEFAULT_URL,
    llm_key: KeyOption = DEFAULT_KEY,
    language: LanguageOption = "en",
    outside: OutsideOption = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score a cascade on your own tasks: a recogniser and measurements describe a clip, a language model answers.

    Printed for each task: exact matches after normalisation with an interval, what chance would get, and how many
    answers were none of the options.

    Example: asr-tv ask tasks.jsonl --llm qwen --llm-url http://localhost:8000/v1 --out answers.jsonl
    """
    from asr_tv.config.run import ScoringConfig
    from asr_tv.data.text_files import read_text
    from asr_tv.describing.cascade import answer_tasks, recordings_of, with_heard
    from asr_tv.describing.stage import describe as stage
    from asr_tv.describing.stage import read_described
    from asr_tv.scoring.bootstrap import Bootstrap
    from asr_tv.scoring.questions.tasks import parse_tasks, score_tasks

    items = parse_tasks(read_text(tasks), str(tasks))
    recordings = recordings_of([item.audio for item in items], tasks.parent, outside=outside)
    runtime = runtime_for(store, quiet=quiet)
    heard = transcribed(runtime, model, recordings, language)
    described = read_described(stage(runtime, with_heard(recordings, heard), language))
    prompts = {item.id: (item.audio, item.instruction, item.options) for item in items}
    answers = answer_tasks(prompts, described, writer_at(llm, llm_url, llm_key), out, runtime.progress)
    how = ScoringConfig()
    scores = score_tasks(items, answers, Bootstrap(how.resamples, how.confidence, seed=0))
    if as_json:
        typer.echo(json.dumps({"cascade": [model, llm], "tasks": [s.row for s in scores]}, indent=1))
        return
    typer.echo(f"A cascade of {model} and {llm}, {counted(len(items), 'question')}; no score of any leaderboard.")
    for s in scores:
        between = "no interval" if s.ci_low is None else f"{s.ci_low:.0%} to {s.ci_high:.0%}"
        typer.echo(
            f"{s.task}: {s.accuracy:.1%} right ({between}), chance {s.chance:.1%}, "
            f"{s.unanswered:.1%} unanswered, {counted(s.items, 'question')}"
        )
