"""index.json: the vectors at a place, which is a folder, object storage, the hub or an https address.

What comes from there is bounded in size before it is read and checked against its digest before it is opened.
"""

import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asr_tv.errors import ConfigError, DataError
from asr_tv.models.output import new_folder
from asr_tv.safe_text import counted
from asr_tv.store.durable import file_digest
from asr_tv.store.object_storage import Bucket
from asr_tv.vectors.published.card import CARD, VectorCard, parse_card, require_label
from asr_tv.vectors.published.folder import read_card, require_whole

INDEX = "index.json"
SCHEMA_VERSION = 1
_LONGEST_INDEX, _LONGEST_CARD = 4 << 20, 1 << 20
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class IndexEntry:
    """One version of one vector.

    Attributes:
        sha256: of its card, which has those of its other files.
        bytes: of all its files.
        digests: of the pretrained weights, see `weights_digests`.
    """

    name: str
    version: str
    path: str
    sha256: str
    bytes: int
    pretrained: str
    digests: tuple[str, ...]
    language: str
    line: str
    engines: tuple[str, ...]
    domains: tuple[str, ...]
    licence: str
    scaling_coef: float | None

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def order(self) -> tuple[int, ...]:
        """Sorts versions."""
        return tuple(map(int, _NUMBER.findall(self.version)))


