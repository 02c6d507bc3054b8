"""Finds a Whisper or a CTC model by path or hub name and keeps it in the store as a Hugging Face directory, `model/`.

Tried in order: a local path; packaged weights already in this store; the hub's local cache; the hub; Python packages.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_tv.data.text_files import require_utf8_name
from asr_tv.errors import DataError
from asr_tv.models.ctc import normalise_ctc
from asr_tv.models.ctranslate2 import read_variables, to_transformers
from asr_tv.models.directory import TOKENIZER, BareWhisper, normalise_directory, parameter_count, write_directory
from asr_tv.models.family import family_of
from asr_tv.models.hama.folder import HAMA, HAMA_LETTERS, LETTERS, LICENCE, SHA256, write_package, write_with_letters
from asr_tv.models.hub import Snapshot, cached_snapshot, download_snapshot
from asr_tv.models.openai import read_openai
from asr_tv.models.packaged import PackagedModel, install_hint, packages_of
from asr_tv.models.tensors import CONFIG, WEIGHTS, layout_of, open_tensors, read_json
from asr_tv.models.vocabulary import END, Tokenizer, is_published, load_tokenizer, require_published, whisper_tokenizer
from asr_tv.models.whisper import checkpoint_digest
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Identity, Produced, Record, Store, file_digest
from asr_tv.store.runtime import Runtime

STAGE, VERSION = "checkpoint", 1
_BINARY = "model.bin"


@dataclass(frozen=True)
class _Source:
    """A source of weights: its identity, the details of the record, and how to write it as a directory."""

    identity: Mapping[str, str]
    details: Mapping[str, str]
    write: Callable[[Path], None]


def resolve_model(name: str, store: Store) -> Record:
    """The checkpoint of this name, as a record whose payload `model/` transformers loads as it is.

    It is a hub name, or the path of a Hugging Face directory, a CTranslate2 directory, or an openai-whisper `.pt`.

    Raises:
        DataError: it is not available: why, for every source tried, and what to install.
    """
    name = str(Path(name).expanduser()) if name.startswith("~") else name
    if Path(name).exists():
        require_utf8_name(Path(name))
        return _stored(_local(Path(name)), store)
    if name.startswith(("/", "./", "../", "~")) or name.endswith(".pt") or name.count("/") > 1:
        raise DataError(f"{name}: no such file or directory")
    if name == HAMA:
        return _stored(_Source({"weights": SHA256}, {"source": HAMA, "licence": LICENCE}, write_package), store)
    if name == HAMA_LETTERS:
        identity, details = {"weights": SHA256, "letters": " ".join(LETTERS)}, {"source": name, "licence": LICENCE}
        return _stored(_Source(identity, details, write_with_letters), store)
    # A name keeps the weights it once had in this store, so that an unreliable network changes no result.
    for package in packages_of(name):
        if (record := store.find(Identity(STAGE, VERSION, {}, _packaged(package).identity))) is not None:
            return record
    if (snapshot := cached_snapshot(name)) is not None:
        return _stored(_hub(snapshot), store)
    try:
        return _stored(_hub(download_snapshot(name)), store)
    except DataError as error:
        if (available := next((package for package in packages_of(name) if package.files()), None)) is not None:
            return _stored(_packaged(available), store)
        raise type(error)([f"{name}: not a path on this machine", *error.problems, install_hint(name)]) from error


def _stored(source: _Source, store: Store) -> Record:
    def produce(scratch: Path) -> Produced:
        source.write(scratch / MODEL)
        parameters = parameter_count(layout_of(open_tensors(scratch / MODEL)))
        return Produced(details={**source.details, "parameters": parameters})

    return store.build(Identity(STAGE, VERSION, {}, source.identity), produce)


def _local(path: Path) -> _Source:
    details = {"source": path.name, "licence": "not stated"}
    if path.is_file():
        if path.suffix != ".pt":
            raise DataError(f"{path}: neither a directory nor an openai-whisper .pt file")
        return _Source({"openai": file_digest(path)}, details, lambda out: write_directory(_from_openai(path), out))
    if (path / _BINARY).exists() and not (path / WEIGHTS).exists():
        names = [name for name in (_BINARY, CONFIG, TOKENIZER) if (path / name).exists()]
        digests = {name: file_digest(path / name) for name in names}
        return _Source(digests, details, lambda out: write_directory(_from_ctranslate2(path), out))
    return _Source({"directory": checkpoint_digest(path)}, details, lambda out: _normalise(path, out))


def _hub(snapshot: Snapshot) -> _Source:
    details = {"source": f"{snapshot.name} at {snapshot.revision} (hub)", "licence": snapshot.licence}
    identity = {"hub": snapshot.name, "revision": snapshot.revision}
    return _Source(identity, details, lambda out: _normalise(snapshot.path, out))


def _normalise(source: Path, out: Path) -> None:
    normalise = normalise_ctc if family_of(source) == "ctc" else normalise_directory
    normalise(source, out)


def _packaged(package: PackagedModel) -> _Source:
    details = {"source": f"{package.name} from {package.source} (CTranslate2, fp16)", "licence": package.licence}
    identity = {"weights": package.sha256, "config": package.config_sha256}
    return _Source(identity, details, lambda out: write_directory(_from_package(package), out))


def _from_package(package: PackagedModel) -> BareWhisper:
    parts, config = package.verified_files()
    tensors = to_transformers(read_variables(*parts))
    return _with_hints(tensors, whisper_tokenizer(_vocab_size(parts[0], tensors)), read_json(config))


def _from_ctranslate2(directory: Path) -> BareWhisper:
    tensors = to_transformers(read_variables(directory / _BINARY))
    vocab_size = _vocab_size(directory, tensors)
    # Converters often omit the timestamps from tokenizer.json, so the published vocabulary takes precedence.
    published = is_published(vocab_size, _mel_bins(directory, tensors))
    tokenizer = whisper_tokenizer(vocab_size) if published else load_tokenizer(directory)
    _require_same_vocabulary(directory, tokenizer)
    return _with_hints(tensors, tokenizer, read_json(directory / CONFIG) if (directory / CONFIG).exists() else {})


def _with_hints(tensors: Mapping[str, Any], tokenizer: Tokenizer, config: Mapping[str, Any]) -> BareWhisper:
    hints = (config.get("suppress_ids") or [], *(config.get("alignment_heads") or []))
    if not all(isinstance(hint, list) and all(isinstance(number, int) for number in hint) for hint in hints):
        raise DataError(f"{CONFIG}: suppress_ids and alignment_heads are not lists of numbers and of pairs of numbers")
    suppressed = config.get("suppress_ids") or ()
    return BareWhisper(tensors, tokenizer, suppress_tokens=suppressed, alignment_heads=config.get("alignment_heads"))


def _from_openai(path: Path) -> BareWhisper:
    dimensions, tensors = read_openai(path)
    require_published(str(path), _vocab_size(path, tensors), _mel_bins(path, tensors))
    return BareWhisper(tensors, whisper_tokenizer(_vocab_size(path, tensors)), heads=dimensions.get("n_text_head"))


def _vocab_size(path: Path, tensors: Mapping[str, Any]) -> int:
    if (embedding := tensors.get("model.decoder.embed_tokens.weight")) is None:
        raise DataError(f"{path}: holds no token embedding, so it is not a Whisper")
    return int(embedding.shape[0])


def _mel_bins(path: Path, tensors: Mapping[str, Any]) -> int:
    if (convolution := tensors.get("model.encoder.conv1.weight")) is None:
        raise DataError(f"{path}: holds no convolution over mel bins, so it is not a Whisper")
    return int(convolution.shape[1])


def _require_same_vocabulary(directory: Path, tokenizer: Tokenizer) -> None:
    """Compares CTranslate2's list of tokens with the tokenizer up to end-of-text; names of later tokens vary."""
    listed = _listed_vocabulary(directory)
    end = tokenizer.convert_tokens_to_ids(END)
    ours = tokenizer.convert_ids_to_tokens(range(end))
    wrong = [number for number, (a, b) in enumerate(zip(listed, ours, strict=False)) if a != b]
    if listed and (wrong or len(listed) < end):
        number = wrong[0] if wrong else len(listed)
        raise DataError(f"{directory}: its vocabulary differs from the tokenizer's from token {number} on")


def _listed_vocabulary(directory: Path) -> Sequence[str]:
    try:
        if (path := directory / "vocabulary.json").exists():
            return [str(token) for token in json.loads(path.read_text(encoding="utf-8"))]
        if (path := directory / "vocabulary.txt").exists():
            return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: is not a list of tokens: {error}") from error
    return ()


def checkpoint_stage(runtime: Runtime, name: str) -> Record:
    """The pretrained model as a record."""
    with runtime.progress(f"checkpoint {name}", 1, "models") as advance:
        record = resolve_model(name, runtime.store)
        advance()
    return record
