"""Manifests: what was said, in which domain, and where its recording is; read and written as JSON lines."""

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, TypeVar, get_args

from asr_tv.errors import DataError
from asr_tv.store.records import ManifestRef

Origin = Literal["real", "synthetic", "text"]
Split = Literal["train", "dev", "test"]

Row = TypeVar("Row")
_ALIASES = {"audio_filepath": "audio", "audio_path": "audio", "transcript": "text", "sentence": "text"}
"""Other tools' names (NeMo, Hugging Face) for the same fields."""
_LONGEST = sys.float_info.max
_PLACES = {"start", "begin", "start_time", "end", "stop", "end_time"}
_OTHER_SOUND = {"channel", "channels", "channel_selector", "speed", "speed_factor", "tempo", "pitch", "transforms"}
"""Keys of other tools that say which part of a recording is meant, or how it is changed; none of them is honoured."""
_SECONDS = {"duration", "offset"}
_CONTROL_TOKEN = re.compile(r"<\|[^<>|\s]*\|>")
_MISSING = frozenset({"nan", "<na>", "null", "n/a", "#n/a"})
"""What programs write for a cell that is empty."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One sentence and, unless `origin` is "text", a recording of it.

    Attributes:
        id: unique within a manifest.
        text: as written, with case and punctuation; empty only for evaluation of silence.
        audio: path of the recording; not part of the identity of a manifest.
        duration: seconds.
        offset: seconds into the recording at which the utterance begins, where it is a part of it: of `duration`
            seconds, or to the end.
        audio_digest: sha256 of the recording's bytes; part of the identity.
    """

    id: str
    text: str
    audio: str | None = None
    domain: str = "default"
    split: Split = "train"
    origin: Origin = "real"
    speaker: str | None = None
    duration: float | None = None
    audio_digest: str | None = None
    offset: float | None = None

    @property
    def has_words(self) -> bool:
        """Whether its text can be learnt: it has a letter or digit, and is not a program's mark of an empty cell."""
        return any(c.isalnum() for c in self.text) and self.text.strip().casefold() not in _MISSING


_NAMES = tuple(field.name for field in fields(Utterance))


@dataclass(frozen=True, slots=True)
class Dropped:
    """An utterance that is not used; `reason` is one of a few fixed ones, so that they can be counted."""

    id: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """A named, ordered, immutable set of utterances with unique ids."""

    name: str
    utterances: tuple[Utterance, ...]

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    @cached_property
    def digest(self) -> str:
        """sha256 over everything but paths and name, so that a moved or renamed corpus is the same corpus.

        Order does not enter: a stage that depends on it sorts first, as trainings do by id.
        """
        lines = sorted(_line(u, without="audio") for u in self.utterances)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def domains(self) -> tuple[str, ...]:
        return tuple(sorted({u.domain for u in self}))

    @property
    def by_id(self) -> dict[str, Utterance]:
        return {u.id: u for u in self}

    @property
    def seconds(self) -> float:
        """Total duration; unknown durations count as zero."""
        return sum(u.duration or 0.0 for u in self)

    def where(self, name: str, keep: Callable[[Utterance], bool]) -> "Manifest":
        """The utterances that `keep` accepts, under a new name and in the same order."""
        return Manifest(name, tuple(u for u in self if keep(u)))

    def ref(self) -> ManifestRef:
        splits, origins = sorted({u.split for u in self}), sorted({u.origin for u in self})
        return ManifestRef(self.name, self.digest, len(self), self.domains, tuple(splits), tuple(origins))

    def refs(self) -> tuple[ManifestRef, ...]:
        """One reference per origin, so that a ledger tells recordings from synthetic clips in a mixed manifest."""
        origins = sorted({u.origin for u in self})
        if len(origins) < 2:
            return (self.ref(),)
        return tuple(self.where(f"{self.name}, {o}", lambda u, o=o: u.origin == o).ref() for o in origins)  # type: ignore[misc]


def in_domain(domain: str) -> Callable[[Utterance], bool]:
    """A filter for `Manifest.where`: utterances of one domain."""
    return lambda utterance: utterance.domain == domain


def concatenate(name: str, manifests: Iterable[Manifest]) -> Manifest:
    """One manifest of all utterances.

    Raises:
        DataError: an id is in more than one of them.
    """
    return checked(Manifest(name, tuple(u for manifest in manifests for u in manifest)))


def checked(manifest: Manifest) -> Manifest:
    """The manifest itself, whose ids are unique.

    Raises:
        DataError: every duplicate id, with both splits where they differ.
    """
    if problems := _repeated_ids(manifest):
        raise DataError(problems)
    return manifest


def _repeated_ids(manifest: Manifest) -> list[str]:
    problems: list[str] = []
    first: dict[str, Utterance] = {}
    for utterance in manifest:
        if (earlier := first.get(utterance.id)) is None:
            first[utterance.id] = utterance
        elif earlier.split != utterance.split:
            splits = f"{earlier.split} and {utterance.split}"
            problems.append(f"{manifest.name}: id {utterance.id!r} is in two splits: {splits}")
        else:
            problems.append(f"{manifest.name}: duplicate id {utterance.id!r}")
    return problems