class VectorIndex:
    """The index at an address or in a folder.

    Raises:
        ConfigError: an address that is not safe to read code's input from: plain http beyond this machine.
    """

    def __init__(self, location: str) -> None:
        parts = urlsplit(location)
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ConfigError(f"{location}: plain http can be changed on the way: use https")
        address = location if "://" in location else f"file://{Path(location).expanduser().absolute()}"
        self.location = location
        self._bucket = Bucket(address.rstrip("/"), Path("/"))

    def entries(self) -> tuple[IndexEntry, ...]:
        """All vectors; none where there is no index yet.

        Raises:
            DataError: not an index, or a vector in it whose name or path is no plain name.
        """
        content = self._read(INDEX, _LONGEST_INDEX)
        return () if content is None else _parse_index(content, f"{self.location}/{INDEX}")

    def find(self, label: str) -> IndexEntry:
        """The vector `name@version`, or the newest version of `name`.

        Raises:
            DataError: there is none, with the names of those that are there.
        """
        name, _, version = label.partition("@")
        entries = self.entries()
        found = [e for e in entries if e.name == name and version in ("", e.version)]
        if not found:
            known = ", ".join(e.label for e in entries[:10]) or "nothing"
            raise DataError(f"{label}: not in {self.location}, which has {known}")
        return max(found, key=lambda entry: entry.order)

    def pull(self, entry: IndexEntry, out: Path) -> Path:
        """Brings a vector to `out`/its name; what is there already and whole is not brought again.

        Raises:
            DataError: a file that is missing, larger than stated or of another digest; nothing of it is kept.
            ConfigError: `out` holds something else under the name.
        """
        folder = out / entry.name
        if folder.exists():
            return _require_same(folder, entry)
        if (free := shutil.disk_usage(_existing(out)).free) < entry.bytes:
            raise DataError(f"{entry.label}: states {entry.bytes} bytes, and {out} has room for {free}")
        text = self._read(f"{entry.path}/{CARD}", _LONGEST_CARD)
        where = f"{self.location}/{entry.path}/{CARD}"
        if text is None or hashlib.sha256(text).hexdigest() != entry.sha256:
            raise DataError(f"{where}: {'is missing' if text is None else 'is not the card that the index names'}")
        card = parse_card(text.decode(errors="replace"), where)
        if (card.name, card.version) != (entry.name, entry.version):
            raise DataError(f"{where}: is of {card.label}, and the index says {entry.label}")
        if sum(file.bytes for file in card.files.values()) > entry.bytes:
            raise DataError(f"{where}: its files are larger than the {entry.bytes} bytes that the index states")
        with new_folder(folder) as scratch:
            for name, file in card.files.items():
                self._fetch(f"{entry.path}/{name}", scratch / name, file.bytes)
            (scratch / CARD).write_bytes(text)
            require_whole(scratch, card)
        return folder

    def push(self, folder: Path) -> IndexEntry:
        """Sends a vector's folder there and enters it; the index comes last.

        Raises:
            ConfigError: the version is there already, with another content.
        """
        card = read_card(folder)
        require_whole(folder, card)
        entry = entry_of(card, folder)
        entries = list(self.entries())
        if same := [e for e in entries if e.label == entry.label]:
            if same[0].sha256 == entry.sha256:
                return same[0]
            raise ConfigError(f"{self.location}: {entry.label} is there already and stays as it is: raise --version")
        for name in (*card.files, CARD):
            self._bucket.send_as(folder / name, f"{entry.path}/{name}")
        rows = sorted((*entries, entry), key=lambda e: (e.name, e.order))
        content = {"schema_version": SCHEMA_VERSION, "vectors": [asdict(e) for e in rows]}
        self._bucket.write(INDEX, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
        return entry

    def _read(self, name: str, most: int) -> bytes | None:
        found = io.BytesIO()
        size = self._bucket.download(name, found, most)
        if size is not None and size > most:
            raise DataError(f"{self.location}/{name}: more than {most} bytes, the limit")
        return None if size is None else found.getvalue()

    def _fetch(self, name: str, path: Path, stated: int) -> None:
        with path.open("wb") as file:
            size = self._bucket.download(name, file, stated)
        if size != stated:
            found = "is missing" if size is None else f"has {'more' if size > stated else size} bytes"
            raise DataError(f"{self.location}/{name}: {found}, and its card states {stated}")


def entry_of(card: VectorCard, folder: Path) -> IndexEntry:
    """The index's row of a vector in a folder."""
    text = (folder / CARD).read_bytes()
    return IndexEntry(
        name=card.name,
        version=card.version,
        path=f"{card.name}/{card.version}",
        sha256=hashlib.sha256(text).hexdigest(),
        bytes=len(text) + sum(file.bytes for file in card.files.values()),
        pretrained=str(card.pretrained.get("name", "")),
        digests=tuple(card.pretrained["digests"]),
        language=card.pretrained["language"],
        line=card.line,
        engines=tuple(map(str, card.synthesis.get("engines", ()))),
        domains=card.domains,
        licence=card.licence,
        scaling_coef=card.scaling_coef.get("pretrained"),
    )


def _require_same(folder: Path, entry: IndexEntry) -> Path:
    if not (folder / CARD).is_file() or file_digest(folder / CARD) != entry.sha256:
        raise ConfigError(f"{folder}: is there already and is not {entry.label}: name another --out")
    require_whole(folder, read_card(folder))
    return folder


def _existing(path: Path) -> Path:
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def _parse_index(content: bytes, where: str) -> tuple[IndexEntry, ...]:
    try:
        row = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not an index: {error}") from None
    rows = row.get("vectors") if isinstance(row, dict) and row.get("schema_version") == SCHEMA_VERSION else None
    if not isinstance(rows, list):
        raise DataError(f"{where}: not an index of schema_version {SCHEMA_VERSION}")
    problems = [f"{where}: vector {n}: {p}" for n, each in enumerate(rows, 1) for p in _entry_problems(each)]
    if problems:
        raise DataError(
            [*problems[:20], *([f"and {counted(len(problems) - 20, 'problem')} more"] * (len(problems) > 20))]
        )
    return tuple(IndexEntry(**_tuples(each)) for each in rows)


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "version", "path", "sha256", "pretrained", "language", "line", "licence"), str),
    **dict.fromkeys(("digests", "engines", "domains"), list),
    "bytes": int,
    "scaling_coef": (int, float, type(None)),
}


def _entry_problems(row: object) -> Iterator[str]:
    if not isinstance(row, dict) or row.keys() != _KINDS.keys():
        yield "its fields are not those of an index"
        return
    wrong = [name for name, kind in _KINDS.items() if not isinstance(row[name], kind)]
    if wrong or any(not isinstance(item, str) for name in ("digests", "engines", "domains") for item in row[name]):
        yield f"of the wrong type: {', '.join(wrong) or 'a list holds something else than texts'}"
        return
    try:
        require_label(row["name"], row["version"])
    except DataError as error:
        yield from error.problems
    if row["path"] != f"{row['name']}/{row['version']}":
        yield f"path {row['path']!r:.60} is not its name and version"
    if row["bytes"] < 0:
        yield "a negative number of bytes"
