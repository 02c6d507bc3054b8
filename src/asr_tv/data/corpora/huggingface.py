"""Hugging Face datasets by name, streamed; audio is kept as the bytes it came in and decoded by libsndfile."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.source import NO_TEXT, Opened, Segment, Source, opened_segments, require_inside
from asr_tv.data.manifest import Dropped, Split, Utterance, utterance_of
from asr_tv.errors import ConfigError, DataError, UserError

_SPLITS: Mapping[str, Split] = {"train": "train", "validation": "dev", "dev": "dev", "test": "test"}
_COLUMNS = {"audio": "audio", "text": "text"}


def huggingface_source(config: CorpusConfig) -> Source:
    """The dataset `config.path`, a name or a folder; `columns` names those of audio, text, domain, speaker and id.

    It is known by name and revision: unless the revision is pinned, a change of the dataset goes unnoticed.
    """
    inputs = {"dataset": f"{config.path}@{config.revision or 'newest'}"}
    return Source(inputs, partial(_open, config))


def _open(config: CorpusConfig, folder: Path) -> Opened:
    folder.mkdir(parents=True, exist_ok=True)
    name = str(config.path).rstrip("/").rpartition("/")[2]
    splits = config.splits or ("train",)
    found = [item for split in splits for item in _utterances(config, split, folder)]
    segments = [Segment(item) for item in found if isinstance(item, Utterance)]
    dropped = [item for item in found if isinstance(item, Dropped)]
    if not segments:
        raise DataError(f"{config.path}: no row that can be used of {len(found)}")
    if not config.outside:
        # A row may hold a path instead of bytes, which could name any file of this machine.
        own = Path(str(config.path)).expanduser()
        require_inside([folder, *([own] if own.is_dir() else [])], [s.utterance for s in segments], str(config.path))
    return opened_segments(name, segments, config, folder, dropped=dropped)


def _utterances(config: CorpusConfig, split: str, folder: Path) -> Iterator[Utterance | Dropped]:
    rows, features = _streamed(config, split)
    columns = _COLUMNS | dict(config.columns)
    for number, row in enumerate(_told_errors(rows, config)):
        if config.limit is not None and number >= config.limit:
            return
        if lost := [f"{role}: {column}" for role, column in columns.items() if column not in row]:
            raise ConfigError(f"columns: {config.path} has no {', '.join(lost)}; it has {', '.join(sorted(row))}")
        text, *labels = (_label(features, columns[role], row) for role in ("text", *_labels(columns)))
        given = dict(zip(_labels(columns), labels, strict=True))
        name = given.pop("id", None) or f"{split}-{number}"
        if text is None:
            yield Dropped(name, NO_TEXT)
            continue
        audio = _written(row[columns["audio"]], folder / f"{split}-{number}")
        part = _SPLITS.get(split.partition("[")[0], "train")
        try:
            yield utterance_of(id=name, text=text, audio=audio, split=part, **given)
        except ValueError as error:
            raise DataError(f"{config.path}: {split} row {number}: {error}") from None


def _labels(columns: Mapping[str, str]) -> list[str]:
    return [role for role in ("domain", "speaker", "id") if role in columns]


def _told_errors(rows: Any, config: CorpusConfig) -> Iterator[Mapping[str, Any]]:
    """The rows; what fails while they are read, which is where datasets first looks at the files, is a DataError."""
    try:
        yield from rows
    except ImportError as error:
        advice = "a folder of recordings is read without it by the kind audiofolder"
        raise DataError(f"{config.path}: {' '.join(str(error).split())}; {advice}") from None
    except UserError:
        raise
    except Exception as error:  # its formats raise anything
        raise DataError(f"{config.path}: cannot be read: {' '.join(str(error).split()):.300}") from error


def _streamed(config: CorpusConfig, split: str) -> tuple[Any, Any]:
    try:
        import datasets
    except ImportError:
        raise ConfigError('kind huggingface needs the extra: pip install -e ".[huggingface]"') from None
    audio = dict(config.columns).get("audio", "audio")
    try:
        rows = datasets.load_dataset(config.path, config.subset, split=split, revision=config.revision, streaming=True)
        if rows.features is None or audio in rows.features:
            rows = rows.cast_column(audio, datasets.Audio(decode=False))
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{config.path}: not available: {' '.join(str(error).split()):.300}") from error
    return rows, rows.features or {}


def _label(features: Any, column: str, row: Mapping[str, Any]) -> str | None:
    """A cell as text, the name of a class for its number; None for an empty one."""
    names, value = getattr(features.get(column), "names", None), row[column]
    if value is None or value != value:  # NaN
        return None
    return str(names[value] if names and isinstance(value, int) else value)


def _written(audio: Any, stem: Path) -> str | None:
    """The recording as a file: the dataset's own bytes, or where it lies already."""
    if not isinstance(audio, dict):
        return str(audio) if audio else None
    if audio.get("bytes"):
        target = stem.with_suffix(Path(audio.get("path") or "").suffix or ".audio")
        target.write_bytes(audio["bytes"])
        return str(target)
    return str(audio["path"]) if audio.get("path") else None
