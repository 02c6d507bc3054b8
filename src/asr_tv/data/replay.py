"""Experience replay: a share of source speech among the target's clips, against forgetting the source domains."""

import hashlib
import math

from asr_tv.config.run import ReplayConfig
from asr_tv.data.manifest import Manifest, Utterance, concatenate
from asr_tv.errors import ConfigError


def with_replay(
    target_clips: Manifest, source_real: Manifest, source_clips: Manifest, replay: ReplayConfig, seed: int
) -> Manifest:
    """The target's clips and ceil(share x their number) source utterances; with a share of 0, the clips themselves.

    The source utterances are divided evenly over their domains, as LAMOL (arXiv 1909.03329) does over earlier tasks;
    a domain that is too small leaves its part to the others. The choice depends on seed and recording, not on order.

    Raises:
        ConfigError: there is no source speech to replay.
    """
    if not replay.share:
        return target_clips
    memory = source_real if replay.origin == "real" else source_clips
    if not len(memory):
        raise ConfigError("replay.share: there is no source speech to replay")
    wanted = min(len(memory), math.ceil(replay.share * len(target_clips)))
    return concatenate(target_clips.name, [target_clips, Manifest("replay", tuple(_drawn(memory, wanted, seed)))])


def _drawn(memory: Manifest, wanted: int, seed: int) -> list[Utterance]:
    """One utterance per domain, round after round, each domain in the order of its digests."""

    def rank(utterance: Utterance) -> bytes:
        return hashlib.sha256(f"{seed}\x1f{utterance.audio_digest}\x1f{utterance.id}".encode()).digest()

    queues = [sorted((u for u in memory if u.domain == d), key=rank) for d in memory.domains]
    rounds = max(map(len, queues))
    return [queue[n] for n in range(rounds) for queue in queues if n < len(queue)][:wanted]