def by_domain(manifest: Manifest) -> dict[str, Manifest]:
    """The utterances of each domain, under its name."""
    return {domain: manifest.where(domain, in_domain(domain)) for domain in manifest.domains}


def parse_manifest(text: str, name: str) -> Manifest:
    """Reads JSON lines. `audio_filepath`, `transcript` and the like are understood, unknown keys are ignored.

    Raises:
        DataError: every line that is not a valid utterance, or has a key that would change which sound is meant and is
            not honoured; and every duplicate id.
    """
    utterances, problems = parse_rows(text, name, lambda row, number: _utterance(row, default_id=f"line-{number}"))
    manifest = Manifest(name, tuple(utterances))
    if problems := [*problems, *_repeated_ids(manifest)]:
        raise DataError(problems)
    return manifest


def format_manifest(manifest: Manifest) -> str:
    """The manifest as JSON lines with sorted keys; `parse_manifest` is its inverse."""
    return "".join(_line(u) + "\n" for u in manifest)


def _line(utterance: Utterance, without: str = "") -> str:
    row = {n: value for n in _NAMES if n != without and (value := getattr(utterance, n)) is not None}
    return json.dumps(row, ensure_ascii=False, sort_keys=True)


def parse_rows(text: str, name: str, parse: Callable[[Any, int], Row]) -> tuple[list[Row], list[str]]:
    """What `parse` makes of each line of JSON, given its value and number, and a problem for each line it rejects.

    Empty lines are skipped. `parse` rejects with a ValueError; `name` is the file's, for the problems.
    """
    rows: list[Row] = []
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(parse(parse_json(line), number))
        except ValueError as error:
            problems.append(f"{name}:{number}: {error}")
    return rows, problems


def parse_json(line: str) -> Any:
    """The value of a line of JSON.

    Raises:
        ValueError: not JSON, nested too deeply, or with a number of thousands of digits.
    """
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from None


def utterance_of(**values: Any) -> Utterance:
    """An utterance from values that a file holds.

    Raises:
        ValueError: a wrong type, a NUL or a lone surrogate in a text, a control token such as <|endoftext|> in it, or
            an unknown split or origin.
    """
    given = {key: value for key, value in values.items() if value is not None}
    _check_types(given)
    for key in given.keys() & _SECONDS:
        given[key] = float(given[key])  # 2 and 2.0 must give one digest
    return Utterance(**given)


def _utterance(row: Any, default_id: str) -> Utterance:
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}")
    known = {*_NAMES}
    refuse_other_sound(row)
    values: dict[str, Any] = {}
    for key, value in row.items():
        name = _ALIASES.get(key, key)
        if name not in known or value is None:
            continue
        if name in values and values[name] != value:
            raise ValueError(f"two values of {name}, the second as {key}")
        values[name] = value
    if values.get("offset") == 0 and "duration" not in values:
        del values["offset"]
    name = str(values["audio"]) if "audio" in values else default_id
    values.setdefault("id", f"{name}@{values['offset']}" if values.get("offset") else name)
    return utterance_of(**values)


def refuse_other_sound(row: Mapping[str, Any]) -> None:
    """Refuses a row that means another sound than its whole recording, in a way that is not honoured.

    Raises:
        ValueError: it has such a key, with a value that matters.
    """
    given = {key for key, value in row.items() if value not in (None, "", [])}
    places = sorted(key for key in given & _PLACES if row[key] not in (0, "0"))
    if places:
        raise ValueError(f"{places[0]}: not read; a part of a recording is given by offset and duration, in seconds")
    if others := sorted(given & _OTHER_SOUND):
        raise ValueError(f"{others[0]}: not applied; write the recording as it is to be heard into a file of its own")


def _check_types(values: dict[str, Any]) -> None:
    if "text" not in values:
        raise ValueError("no text")
    for key, value in values.items():
        if key in _SECONDS:
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST:
                raise ValueError(f"{key} is not a number of seconds: {value!r}")
        elif key == "audio" and isinstance(value, dict) and value.keys() & {"path", "bytes", "array"}:
            raise ValueError(
                f"audio is a column of Hugging Face: write its path, or use the kind huggingface: {value!r:.80}"
            )
        elif not isinstance(value, str) or "\0" in value:
            raise ValueError(f"{key} is not text: {value!r:.80}")
        else:
            value.encode()  # raises ValueError for a lone surrogate, which JSON can smuggle in
    refuse_control_tokens(values["text"])
    for key, allowed in (("split", get_args(Split)), ("origin", get_args(Origin))):
        if values.get(key, allowed[0]) not in allowed:
            raise ValueError(f"{key} is {values[key]!r}; one of {', '.join(allowed)}")


def refuse_control_tokens(text: str) -> None:
    """Refuses a text that a tokenizer would turn into commands to the model.

    Raises:
        ValueError: it holds such a token.
    """
    if found := _CONTROL_TOKEN.search(text):
        raise ValueError(f"{found[0]} in its text is a control token of the model, not speech")


def without_words(manifest: Manifest) -> tuple[str, ...]:
    """The ids of utterances whose texts hold nothing to learn."""
    return tuple(u.id for u in manifest if not u.has_words)
