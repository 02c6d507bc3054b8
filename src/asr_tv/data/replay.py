"""Replay: a share of the source domains among the target's clips, against forgetting them."""

import hashlib
import math
from collections.abc import Sequence

from asr_tv.config.run import ReplayConfig
from asr_tv.data.manifest import Manifest, Utterance, concatenate
from asr_tv.errors import ConfigError

SPOKEN_ANEW = frozenset({"texts", "generated"})
"""Origins whose memory is texts: so many are chosen, and all clips of them are replayed."""


def with_replay(
    target_clips: Manifest, source_real: Manifest, source_clips: Manifest, replay: ReplayConfig, seed: int
) -> Manifest:
    """The target's clips and ceil(share x their number) source utterances; with a share of 0, the clips themselves.

    The source utterances are divided evenly over their domains, as LAMOL (arXiv 1909.03329) does over earlier tasks;
    a domain that is too small leaves its part to the others. The choice depends on seed and recording, not on order.

    Args:
        source_clips: of an origin of `SPOKEN_ANEW`, the clips of the texts that were chosen, all of which are taken.

    Raises:
        ConfigError: there is no source speech to replay.
    """
    if not replay.share:
        return target_clips
    memory = source_real if replay.origin == "real" else source_clips
    if not len(memory):
        raise ConfigError("replay.share: there is no source speech to replay")
    if replay.origin in SPOKEN_ANEW:
        return concatenate(target_clips.name, [target_clips, Manifest("replay", source_clips.utterances)])
    wanted = min(len(memory), math.ceil(replay.share * len(target_clips)))
    return concatenate(target_clips.name, [target_clips, Manifest("replay", tuple(_drawn(memory, wanted, seed)))])


def even_shares(wanted: int, domains: Sequence[str]) -> dict[str, int]:
    """A number divided evenly over domains; the first ones take the remainder."""
    whole, rest = divmod(wanted, len(domains))
    return {domain: whole + (place < rest) for place, domain in enumerate(domains)}


def drawn_texts(memory: Manifest, shares: dict[str, int], seed: int) -> Manifest:
    """Of each domain its share of distinct texts, or all that it has; the choice depends on seed and text alone."""

    def rank(utterance: Utterance) -> bytes:
        return hashlib.sha256(f"{seed}\x1f{utterance.text}".encode()).digest()

    found: list[Utterance] = []
    for domain, share in shares.items():
        distinct = {u.text: u for u in memory if u.domain == domain}
        found += sorted(distinct.values(), key=rank)[:share]
    return Manifest("replayed texts", tuple(found))


def _drawn(memory: Manifest, wanted: int, seed: int) -> list[Utterance]:
    """One utterance per domain, round after round, each domain in the order of its digests."""

    def rank(utterance: Utterance) -> bytes:
        return hashlib.sha256(f"{seed}\x1f{utterance.audio_digest}\x1f{utterance.id}".encode()).digest()

    queues = [sorted((u for u in memory if u.domain == d), key=rank) for d in memory.domains]
    rounds = max(map(len, queues))
    return [queue[n] for n in range(rounds) for queue in queues if n < len(queue)][:wanted]
