"""The bound on words of the domain that a model hears in general speech where nobody said them."""

from collections.abc import Mapping, Sequence
from typing import Any

from asr_tv.report.systems import ADAPTED, PRETRAINED

GENERAL = "general speech"
"""Where the probes count them by words."""


def domain_words_part(retention: Sequence[Mapping[str, Any]], bound: float | None) -> dict[str, Any]:
    """`domain_words` of the report's forgetting: both models' rates per 1,000 words; nothing without a bound or probes.

    Passed where the adapted model's rate is above the pretrained one's by no more than the bound.
    """
    rates = {row["system"]: _rate(row) for row in retention}
    before, after = rates.get(PRETRAINED), rates.get(ADAPTED)
    if bound is None or before is None or after is None:
        return {}
    passed = after <= before + bound
    return {"domain_words": {"bound": bound, "pretrained": before, "adapted": after, "passed": passed}}


def _rate(row: Mapping[str, Any]) -> float | None:
    found: float | None = row.get("domain_words", {}).get(GENERAL, {}).get("rate")
    return found


def domain_words_told(forgetting: Mapping[str, Any]) -> str | None:
    """What a run says that broke the bound; None for any other."""
    found = forgetting.get("domain_words")
    if found is None or found["passed"]:
        return None
    return (
        "the adapted model hears words of the domain that nobody said: "
        f"{found['adapted']:.1f} per 1,000 words of general speech, pretrained {found['pretrained']:.1f}, "
        f"bound {found['bound']:g} more"
    )
