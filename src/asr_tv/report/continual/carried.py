"""What a run did not make itself: a published vector, and sentences that a text model of another domain wrote."""

from collections.abc import Iterator, Mapping
from typing import Any

from asr_tv.safe_text import counted, inert

Row = Mapping[str, Any]


def carried_text(report: Row) -> str:
    """For Markdown; empty where everything is the run's own."""
    return "\n".join([*_published(report), *_replayed(report)])


def carried_lines(report: Row) -> list[str]:
    """For a model card: a vector's licence binds what is made with it."""
    used = report.get("published")
    if used is None:
        return []
    return [f"- Vector: {inert(used['vector'])} ({inert(used['licence'])}), line: {inert(used['line'])}."]


def _published(report: Row) -> Iterator[str]:
    used = report.get("published")
    if used is None:
        return
    domains = ", ".join(map(inert, used["domains"])) or "not stated"
    yield (
        f"Published vector {inert(used['vector'])} times {used['scaling_coef']:g} ({inert(used['licence'])}): "
        f"line {inert(used['line'])}, domains {domains}."
    )
    if used["left_out"]:
        yield f"Left out of the test: {counted(used['left_out'], 'recording')} of sentences that it was made of."
    if shared := used["shared_test_sentences"]:
        listed = "; ".join(map(inert, shared[:10]))
        yield f"NOT TEXT-ONLY for {counted(len(shared), 'test recording')}: the vector was made of: {listed}."
    for difference in used["differences"]:
        yield f"Not as the vector was made: {inert(difference)}."


def _replayed(report: Row) -> Iterator[str]:
    for row in report.get("replayed", ()):
        yield (
            f"Written like {inert(row['domain'])} from {row['bytes']} bytes: "
            f"{counted(row['distinct'], 'distinct sentence')}, {100 * row['verbatim']:.0f} % of them verbatim."
        )
