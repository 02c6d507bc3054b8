"""`asr-tv report` of one run or a leaderboard of several, and `asr-tv diff` of two word by word."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_tv.cli.adapt import print_report
from asr_tv.cli.learning.stream import STREAM, print_stream
from asr_tv.cli.stages import DEFAULT_STORE, JsonOption, StoreOption
from asr_tv.errors import ConfigError, DataError, gathered
from asr_tv.safe_text import counted, printable

if TYPE_CHECKING:
    from rich.text import Text

    from asr_tv.runs.finished import FinishedRun
    from asr_tv.scoring.bootstrap import Difference
    from asr_tv.scoring.evaluation import Evaluation
    from asr_tv.scoring.word_diff import UtteranceDiff
    from asr_tv.store.results import Store

SystemOption = Annotated[str, typer.Option(help="Row of the report")]
SetOption = Annotated[str, typer.Option("--set", help="target, source or general: the run's test set")]

_MISSING = "***"  # a word that one side lacks, as in NIST's sclite
_STYLES = {"right": "", "wrong": "bold red", "missing": "red", "added": "bold magenta"}


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, such as runs/demo")],
    system: SystemOption = "adapted",
    set_: SetOption = "target",
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option(help="Only the verdict, or the order of the runs")] = False,
) -> None:
    """Print a run's tables and verdict; for several runs, rank one system by WER on one test set.

    For a run that was stopped: its results so far and what is missing. Several runs that were not scored on the same
    recordings in the same way are refused.

    Example: asr-tv report runs/demo
    """
    from asr_tv.report.systems import rate_name
    from asr_tv.runs.finished import read_run
    from asr_tv.store.results import Store

    if len(runs) == 1 and (runs[0] / STREAM).is_file():
        print_stream(runs[0], as_json=as_json)
        return
    if len(runs) == 1:
        partial = None
        if (runs[0] / "run.json").is_file() and not (runs[0] / "report.json").exists():
            from asr_tv.runs.unfinished import unfinished_report  # takes seconds: it loads torch

            partial = unfinished_report(runs[0], store)
        content = partial or read_run(runs[0]).report
        if as_json:
            typer.echo(json.dumps(content, ensure_ascii=False, indent=1))
        elif quiet:
            typer.echo(printable(content["verdict"]))
        else:
            print_report(content)
        if partial and not quiet:
            typer.echo(f"report so far: {runs[0] / 'unfinished.html'}", err=True)
        return
    _require_set(set_)
    if len({run.resolve() for run in runs}) < len(runs):
        raise ConfigError(f"runs: one is named twice: {', '.join(map(str, runs))}")
    read = gathered(*(lambda run=run: read_run(run) for run in runs))
    board = _leaderboard(read, system, set_, Store(store))
    if as_json:
        typer.echo(json.dumps({"system": system, "set": set_, "runs": board}, ensure_ascii=False, indent=1))
    elif quiet:
        typer.echo(printable("\n".join(row["run"] for row in board)))
    else:
        title = f"{system} on {set_} {board[0]['domain']}, {counted(board[0]['utterances'], 'utterance')}"
        _print_board(board, title, rate_name([read[0].row(system, set_)]))


def _leaderboard(runs: Sequence["FinishedRun"], system: str, role: str, store: "Store") -> list[dict[str, Any]]:
    """One row per run, best first; differences are to the best, on the same utterances."""
    from asr_tv.scoring.word_diff import different_conditions

    found = gathered(*(lambda run=run: run.row(system, role) for run in runs))
    rows = {str(run.folder): row for run, row in zip(runs, found, strict=True)}
    if problems := different_conditions(rows):
        raise DataError(problems)
    order = sorted(runs, key=lambda run: (rows[str(run.folder)]["wer"], str(run.folder)))
    return [_board_row(run, order[0], rows[str(run.folder)], system, role, store) for run in order]


def _board_row(
    run: "FinishedRun", best: "FinishedRun", row: Mapping[str, Any], system: str, role: str, store: "Store"
) -> dict[str, Any]:
    from asr_tv.report.scores import finite
    from asr_tv.report.verdict import difference_verdict

    kept = ("domain", "wer", "ci_low", "ci_high", "substitutions", "deletions", "insertions", "utterances", "words")
    found = {"run": str(run.folder), "name": run.report["name"], **{key: row[key] for key in kept}}
    found |= {"scaling_coef": row["scaling_coef"], "audio_context": row["conditions"]["audio_context"]}
    against = None if run is best else _difference(run, best, system, role, store)
    return found | {
        "difference": against and finite(against.difference),
        "difference_ci": against and [finite(against.low), finite(against.high)],
        "p": against and against.p,
        "verdict": against and difference_verdict(against.low, against.high),
    }


def _difference(a: "FinishedRun", b: "FinishedRun", system: str, role: str, store: "Store") -> "Difference | None":
    """None where the store has not kept the utterances: overlapping intervals alone decide nothing."""
    try:
        left, right = a.evaluation(system, role, store), b.evaluation(system, role, store)
    except DataError:
        return None
    return _compared(left, right, a)


def _compared(left: "Evaluation", right: "Evaluation", run: "FinishedRun") -> "Difference":
    from asr_tv.scoring.evaluation import compare

    how = run.report["bootstrap"]
    return compare(left, right, resamples=how["resamples"], confidence=how["confidence"], seed=how["seed"])


def _print_board(board: Sequence[Mapping[str, Any]], title: str, rates: str) -> None:
    from asr_tv.cli.console import print_tables
    from asr_tv.report.table import build, count, difference, interval, number, rate, text, words

    def to_the_best(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        low, high = row["difference_ci"] or (None, None)
        return {**row, "ci_low": low, "ci_high": high} if row["verdict"] else None

    (column, cell), *rest = difference(to_the_best, verdict="this is")
    fields = [
        words("run", priority=0),
        rate(f"{rates} %", "wer", priority=0),
        interval(f"{rates} %"),
        (
            replace(column, title="to the best, points"),
            lambda row: cell(row) if row["verdict"] or row is board[0] else text("not in the store"),
        ),
        *rest,
        *map(count, ("substitutions", "deletions", "insertions")),
        number("c", "scaling_coef"),
        words("context", "audio_context"),
    ]
    print_tables(build("board", title, board, fields))


def diff(
    run_a: Annotated[Path, typer.Argument(help="Folder of a run")],
    run_b: Annotated[Path, typer.Argument(help="Folder of another, or the same one with --against")],
    system: SystemOption = "adapted",
    against: Annotated[str | None, typer.Option(help="Row of the second run's report  [default: --system]")] = None,
    set_: SetOption = "target",
    limit: Annotated[int, typer.Option(min=0, help="Utterances to print; 0: all that differ")] = 20,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option(help="Only the summary")] = False,
) -> None:
    """Compare two runs word by word on the recordings both were scored on; unequal conditions are refused.

    Words that a side got wrong are in capitals, *** is a word it lacks. Utterances that differ most come first.

    Example: asr-tv diff runs/demo runs/demo --system adapted --against target_synthetic
    """
    from asr_tv.report.scores import finite, judged
    from asr_tv.report.systems import rate_name
    from asr_tv.runs.finished import read_run
    from asr_tv.scoring.word_diff import tally, word_diffs
    from asr_tv.store.results import Store

    _require_set(set_)
    opened, names = Store(store), (system, against or system)
    runs = gathered(lambda: read_run(run_a), lambda: read_run(run_b))
    left, right = gathered(
        lambda: runs[0].evaluation(names[0], set_, opened), lambda: runs[1].evaluation(names[1], set_, opened)
    )
    diffs = word_diffs(left, right)
    sides = [
        {"run": str(r.folder), "system": n, "wer": finite(e.wer)}
        for r, n, e in zip(runs, names, (left, right), strict=True)
    ]
    row = {
        "a": sides[0],
        "b": sides[1],
        "set": set_,
        "utterances": len(diffs),
        **judged(_compared(left, right, runs[0])),
        **asdict(tally(diffs)),
    }
    if as_json:
        shown = [] if quiet else [_diff_row(d) for d in diffs]
        typer.echo(json.dumps(row | {"diffs": shown}, ensure_ascii=False, indent=1, allow_nan=False))
        return
    if not quiet:
        _print_diffs([d for d in diffs if not d.same_words], limit)
    rates = rate_name([runs[0].row(names[0], set_)])
    typer.echo(printable(_summary(row, runs[0].report["bootstrap"]["confidence"], rates)))


def _require_set(name: str) -> None:
    from asr_tv.runs.finished import ROLES

    if name not in ROLES:
        raise ConfigError(f"--set {name}: one of {', '.join(ROLES)}")


def _diff_row(diff: "UtteranceDiff") -> dict[str, Any]:
    words = [column._asdict() for column in diff.columns]
    return {"id": diff.id, "domain": diff.domain, "errors_a": diff.errors_a, "errors_b": diff.errors_b, "words": words}


def _summary(row: Mapping[str, Any], confidence: float, rates: str) -> str:
    named = zip("AB", (row["a"], row["b"]), strict=True)
    sides = [f"{n} = {s['run']} {s['system']}: {_percent(s['wer'])} {rates}" for n, s in named]
    unknown = row["difference"] is None or row["ci_low"] is None or row["ci_high"] is None
    span = "" if unknown else f", {confidence:.0%} interval {100 * row['ci_low']:+.1f} to {100 * row['ci_high']:+.1f}"
    points = "unknown" if row["difference"] is None else f"{100 * row['difference']:+.1f} points"
    equal = row["utterances"] - row["better_a"] - row["better_b"]
    lines = [
        *sides,
        f"A minus B: {points}{span}: {'A is ' if row['verdict'] in ('better', 'worse') else ''}{row['verdict']}",
        f"of {row['utterances']} utterances A has fewer errors in {row['better_a']}, B in {row['better_b']}, "
        f"as many in {equal}; the same words in {row['same_words']}",
        f"reference words that only A has right: {row['only_a_right']}, only B: {row['only_b_right']}; "
        f"inserted by A: {row['inserted_a']}, by B: {row['inserted_b']}",
    ]
    return "\n".join(lines)


def _percent(rate: float | None) -> str:
    return "no" if rate is None else f"{rate:.1%}"


def _print_diffs(diffs: Sequence["UtteranceDiff"], limit: int) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    ordered = sorted(diffs, key=lambda d: (-abs(d.errors_a - d.errors_b), d.id))
    for d in ordered[: limit or None]:
        title = Text(printable(d.id, keep=""), style="bold")
        console.print(title.append(f"  errors: A {d.errors_a}, B {d.errors_b}", style="not bold"))
        for line in _lines(d, max(40, console.width) - 6):
            console.print(line)
        console.print()
    if 0 < limit < len(ordered):
        console.print(f"{len(ordered) - limit} more differ: --limit 0 shows them\n")


def _lines(diff: "UtteranceDiff", width: int) -> "Iterator[Text]":
    """Three lines, reference, A and B, aligned word by word, in as many blocks as the width requires."""
    from rich.text import Text

    block: list[tuple[str, str, str]] = []
    used = 0
    for column in diff.columns:
        cells = _cells(column)
        size = max(map(len, cells)) + 1
        if block and used + size > width:
            yield from _block(block)
            block, used = [], 0
        block.append(cells)
        used += size
    if block:
        yield from _block(block)
    else:
        yield Text("  (nothing was said or heard)")


def _cells(column: Any) -> tuple[str, str, str]:
    reference = column.reference
    heard = [word if word == reference else word.upper() or _MISSING for word in (column.a, column.b)]
    # Of an insertion that only one side made, the other side rightly has nothing.
    heard = [text if reference or word else "" for text, word in zip(heard, (column.a, column.b), strict=True)]
    return printable(reference or _MISSING), printable(heard[0]), printable(heard[1])


def _block(block: Sequence[tuple[str, str, str]]) -> "Iterator[Text]":
    from rich.text import Text

    for number, label in enumerate(("ref", "A  ", "B  ")):
        line = Text(f"  {label} ")
        for cells in block:
            line.append(cells[number].ljust(max(map(len, cells))), style=_style(cells[0], cells[number], number))
            line.append(" ")
        line.rstrip()
        yield line


def _style(reference: str, word: str, row: int) -> str:
    if row == 0 or not word or word == reference:
        return _STYLES["right"]
    if word == _MISSING:
        return _STYLES["missing"]
    return _STYLES["added" if reference == _MISSING else "wrong"]
