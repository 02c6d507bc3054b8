"""Which utterances of a corpus are used, and why the others are not; counts per domain."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from asr_tv.config.run import CorpusConfig
from asr_tv.data.manifest import Dropped, Manifest, Utterance
from asr_tv.errors import ConfigError


def select(manifest: Manifest, config: CorpusConfig) -> tuple[Manifest, tuple[Dropped, ...]]:
    """The utterances in the wanted domains that are not too long, at most `max_per_domain` of each domain.

    The choice among too many depends on the ids alone, not on their order or on other utterances.

    Raises:
        ConfigError: a wanted domain does not exist.
    """
    if unknown := sorted(set(config.domains or ()) - set(manifest.domains)):
        known = ", ".join(manifest.domains)
        raise ConfigError(f"{manifest.name}: unknown domain {', '.join(unknown)}; domains here: {known}")
    reasons = {u.id: reason for u in manifest if (reason := _reason_against(u, config))}
    if config.max_per_domain is not None:
        reasons |= _beyond(config.max_per_domain, [u for u in manifest if u.id not in reasons])
    kept = manifest.where(manifest.name, lambda u: u.id not in reasons)
    return kept, tuple(Dropped(u.id, reasons[u.id]) for u in manifest if u.id in reasons)


def corpus_statistics(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Domain -> utterances, sentences (distinct texts), words (separated by white space) and seconds.

    The seconds are None where the manifest does not state the duration of each.
    """
    groups = {domain: [u for u in manifest if u.domain == domain] for domain in manifest.domains}
    return {
        domain: {
            "utterances": len(group),
            "sentences": len({u.text for u in group}),
            "words": sum(len(u.text.split()) for u in group),
            "seconds": _seconds(group),
        }
        for domain, group in groups.items()
    }


def _seconds(group: Iterable[Utterance]) -> float | None:
    durations = [u.duration for u in group]
    return None if None in durations else round(sum(d for d in durations if d is not None), 3)


def count_reasons(dropped: Iterable[Dropped]) -> dict[str, int]:
    """Reason -> how many entries were dropped for it."""
    return dict(sorted(Counter(entry.reason for entry in dropped).items()))


def _reason_against(utterance: Utterance, config: CorpusConfig) -> str | None:
    if config.domains is not None and utterance.domain not in config.domains:
        return "another domain"
    if utterance.duration is not None and utterance.duration > config.max_seconds:
        return f"longer than {config.max_seconds:g} s"
    return None


def _beyond(limit: int, utterances: Iterable[Utterance]) -> dict[str, str]:
    ranked = sorted(utterances, key=lambda u: hashlib.sha256(u.id.encode()).digest())
    seen: Counter[str] = Counter()
    reasons = {}
    for utterance in ranked:
        seen[utterance.domain] += 1
        if seen[utterance.domain] > limit:
            reasons[utterance.id] = f"more than {limit} in its domain"
    return reasons
