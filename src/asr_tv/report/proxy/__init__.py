"""The part of a report on the synthetic proxy: what it says of pretrained and adapted, and whether recordings agree."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from asr_tv.report.scores import finite, judged, span
from asr_tv.report.systems import ADAPTED, PRETRAINED
from asr_tv.report.table import Table, build, count, difference, interval, rate, words
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.evaluation import Evaluation, compare

Json = dict[str, Any]
PROXY, RECORDINGS = "synthetic proxy", "recordings of the target"


def proxy_part(
    proxy: Mapping[str, Evaluation],
    recordings: Mapping[str, Evaluation],
    voices: Sequence[str],
    bootstrap: Bootstrap,
) -> Json:
    """Rows of the proxy, and of the target's recordings where there are any.

    Args:
        proxy, recordings: pretrained and adapted by name.
        voices: that spoke the proxy.
    """
    rows = [_row(PROXY, proxy, bootstrap)]
    if PRETRAINED in recordings and ADAPTED in recordings:
        rows.append(_row(RECORDINGS, recordings, bootstrap))
    return {"voices": list(voices), "rows": rows}


def _row(heard: str, scored: Mapping[str, Evaluation], bootstrap: Bootstrap) -> Json:
    pretrained, adapted = scored[PRETRAINED], scored[ADAPTED]
    return {
        "heard": heard,
        "pretrained_wer": finite(pretrained.wer),
        "pretrained": span(pretrained.interval(**asdict(bootstrap))),
        "adapted_wer": finite(adapted.wer),
        "adapted": span(adapted.interval(**asdict(bootstrap))),
        "words": adapted.word_counts.words,
        "sentences": adapted.sentences,
        **judged(compare(adapted, pretrained, **asdict(bootstrap))),
    }


def proxy_note(part: Mapping[str, Any]) -> str:
    """What the proxy is, and what it is not."""
    note = (
        f"Synthetic proxy: sentences of the target that were kept out of training, spoken by "
        f"{', '.join(part['voices'])}, which training never heard. Not recordings of people: synthetic speech is "
        "clearer and more alike, and a gain on it need not be one on real speech."
    )
    if len(part["rows"]) < 2:
        return note
    same = part["rows"][0]["verdict"] == part["rows"][1]["verdict"]
    return f"{note} Here proxy and recordings {'agree' if same else 'DISAGREE'} in their verdict."


def proxy_table(part: Mapping[str, Any], rates: str = "WER") -> Table | None:
    """Pretrained and adapted on the proxy, above the same on recordings where there are any."""
    fields = [
        words("heard"),
        rate(f"pretrained {rates} %", "pretrained_wer"),
        interval(f"pretrained {rates} %", "pretrained"),
        rate(f"adapted {rates} %", "adapted_wer"),
        interval(f"adapted {rates} %", "adapted"),
        *difference(lambda row: row, hint="adapted minus pretrained, in points; below zero adapted is better"),
        count("words"),
        count("sentences"),
    ]
    return build("proxy", "Synthetic proxy: no recordings of the target", part["rows"], fields)
