"""What a run shows in the UI: one table per stage, the WER report, and a link to the whole report."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from prefect import get_client, get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.settings import get_current_settings

from asr_tv.report.markdown import escaped, wer_header, wer_tables
from asr_tv.report.systems import ADAPTED, rate_name, try_command
from asr_tv.runs.promotion import Promotion
from asr_tv.safe_text import inert, printable, redacted
from asr_tv.store.results import Record
from flows.settings import RUNS_URL, STORE_URL

MAX_BYTES = 30_000
"""Bound of an artifact's Markdown; the UI takes seconds to draw more."""
_SHORT = 24
"""Digits of a digest that fit the table's column, as many as a key has; the record has all of them."""
_EARLIER = 20
_JOINED = "\N{NON-BREAKING HYPHEN}"
_REPORTS = ("report.html", "report.md")


def slug(text: str) -> str:
    """An artifact key in Prefect's form, lower-case letters, digits and dashes; another for every text.

    What this form cannot write is told apart by a digest at the end.
    """
    if re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", text):
        return text
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".lstrip("-")


def stage_key(name: str, label: str) -> str:
    """The key of a stage's artifact: the run's name, and the label with dashes for its spaces and underscores."""
    return f"{slug(name)}-{slug(re.sub('[ _]', '-', label.lower()))}"


def publish_stage(name: str, label: str, record: Record) -> None:
    """Publishes key, digest, state, seconds, size and counts of a stage, under a key of its own."""
    create_table_artifact(
        [{"what": printable(what), "value": printable(redacted(value))} for what, value in stage_rows(record)],
        key=stage_key(name, label),
        description=inert(f"{label}: {_had(record)}"),
    )


