"""`asr-tv store`: list a store's results, check them, remove what no run needs, and pin what has to stay."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_tv.cli.stages import DEFAULT_STORE, JsonOption, StoreOption
from asr_tv.errors import ConfigError, DataError
from asr_tv.safe_text import counted

if TYPE_CHECKING:
    from asr_tv.report.table import Field
    from asr_tv.store.garbage import Claim, CollectionPlan
    from asr_tv.store.inventory import Entry

app = typer.Typer(help="Look at a store, check it, and clean it up.", no_args_is_help=True, rich_markup_mode=None)

RunsOption = Annotated[Path, typer.Option(help="Folder of runs; results named in its reports are kept")]
_RUNS = Path("runs")
_SECONDS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


@app.command("ls")
def ls(
    stage: Annotated[str | None, typer.Option(help="One stage, such as finetune")] = None,
    run: Annotated[str | None, typer.Option(help="What one run uses: its folder, such as runs/demo")] = None,
    store: StoreOption = DEFAULT_STORE,
    runs: RunsOption = _RUNS,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option(help="Only stage/key")] = False,
) -> None:
    """List results with their size, age, and the runs that use them.

    Example: asr-tv store ls --stage finetune
    """
    from asr_tv.store.garbage import Policy, claims_on
    from asr_tv.store.inventory import age, scan

    root = _root(store)
    found = claims_on(root, Policy(reports=runs))
    wanted = None if run is None else _of_run(found, run)
    rows: list[dict[str, Any]] = [
        {
            "stage": entry.stage,
            "key": entry.key,
            "finished": entry.finished,
            "bytes": entry.size,
            "age_seconds": round(age(entry)),
            "pinned": any(k.why == "pinned" and entry.name in k.entries for k in found),
            "used_by": sorted({_short(k) for k in found if k.why and entry.name in k.entries}),
        }
        for entry in scan(root).entries
        if stage in (None, entry.stage) and (wanted is None or entry.name in wanted)
    ]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    elif quiet:
        typer.echo("\n".join(f"{row['stage']}/{row['key']}" for row in rows))
    else:
        _print_results(rows)


def _print_results(rows: Sequence[Mapping[str, Any]]) -> None:
    from asr_tv.cli.console import print_rows
    from asr_tv.report.table import Cell, field, text, words

    fields = [
        field("stage", lambda row: text(row["stage"] if row["finished"] else f"{row['stage']} (unfinished)")),
        words("key"),
        _size_field("size", "bytes"),
        field("age", lambda row: Cell(_age(row["age_seconds"]), number=row["age_seconds"]), numeric=True),
        field("pinned", lambda row: text("yes" if row["pinned"] else "")),
        field("used by", lambda row: text(", ".join(row["used_by"]))),
    ]
    print_rows(rows, fields)


def _size_field(title: str, key: str) -> "Field":
    from asr_tv.report.table import Cell, field

    return field(title, lambda row: Cell(_bytes(row[key]), number=row[key]), numeric=True)


@app.command("du")
def du(
    store: StoreOption = DEFAULT_STORE,
    runs: RunsOption = _RUNS,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option(help="Only the total, in bytes")] = False,
) -> None:
    """Show what takes up space, per stage and per run, and what a clean-up would free.

    Example: asr-tv store du
    """
    from asr_tv.cli.console import print_rows
    from asr_tv.report.table import count, words
    from asr_tv.store.garbage import Policy, plan

    root = _root(store)
    todo = plan(root, Policy(reports=runs))
    stages = {
        r["stage"]: {"results": r["results"] + r["unfinished"], "bytes": r["bytes"]}
        for r in _by_stage(todo.inventory.entries)
    }
    if clips := todo.inventory.clips:
        stages["clips"] = {"results": len(clips), "bytes": sum(clips.values())}
    row: dict[str, Any] = {
        "stages": stages,
        "runs": [_run_row(keeper, todo) for keeper in todo.claims if keeper.entries],
        "bytes": sum(r["bytes"] for r in stages.values()) + todo.inventory.trash,
        "gc_frees": todo.freed,
    }
    if as_json:
        typer.echo(json.dumps(row, ensure_ascii=False, indent=1))
        return
    if quiet:
        typer.echo(row["bytes"])
        return
    sizes = [count("results"), _size_field("size", "bytes")]
    print_rows([{"stage": name, **counts} for name, counts in stages.items()], [words("stage"), *sizes])
    print_rows(row["runs"], [words("run"), *sizes, _size_field("used by it alone", "alone_bytes")])
    typer.echo(f"{_bytes(row['bytes'])} in all; asr-tv store gc would free {_bytes(todo.freed)}")


@app.command("verify")
def verify(
    repair: Annotated[bool, typer.Option(help="Remove damaged results; the next run makes them again")] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option(help="No progress; only damaged results")] = False,
) -> None:
    """Read every byte of a store and name each result that has changed. Exit code 1 if any is left.

    Example: asr-tv store verify --repair
    """
    from asr_tv.cli.console import progress_for
    from asr_tv.store.inventory import repair as take_out
    from asr_tv.store.inventory import scan, verify_store

    root = _root(store)
    rows: list[dict[str, Any]] = []
    for damage in verify_store(root, progress_for(quiet=quiet or as_json)):
        removed = repair and take_out(root, damage)
        rows.append({"stage": damage.stage, "key": damage.key, "problems": list(damage.problems), "removed": removed})
        if not as_json:
            for problem in damage.problems:
                typer.echo(f"damaged: {damage.stage} {damage.key}: {problem}{'; removed' if removed else ''}")
    inventory = scan(root)
    if as_json:
        typer.echo(json.dumps({"damaged": rows}, ensure_ascii=False, indent=1))
    elif not quiet:
        results = sum(entry.finished for entry in inventory.entries)
        left = f"{len(rows)} damaged" if rows else "all whole"
        hint = "" if repair or not rows else "; --repair removes them, and the next run makes them again"
        typer.echo(f"{counted(results, 'result')} and {counted(len(inventory.clips), 'clip')}: {left}{hint}")
    if any(not row["removed"] for row in rows):
        raise typer.Exit(1)


@app.command("gc")
def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it, only say what would go")] = False,
    keep_last: Annotated[int | None, typer.Option(min=0, help="Keep this many runs, the most recently used")] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Forget runs not used for this long, such as 12h, 30d or 8w")
    ] = None,
    while_running: Annotated[
        bool, typer.Option(help="Also during a run, which may then have to make again what it has not asked for yet")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    runs: RunsOption = _RUNS,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option(help="Only the bytes")] = False,
) -> None:
    """Remove what no run needs. Kept: runs whose folder exists, pinned results, and runs in progress.

    Example: asr-tv store gc --keep-last 3 --yes
    """
    from asr_tv.store.garbage import Policy, collect, plan

    root = _root(store)
    policy = Policy(keep_last, _age_in_seconds(older_than), while_running, runs)
    todo = collect(root, policy) if yes else plan(root, policy)
    if as_json:
        typer.echo(json.dumps(_gc_row(todo, removed=yes), ensure_ascii=False, indent=1))
    elif quiet:
        typer.echo(todo.freed)
    else:
        _print_gc(todo, removed=yes)


@app.command("pin")
def pin(
    what: Annotated[list[str], typer.Argument(help="A run's folder, such as runs/demo, or stage/key")],
    store: StoreOption = DEFAULT_STORE,
    runs: RunsOption = _RUNS,
    as_json: JsonOption = False,
) -> None:
    """Keep a run's results, or one result with all it was made from, even if the run's folder goes.

    Example: asr-tv store pin runs/demo
    """
    from asr_tv.store.uses import Pin, turn_lock, write_pin

    root = _root(store)
    pins = [Pin(_pin_name(name), _pinned_entries(root, name, runs)) for name in what]
    with turn_lock(root):
        for each in pins:
            write_pin(root, each)
    row = [{"pinned": each.what, "results": len(each.entries)} for each in pins]
    text = "\n".join(f"pinned {each.what}: {counted(len(each.entries), 'result')}" for each in pins)
    typer.echo(json.dumps(row, ensure_ascii=False) if as_json else text)


@app.command("unpin")
def unpin(
    what: Annotated[list[str], typer.Argument(help="The name it was pinned under")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Remove a pin; the next clean-up may then remove what nothing else needs.

    Example: asr-tv store unpin runs/demo
    """
    from asr_tv.store.uses import read_pins, remove_pin

    root = _root(store)
    pinned = {each.what for each in read_pins(root)}
    if unknown := [name for name in what if _pin_name(name) not in pinned]:
        known = ", ".join(sorted(pinned)) or "nothing"
        raise ConfigError(f"{name}: is not pinned; pinned: {known}" for name in unknown)
    for name in what:
        remove_pin(root, _pin_name(name))
    typer.echo(json.dumps([{"unpinned": name} for name in what]) if as_json else f"unpinned {', '.join(what)}")


