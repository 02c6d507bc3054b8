"""Orders of a manifest, for what depends on it: as it is, which is taken for time, and shuffled by seed."""

import hashlib
import random

from asr_tv.data.manifest import Manifest

FIRST_SEED = 42


def in_orders(manifest: Manifest, count: int) -> list[Manifest]:
    """The manifest as it is, then shuffled with seeds 42, 43, ...; `count` of them in all."""
    found = [manifest]
    for number in range(count - 1):
        utterances = list(manifest.utterances)
        random.Random(FIRST_SEED + number).shuffle(utterances)  # nosec B311 - reproducible orders
        found.append(Manifest(manifest.name, tuple(utterances)))
    return found


def order_digest(manifest: Manifest) -> str:
    """sha256 of the ids in their order, which a manifest's own digest leaves out."""
    return hashlib.sha256("\n".join(u.id for u in manifest).encode()).hexdigest()
