"""What a model heard, probed: words of the domain that nobody said, which words were said, and in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asr_tv.data.manifest import Manifest, by_domain
from asr_tv.report.likeness.bound import GENERAL
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.questions.unsaid import HeardText, unsaid_rows
from asr_tv.scoring.questions.yes_no import Pair, Said, ask_all, existence_pairs, from_transcript, order_pairs
from asr_tv.text.normalize import Normalizer


@dataclass(frozen=True)
class ProbeSet:
    """Recordings as every model is probed on them.

    Attributes:
        parts: by kind: those in which something is said, and the domains of the others.
        said: normalised sentence by id.
        pairs: questions by kind; empty where nothing is said.
    """

    parts: Mapping[str, Manifest]
    said: Mapping[str, str]
    pairs: Mapping[str, Sequence[Pair]]


def probe_set(recordings: Manifest, normalize: Normalizer, seed: int) -> ProbeSet:
    """The recordings with their questions, which `seed` draws."""
    said = {u.id: normalize(u.text) for u in recordings}
    silent = recordings.where("silent", lambda u: not said[u.id])
    spoken = recordings.where(GENERAL, lambda u: bool(said[u.id]))
    if not len(spoken):
        return ProbeSet(by_domain(silent), said, {})
    asked = [Said(u.id, said[u.id]) for u in spoken]
    pairs = {"existence": existence_pairs(asked, seed), "order": order_pairs(asked, seed)}
    return ProbeSet({GENERAL: spoken, **by_domain(silent)}, said, pairs)


def probed(
    asked: ProbeSet, heard: Mapping[str, str], terms: Sequence[str], normalize: Normalizer, bootstrap: Bootstrap
) -> dict[str, Any]:
    """`domain_words` by kind of recording, and `questions` where something is said; both as the report has them."""
    texts = {name: normalize(heard[name]) for name in asked.said}
    found: dict[str, Any] = {}
    if terms:
        parts = {
            where: [HeardText(asked.said[u.id], texts[u.id], u.duration or 0.0) for u in own]
            for where, own in asked.parts.items()
        }
        found["domain_words"] = unsaid_rows(parts, terms, bootstrap)
    if asked.pairs:
        answer = from_transcript(texts)
        found["questions"] = {kind: ask_all(own, answer, bootstrap).row for kind, own in asked.pairs.items()}
    return found