def _root(store: Path) -> Path:
    if ":/" in str(store):
        raise ConfigError(f"--store {store}: these commands work on a folder, such as this machine's copy of the store")
    if not store.is_dir():
        raise ConfigError(f"--store {store}: there is no such folder")
    return store.absolute()


def _pin_name(name: str) -> str:
    """A result's name as it is; a run's folder in full, even one that is gone."""
    from asr_tv.store.uses import ENTRY

    return name if ENTRY.fullmatch(name) and not Path(name).is_dir() else str(Path(name).absolute())


def _pinned_entries(root: Path, name: str, runs: Path) -> frozenset[str]:
    from asr_tv.store.garbage import REPORT, Policy, claims_on, reported_entries

    if (full := _pin_name(name)) == name:
        if not (root / name).is_dir():
            raise DataError(f"{name}: the store has no such result")
        return frozenset((name,))
    entries: set[str] = set(reported_entries(Path(full) / REPORT))
    for keeper in claims_on(root, Policy(reports=runs)):
        entries |= keeper.entries if str(keeper.folder) == full else set()
    if not entries:
        raise DataError(f"{name}: no run of this folder has used the store, and it holds no report")
    return frozenset(entries)


def _of_run(found: Sequence["Claim"], run: str) -> set[str]:
    full = str(Path(run).absolute())
    entries = [keeper.entries for keeper in found if keeper.name in (run, full)]
    if not entries:
        known = ", ".join(dict.fromkeys(_short(k) for k in found)) or "none"
        raise ConfigError(f"--run {run}: no such run is known to the store; known: {known}")
    return set().union(*entries)


