"""Splits into train, dev and test by sentence, so that no sentence is in two splits."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from asr_tv.data.manifest import Dropped, Manifest, Split, Utterance
from asr_tv.errors import DataError

Normalize = Callable[[str], str]


@dataclass(frozen=True)
class Shares:
    """Shares of a domain's sentences, 0 to 1; the rest is for training."""

    dev: float
    test: float


def split_by_sentence(manifest: Manifest, shares: Shares, normalize: Normalize, seed: int) -> Manifest:
    """The same utterances with `split` set, domain by domain.

    All recordings of a normalised sentence share a split. Dev and test sets that the manifest itself names are kept:
    a sentence takes the most guarded split of its recordings, and only a split that its domain does not name is
    drawn. The draw depends on the sentence and the seed, not on order or on the other domains.

    Raises:
        DataError: a domain has too few sentences to fill the requested splits.
    """
    split_of: dict[tuple[str, str], Split] = {}
    problems = []
    for domain in manifest.domains:
        given = _given([u for u in manifest if u.domain == domain], normalize)
        wanted = 1 + (shares.dev > 0) + (shares.test > 0)
        if len(given) < wanted:
            problems.append(f"domain {domain}: {len(given)} sentence(s) cannot fill {wanted} splits")
            continue
        split_of |= {(domain, s): split for s, split in _assigned(domain, given, shares, seed).items()}
    if problems:
        raise DataError(problems)
    return Manifest(manifest.name, tuple(replace(u, split=split_of[u.domain, normalize(u.text)]) for u in manifest))


_GUARDED: tuple[Split, ...] = ("train", "dev", "test")


def _given(utterances: Iterable[Utterance], normalize: Normalize) -> dict[str, Split]:
    """The split each sentence has in the manifest: the most guarded one of its recordings."""
    given: dict[str, Split] = {}
    for u in utterances:
        sentence = normalize(u.text)
        given[sentence] = max(given.get(sentence, "train"), u.split, key=_GUARDED.index)
    return given


def _assigned(domain: str, given: dict[str, Split], shares: Shares, seed: int) -> dict[str, Split]:
    named = set(given.values())
    free = [s for s, split in given.items() if split == "train"]
    ranked = sorted(free, key=lambda s: hashlib.sha256(f"{seed}\x1f{domain}\x1f{s}".encode()).digest())
    test = 0 if "test" in named else _count(len(given), shares.test, room=len(ranked) - 1 - (shares.dev > 0))
    dev = 0 if "dev" in named else _count(len(given), shares.dev, room=len(ranked) - 1 - test)
    drawn: list[Split] = ["test" if i < test else "dev" if i < test + dev else "train" for i in range(len(ranked))]
    return given | dict(zip(ranked, drawn, strict=True))


def _count(total: int, share: float, *, room: int) -> int:
    """At least one sentence for any share above 0, as long as `room` allows."""
    return 0 if share == 0 else max(0, min(max(1, round(total * share)), room))


def without_sentences(
    manifest: Manifest, sentences: Iterable[str], normalize: Normalize, reason: str
) -> tuple[Manifest, tuple[Dropped, ...]]:
    """The manifest without the utterances of these normalised sentences, and what was left out."""
    unwanted = set(sentences)
    dropped = {u.id: Dropped(u.id, reason) for u in manifest if normalize(u.text) in unwanted}
    return manifest.where(manifest.name, lambda u: u.id not in dropped), tuple(dropped.values())