def stage_rows(record: Record) -> list[tuple[str, str]]:
    """What the table shows of a record, as pairs of texts."""
    size = sum(path.stat().st_size for path in record.path.rglob("*") if path.is_file())
    counts = [(key.replace("_", " "), _shown(value)) for key, value in record.details.items()]
    return [
        ("stage", record.stage),
        ("state", "cached" if record.cached else "executed"),
        ("seconds", f"{record.seconds:.{1 if record.seconds >= 1 else 3}f}"),
        ("size", f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"),
        ("key", record.key),
        ("digest", record.digest[:_SHORT]),
        ("files", _stage_link(record)),
        *counts,
    ]


def _had(record: Record) -> str:
    return "cached" if record.cached else f"executed in {record.seconds:.1f} s"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and all(isinstance(item, float) for item in value):
        return ", ".join(f"{item:.4g}" for item in value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + " …"


def _stage_link(record: Record) -> str:
    served = os.environ.get(STORE_URL)
    return f"{served.rstrip('/')}/{record.stage}/{record.key}/" if served else str(record.path)


def publish_report(report: Mapping[str, Any], folder: Path, promotion: Promotion, stages: str) -> None:
    """Publishes the WER under `wer-NAME`, whose page is the domain's history, and the link under `report-NAME`."""
    link = report_link(promotion.version, folder)
    name, state = report["name"], "current" if promotion.promoted else "NOT PROMOTED"
    key, told = slug(f"wer-{name}"), f"{promotion.reason}; {stages}"
    markdown = report_markdown(report, link, told, promoted=promotion.promoted, earlier=earlier(key))
    create_markdown_artifact(markdown, key=key, description=inert(f"{headline(report)}, {state}, {stages}"))
    _say_where(key)
    if link is not None:
        create_link_artifact(
            link, link_text="the whole report", key=slug(f"report-{name}"), description=inert(headline(report))
        )


def publish_table(name: str, folder: Path, conclusions: Sequence[str], stages: str) -> None:
    """Publishes a leave-one-domain-out table under `table-NAME`: the conclusions, and the page if it fits."""
    served = os.environ.get(RUNS_URL)
    where = (
        f"[The whole table]({served.rstrip('/')}/{quote(folder.name)}/benchmark.md)"
        if served
        else inert(f"In {folder}.")
    )
    told = "\n".join(f"- {escaped(conclusion, limit=None)}" for conclusion in conclusions)
    page = (folder / "benchmark.md").read_text(encoding="utf-8")
    parts = [f"# {inert(name)}", told, where, page]
    if len("\n\n".join(parts).encode()) > MAX_BYTES:
        parts.pop()
    create_markdown_artifact("\n\n".join(parts), key=slug(f"table-{name}"), description=stages)
    _say_where(slug(f"table-{name}"))


def earlier(key: str) -> list[tuple[str, str]]:
    """Dates and descriptions of the artifacts under this key from earlier runs, newest first."""
    wanted = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": _EARLIER}
    with get_client(sync_client=True) as client:
        rows = client.request("POST", "/artifacts/filter", json=wanted).json()
    unbroken = str.maketrans({"-": _JOINED, "T": "\N{NO-BREAK SPACE}"})
    return [(row["created"][:16].translate(unbroken), row["description"] or "") for row in rows]


def _say_where(key: str) -> None:
    """Logs the artifact's address, since the UI's menu does not list artifacts."""
    if (ui := get_current_settings().ui_url) is not None:
        get_run_logger().info("%s/artifacts/key/%s", ui.rstrip("/"), key)


def report_link(version: Path, folder: Path) -> str | None:
    """Address of the report, or None if `runs/` is not served."""
    served = os.environ.get(RUNS_URL)
    found = next((name for name in _REPORTS if (version / name).exists()), None)
    if not served or found is None:
        return None
    return f"{served.rstrip('/')}/{quote(folder.name)}/{version.parent.name}/{version.name}/{found}"


def headline(report: Mapping[str, Any]) -> str:
    """The adapted model's WER on the first test set that has one."""
    row = next((r for r in report["systems"] if r["name"] == ADAPTED and r["wer"] is not None), None)
    if row is None:
        return f"{report['name']}: no recordings to score"
    span = "" if row["ci_low"] is None else f" ({100 * row['ci_low']:.1f} to {100 * row['ci_high']:.1f})"
    return f"{row['domain']}: {rate_name([row])} {100 * row['wer']:.1f} %{span}"


def report_markdown(
    report: Mapping[str, Any],
    link: str | None,
    told: str,
    *,
    promoted: bool,
    earlier: Sequence[tuple[str, str]] = (),
) -> str:
    """The artifact's page, under MAX_BYTES: verdict, WER, recipe, curve, earlier runs, and as many test sets as fit."""
    model = "This model is `current`" if promoted else "**This model is not promoted**"
    where = f"[The whole report]({link})" if link else "The whole report lies in the run's folder."
    speak = inert(try_command(f"runs/{report['name']}"))
    head = [
        f"# {inert(headline(report))}",
        escaped(report["verdict"], limit=None),
        f"{model}: {escaped(told, limit=None)}.",
        where,
        f"Say a sentence to the pretrained and to the adapted model: {speak}",
    ]
    rates, header = rate_name(report["systems"]), wer_header(report)[:-1]
    tables = [f"## {escaped(title)}\n\n{_table(header, rows)}" for title, rows in wer_tables(report).items()]
    head += [*tables[:1], _recipe(report), *_curve(report["target_curve"], rates), *_history(earlier, rates)]
    rest, note = tables[1:], []
    while rest and len("\n\n".join([*head, *rest]).encode()) > MAX_BYTES - 100:
        rest.pop()
        note = ["More sets are in the whole report."]
    return "\n\n".join([*head, *rest, *note]) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The WER table; its last column, whether a system used target recordings, moves into the name."""
    lines = [header, ["--" for _ in header], *(_cells(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Sequence[str]) -> tuple[str, ...]:
    name, *others, used = (escaped(cell) for cell in row)
    # Without places to break, so that each system stays on one line in the UI's narrow column.
    narrow = (re.sub(r"(?<=\d) / (?=\d)", "/", re.sub(r"(?<=\d) to (?=\d)", _JOINED, cell)) for cell in others)
    return (f"{name} (target recordings)" if used == "yes" else name, *narrow)


def _history(earlier: Sequence[tuple[str, str]], rates: str) -> list[str]:
    rows = "\n".join(f"| {when} | {escaped(what)} |" for when, what in earlier)
    return [f"## Earlier runs\n\n| UTC | {rates} |\n| -- | -- |\n{rows}"] if earlier else []


def _recipe(report: Mapping[str, Any]) -> str:
    chosen, folds = report["selection"]["chosen"], report["selection"]["folds"]
    how = f"chosen on {inert(', '.join(folds))}" if folds else "fixed by the configuration"
    augmented = "augmented" if chosen["augmentation"] else "not augmented"
    return (
        f"## Recipe\n\nStart at {chosen['start']}, synthetic speech {augmented}, "
        f"{chosen['scaling_coef']:g} of the vector; {how}."
    )


def _curve(points: Sequence[Mapping[str, Any]], rates: str) -> list[str]:
    known = [(p["scaling_coef"], 100 * p["wer"]) for p in points if p["wer"] is not None]
    if len(known) < 2:
        return []
    data = base64.b64encode(curve_svg(known, rates).encode()).decode()
    words = ", ".join(f"{wer:.1f} % at {coef:g}" for coef, wer in known)
    return [
        f"## {rates} over the coefficient, on the target\n\n![{words}](data:image/svg+xml;base64,{data})\n\n{words}."
    ]


def curve_svg(points: Sequence[tuple[float, float]], rates: str = "WER") -> str:
    """Plots rates in percent over the scaling coefficient; the axis begins at 0, so that a small step looks small."""
    width, height, left, bottom, top = 560, 260, 50, 40, 20
    highest = max(wer for _, wer in points) * 1.15 or 1.0
    first, last = points[0][0], points[-1][0]

    def at(coef: float, wer: float) -> tuple[float, float]:
        x = left + (width - left - 30) * (coef - first) / (last - first)
        return x, height - bottom - (height - bottom - top) * wer / highest

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#2563eb"/>'
        f'<text x="{x:.1f}" y="{y - 10:.1f}" text-anchor="middle">{wer:.1f}</text>'
        f'<text x="{x:.1f}" y="{height - bottom + 18}" text-anchor="middle">{coef:g}</text>'
        for coef, wer in points
        for x, y in [at(coef, wer)]
    )
    base = height - bottom
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="13" fill="#374151">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
        f'<line x1="{left}" y1="{base}" x2="{width - 20}" y2="{base}" stroke="#9ca3af"/>'
        f'<line x1="{left}" y1="{top}" x2="{left}" y2="{base}" stroke="#9ca3af"/>'
        f'<polyline points="{line}" fill="none" stroke="#2563eb" stroke-width="2"/>{marks}'
        f'<text x="{left - 8}" y="{base + 4}" text-anchor="end">0</text>'
        f'<text x="{left - 8}" y="{top + 4}" text-anchor="end">{highest:.0f}</text>'
        f'<text x="14" y="{height / 2}" text-anchor="middle" transform="rotate(-90 14 {height / 2})">{rates} %</text>'
        f'<text x="{(left + width) / 2}" y="{height - 4}" text-anchor="middle">scaling coefficient</text></svg>'
    )