def _by_stage(entries: Iterable["Entry"]) -> list[dict[str, Any]]:
    stages: dict[str, dict[str, Any]] = {}
    for entry in entries:
        row = stages.setdefault(entry.stage, {"stage": entry.stage, "results": 0, "unfinished": 0, "bytes": 0})
        row["results" if entry.finished else "unfinished"] += 1
        row["bytes"] += entry.size
    return [*stages.values()]


def _run_row(keeper: "Claim", todo: "CollectionPlan") -> dict[str, Any]:
    others = set().union(*(k.entries for k in todo.claims if k is not keeper and k.why and k.name != keeper.name))
    mine = [entry for entry in todo.inventory.entries if entry.name in keeper.entries]
    return {
        "run": _short(keeper),
        "kept": keeper.why,
        "results": len(mine),
        "bytes": sum(entry.size for entry in mine),
        "alone_bytes": sum(entry.size for entry in mine if entry.name not in others),
    }


def _gc_row(todo: "CollectionPlan", *, removed: bool) -> dict[str, Any]:
    return {
        "removed": removed,
        "bytes": todo.freed,
        "results": [entry.name for entry in todo.entries if entry.finished],
        "unfinished": [entry.name for entry in todo.entries if not entry.finished],
        "clips": len(todo.clips),
        "litter": len(todo.litter),
        "kept": [{"name": k.name, "why": k.why} for k in todo.claims if k.why],
        "forgotten": [k.name for k in todo.claims if not k.why and k.folder],
        "held_up_by": list(todo.held_up_by),
    }


def _print_gc(todo: "CollectionPlan", *, removed: bool) -> None:
    from asr_tv.cli.console import print_rows
    from asr_tv.report.table import count, words

    forgotten = "its folder is gone, or it is beyond --keep-last or --older-than"
    for keeper in todo.claims:
        if keeper.why or keeper.folder:
            typer.echo(f"{'keeps' if keeper.why else 'forgets'} {_short(keeper)} ({keeper.why or forgotten})")
    if todo.held_up_by:
        typer.echo(
            f"{', '.join(todo.held_up_by)}: still running, and may ask for any result, so none is removed; "
            "run this again when it has ended, or with --while-running"
        )
    fields = [words("stage"), count("results"), count("unfinished"), _size_field("size", "bytes")]
    print_rows(_by_stage(todo.entries), fields)
    if todo.clips:
        typer.echo(
            f"{counted(len(todo.clips), 'clip')}, {_bytes(sum(todo.inventory.clips[key] for key in todo.clips))}"
        )
    freed = f"freed {_bytes(todo.freed)}" if removed else f"would free {_bytes(todo.freed)}: --yes does"
    typer.echo(freed if todo.freed else "nothing to free")


def _age_in_seconds(text: str | None) -> float | None:
    if text is None:
        return None
    if not (match := re.fullmatch(r"(\d+)([hdw])", text)):
        raise ConfigError(f"--older-than {text}: hours, days or weeks, as in 12h, 30d or 8w")
    return float(int(match[1]) * _SECONDS[match[2]])


def _short(keeper: "Claim") -> str:
    """A run's folder as people type it from the current one."""
    path = Path(keeper.name)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else keeper.name


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _age(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
