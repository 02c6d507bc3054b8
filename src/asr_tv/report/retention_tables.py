"""What a model kept beside the target, as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from asr_tv.safe_text import inert

_BY_NAME = {"words_per_minute": "words/min in {}", "other_languages": "WER % {}"}


def retention_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Words heard a minute where nobody speaks, WER in other languages, and how many timestamps are valid."""
    keys = dict.fromkeys((kind, name) for row in rows for kind in _BY_NAME for name in row.get(kind, {}))
    lead = [column for column in ("target", "system") if column in rows[0]]
    header = [*lead, *(_BY_NAME[kind].format(name) for kind, name in keys), "valid timestamps %"]
    lines = [header, ["---", *["--:"] * (len(header) - 1)]]
    for row in rows:
        cells = [_cell(kind, row.get(kind, {}).get(name)) for kind, name in keys]
        lines.append([*(row[column] for column in lead), *cells, _cell("share", row.get("valid_timestamps"))])
    return "\n".join(f"| {' | '.join(map(inert, line))} |" for line in lines)


def _cell(kind: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if kind == "words_per_minute" else f"{100 * value:.1f}"
