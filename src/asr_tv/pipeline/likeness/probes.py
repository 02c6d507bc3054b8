"""What a model heard, probed: words of the domain that nobody said, which words were said, and in which order."""

from collections.abc import Mapping, Sequence
from typing import Any

from asr_tv.data.manifest import Manifest
from asr_tv.report.likeness.bound import GENERAL
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.questions.unsaid import HeardText, unsaid_rows
from asr_tv.scoring.questions.yes_no import Said, ask_all, existence_pairs, from_transcript, order_pairs
from asr_tv.text.normalize import Normalizer


def probed(
    recordings: Manifest,
    heard: Mapping[str, str],
    terms: Sequence[str],
    normalize: Normalizer,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """`domain_words` by kind of recording, and `questions` where something is said; both as the report has them."""
    silent = recordings.where("silent", lambda u: not normalize(u.text))
    spoken = recordings.where("spoken", lambda u: bool(normalize(u.text)))
    parts = {**({GENERAL: spoken} if len(spoken) else {}), **_by_domain(silent)}
    found: dict[str, Any] = {}
    if terms:
        texts = {where: _texts(own, heard, normalize) for where, own in parts.items()}
        found["domain_words"] = unsaid_rows(texts, terms, bootstrap)
    if len(spoken):
        found["questions"] = questions(spoken, heard, normalize, bootstrap)
    return found


def questions(
    spoken: Manifest, heard: Mapping[str, str], normalize: Normalizer, bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """Existence and order questions about recordings, answered from what was heard."""
    said = [Said(u.id, normalize(u.text)) for u in spoken]
    answer = from_transcript({u.id: normalize(heard[u.id]) for u in spoken})
    pairs = {"existence": existence_pairs(said, bootstrap.seed), "order": order_pairs(said, bootstrap.seed)}
    return {kind: ask_all(own, answer, bootstrap).row for kind, own in pairs.items()}


def _by_domain(manifest: Manifest) -> dict[str, Manifest]:
    return {d: manifest.where(d, lambda u, d=d: u.domain == d) for d in manifest.domains}  # type: ignore[misc]


def _texts(recordings: Manifest, heard: Mapping[str, str], normalize: Normalizer) -> list[HeardText]:
    return [HeardText(normalize(u.text), normalize(heard[u.id]), u.duration or 0.0) for u in recordings]
