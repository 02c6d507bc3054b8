"""Manifests of recordings without texts."""

import json
from dataclasses import replace
from pathlib import Path

from asr_tv.data.corpora.local import placed
from asr_tv.data.manifest import Manifest, parse_json, parse_manifest
from asr_tv.data.text_files import read_text


def read_unlabelled(path: Path, *, outside: bool = False, store: Path | None = None) -> Manifest:
    """A JSONL manifest as `read_manifest`, in which `text` may be missing; where it is given it is not kept.

    Raises:
        DataError: as `read_manifest`.
    """
    manifest = parse_manifest("\n".join(map(_without_text, read_text(path).split("\n"))), str(path))
    return placed(replace(manifest, name=path.stem), path.parent, str(path), outside=outside, store=store)


def _without_text(line: str) -> str:
    """The line with an empty text; one that is no JSON object stays, to be named by the parser."""
    try:
        row = parse_json(line) if line.strip() else None
    except ValueError:
        return line
    if not isinstance(row, dict):
        return line
    return json.dumps({**{key: row[key] for key in row if key not in ("transcript", "sentence")}, "text": ""})
