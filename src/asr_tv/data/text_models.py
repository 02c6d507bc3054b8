"""The stages that keep a domain as a text model, and that write sentences from one."""

import hashlib
from pathlib import Path

from asr_tv.data.corpora.texts import read_texts
from asr_tv.data.manifest import Manifest
from asr_tv.data.text_files import read_text
from asr_tv.store.durable import write_atomically
from asr_tv.store.payload import SENTENCES, TEXT_MODEL
from asr_tv.store.results import Identity, Produced, Record
from asr_tv.store.runtime import Runtime
from asr_tv.text.normalize import get_normalizer
from asr_tv.text.writing.like import parse_text_model, train_text_model, write_like


def text_model_stage(runtime: Runtime, texts: Manifest, order: int, normalizer: str) -> Record:
    """Counts the words of texts; `normalizer` says which sentences are the same."""

    def produce(scratch: Path) -> Produced:
        model = train_text_model((u.text for u in texts), order, get_normalizer(normalizer))
        write_atomically(scratch / TEXT_MODEL, model.text())
        size = (scratch / TEXT_MODEL).stat().st_size
        return Produced(texts.refs(), {"sentences": len(model.sentences), "bytes": size})

    parameters = {"order": order, "normalizer": normalizer}
    return runtime.store.build(Identity("text_model", 1, parameters, {"texts": texts.digest}), produce)


def kept_text_model(runtime: Runtime, path: Path) -> Record:
    """A text model that was kept in a file, of a domain whose texts need not be there.

    Raises:
        DataError: it is none.
    """
    text = read_text(path)
    model = parse_text_model(text, str(path))

    def produce(scratch: Path) -> Produced:
        write_atomically(scratch / TEXT_MODEL, text)
        return Produced(details={"sentences": len(model.sentences), "bytes": len(text.encode())})

    digest = hashlib.sha256(text.encode()).hexdigest()
    return runtime.store.build(Identity("text_model", 1, {"sha256": digest}), produce)


def written_like_stage(
    runtime: Runtime, model: Record, domain: str, count: int, seed: int, how: tuple[str, bool]
) -> Record:
    """Writes sentences from a text model, a line each, and counts those that it recites.

    Args:
        how: the normaliser, and whether to leave out what is recited.
    """
    normalizer, novel = how

    def produce(scratch: Path) -> Produced:
        kept = parse_text_model(read_text(model.path / TEXT_MODEL), str(model.path / TEXT_MODEL))
        written = write_like(kept, count, seed, get_normalizer(normalizer), novel=novel, domain=domain)
        write_atomically(scratch / SENTENCES, "".join(f"{sentence}\n" for sentence in written.sentences))
        return Produced(details=written.row() | {"domain": domain})

    parameters = {"domain": domain, "count": count, "normalizer": normalizer, "novel": novel}
    return runtime.store.build(Identity("written", 2, parameters, {"model": model.digest}, seed=seed), produce)


def written_sentences(record: Record, domain: str) -> Manifest:
    """The sentences that a stage wrote; none where it wrote none."""
    if not (record.path / SENTENCES).stat().st_size:
        return Manifest("written", ())
    return read_texts(record.path / SENTENCES, domain)
