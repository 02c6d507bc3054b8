"""vector.json, the card of a published vector: what it is added to, what it was made of, and its licence.

A card comes from elsewhere: every part that anything rests on is checked, and all that is wrong is told at once.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from asr_tv.errors import DataError
from asr_tv.store.payload import VECTOR

SCHEMA_VERSION = 1
CARD, SENTENCES, README = "vector.json", "sentences.sha256", "README.md"
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")
_VERSION = re.compile(r"\d{1,6}\.\d{1,6}\.\d{1,6}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class StoredFile:
    """A file of the vector's folder."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class VectorCard:
    """What is known of a published vector.

    Attributes:
        files: name -> digest and size of each file beside the card.
        numbers: fp32, fp16 or int8.
        norm: of the whole vector.
        relative_error: of storing it in these numbers.
        pretrained: `name`, `language`, and `digests` of the weights it may be added to, see `weights_digests`.
        source: `corpora` with their licences, `domains`, `utterances`, `seconds`, `speakers`, `line`.
        synthesis: `engines`, `voices`, `takes`.
        recipe: how it was trained.
        scaling_coef: by start, the recommended coefficient.
        chosen_on: what the recommendation rests on.
        licence: of the vector itself.
    """

    name: str
    version: str
    files: Mapping[str, StoredFile]
    numbers: str
    norm: float
    relative_error: float
    pretrained: Mapping[str, Any]
    source: Mapping[str, Any]
    synthesis: Mapping[str, Any]
    recipe: Mapping[str, Any]
    scaling_coef: Mapping[str, float]
    chosen_on: str
    licence: str
    asr_tv: str

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def domains(self) -> tuple[str, ...]:
        return tuple(map(str, self.source.get("domains", ())))

    @property
    def line(self) -> str:
        """What the source recordings were heard through, in words."""
        return str(self.source.get("line") or "none simulated")

    def text(self) -> str:
        """The content of vector.json."""
        return json.dumps({"schema_version": SCHEMA_VERSION} | asdict(self), indent=1, ensure_ascii=False) + "\n"


def require_label(name: str, version: str) -> None:
    """Raises DataError for a name or a version that could be more than a folder's name."""
    problems = [] if _PART.fullmatch(name) else [f"{name!r:.60}: a vector's name has letters, digits and . _ + - only"]
    problems += [] if _VERSION.fullmatch(version) else [f"{version!r:.40}: a version is three numbers, such as 1.0.0"]
    if problems:
        raise DataError(problems)


def parse_card(text: str, where: str) -> VectorCard:
    """The card in a vector.json.

    Raises:
        DataError: everything that is wrong with it.
    """
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not a card: {error}") from None
    if not isinstance(row, dict):
        raise DataError(f"{where}: not a card: not an object")
    if problems := list(_problems(row)):
        raise DataError(f"{where}: {problem}" for problem in problems)
    files = {name: StoredFile(file["sha256"], file["bytes"]) for name, file in row["files"].items()}
    fields = {name: value for name, value in row.items() if name in VectorCard.__dataclass_fields__}
    return VectorCard(**fields | {"files": files})


def _problems(row: Mapping[str, Any]) -> Iterator[str]:
    if row.get("schema_version") != SCHEMA_VERSION:
        yield f"schema_version {row.get('schema_version')!r:.20}; this asr-tv reads {SCHEMA_VERSION}"
        return
    lacking = sorted(VectorCard.__dataclass_fields__.keys() - row.keys())
    if lacking:
        yield f"lacks {', '.join(lacking)}"
        return
    for name in ("name", "version", "licence", "numbers", "chosen_on", "asr_tv"):
        if not isinstance(row[name], str) or not row[name].strip():
            yield f"{name}: not a text"
    for name in ("files", "pretrained", "source", "synthesis", "recipe", "scaling_coef"):
        if not isinstance(row[name], dict):
            yield f"{name}: not an object"
            return
    try:
        require_label(str(row["name"]), str(row["version"]))
    except DataError as error:
        yield from error.problems
    yield from _file_problems(row["files"])
    digests = row["pretrained"].get("digests")
    if not (isinstance(digests, list) and digests and all(map(_is_digest, digests))):
        yield "pretrained.digests: not a list of sha256"
    if not isinstance(row["pretrained"].get("language"), str):
        yield "pretrained.language: not a text"
    if not isinstance(row["source"].get("domains", []), list):
        yield "source.domains: not a list"
    for name, value in (*row["scaling_coef"].items(), ("norm", row["norm"]), ("relative_error", row["relative_error"])):
        if not _is_number(value):
            yield f"{name}: not a finite number"


def _file_problems(files: Mapping[str, Any]) -> Iterator[str]:
    if files.keys() != {VECTOR, SENTENCES, README}:
        yield f"files: {', '.join(sorted(files)) or 'none'}; expected {VECTOR}, {SENTENCES} and {README}"
    for name, file in files.items():
        size = file.get("bytes") if isinstance(file, dict) else None
        if not (isinstance(size, int) and not isinstance(size, bool) and size >= 0 and _is_digest(file.get("sha256"))):
            yield f"files.{name}: no sha256 and number of bytes"


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
