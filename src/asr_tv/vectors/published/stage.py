"""The stage that brings a published vector into a run, once it is known to be whole and of the run's model."""

import hashlib
from pathlib import Path
from shutil import copyfile

from asr_tv.data.text_files import read_bytes
from asr_tv.store.payload import MODEL, VECTOR
from asr_tv.store.records import ManifestRef
from asr_tv.store.results import Identity, Produced, Record
from asr_tv.store.runtime import Runtime
from asr_tv.vectors.published.card import CARD, SENTENCES, VectorCard
from asr_tv.vectors.published.folder import read_card, require_base, require_whole


def published_stage(runtime: Runtime, base: Record, folder: Path, language: str) -> Record:
    """The vector of a folder as a stage's result, with the manifests that it was made of elsewhere.

    Raises:
        DataError: a file that is missing or changed; another model or language.
    """
    card = read_card(folder)
    require_whole(folder, card)
    require_base(card, base.path / MODEL, language, str(folder))
    digest = hashlib.sha256(read_bytes(folder / CARD)).hexdigest()

    def produce(scratch: Path) -> Produced:
        copyfile(folder / VECTOR, scratch / VECTOR)
        return Produced(foreign_reads(card), {"vector": card.label, "licence": card.licence, "line": card.line})

    identity = Identity("published", 1, {"card": digest}, {"base": base.digest})
    return runtime.store.build(identity, produce)


def foreign_reads(card: VectorCard) -> tuple[ManifestRef, ...]:
    """What was read elsewhere, as a ledger lists it: the source recordings, known by the digests of their sentences."""
    count, digest = int(card.source.get("utterances") or 0), card.files[SENTENCES].sha256
    made = (("published real", "real"), ("published synthetic", "synthetic"))
    domains = tuple(sorted(card.domains))
    return tuple(ManifestRef(f"{name}: {card.label}", digest, count, domains, ("train",), (o,)) for name, o in made)
