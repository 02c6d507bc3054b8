"""Which sentences train, which choose the recipe, which test: by sentence, so that no sentence is in two splits."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from asr_tv.errors import DataError
from asr_tv.manifest import Manifest, Split, Utterance

Normalize = Callable[[str], str]


@dataclass(frozen=True)
class Shares:
    """Parts of a domain's sentences; the rest trains."""

    dev: float
    test: float


def split_by_sentence(manifest: Manifest, shares: Shares, normalize: Normalize, seed: int) -> Manifest:
    """The same utterances with `split` set, domain by domain.

    All recordings of one normalised sentence share a split. The draw depends on the sentence and the seed, not on
    order or on the other domains.

    Raises:
        DataError: a domain with too few sentences to fill the splits asked for.
    """
    split_of: dict[tuple[str, str], Split] = {}
    problems = []
    for domain in manifest.domains:
        sentences = {normalize(u.text) for u in manifest if u.domain == domain}
        wanted = 1 + (shares.dev > 0) + (shares.test > 0)
        if len(sentences) < wanted:
            problems.append(f"domain {domain}: {len(sentences)} sentence(s) cannot fill {wanted} splits")
            continue
        split_of |= {(domain, s): split for s, split in _assigned(domain, sentences, shares, seed)}
    if problems:
        raise DataError(problems)
    return Manifest(
        manifest.name,
        tuple(replace(u, split=split_of[u.domain, normalize(u.text)]) for u in manifest),
    )


def _assigned(domain: str, sentences: set[str], shares: Shares, seed: int) -> list[tuple[str, Split]]:
    ranked = sorted(sentences, key=lambda s: hashlib.sha256(f"{seed}\x1f{domain}\x1f{s}".encode()).digest())
    test = _count(len(ranked), shares.test)
    dev = _count(len(ranked), shares.dev)
    return [(s, "test" if i < test else "dev" if i < test + dev else "train") for i, s in enumerate(ranked)]


def _count(total: int, share: float) -> int:
    """At least one sentence where a share is asked for, and at least one left to train on."""
    return 0 if share == 0 else min(max(1, round(total * share)), max(1, total - 2))


@dataclass(frozen=True)
class Dropped:
    """An utterance that was left out, and why."""

    id: str
    reason: str


def without_sentences(
    manifest: Manifest, sentences: Iterable[str], normalize: Normalize, reason: str
) -> tuple[Manifest, tuple[Dropped, ...]]:
    """The manifest without the utterances of these normalised sentences, and what was left out."""
    unwanted = set(sentences)
    kept: list[Utterance] = []
    dropped: list[Dropped] = []
    for u in manifest:
        if normalize(u.text) in unwanted:
            dropped.append(Dropped(u.id, reason))
        else:
            kept.append(u)
    return Manifest(manifest.name, tuple(kept)), tuple(dropped)
