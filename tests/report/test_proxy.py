"""The synthetic proxy in a report: its rows, and whether recordings agree."""

from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.report.proxy import PROXY, RECORDINGS, proxy_note, proxy_part, proxy_table
from asr_tv.report.table import as_markdown
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.score import evaluate

TEXTS = [f"one two three number {n}" for n in range(12)]
WORDS = Manifest("m", tuple(Utterance(f"u{n}", text) for n, text in enumerate(TEXTS)))
BOOTSTRAP = Bootstrap(200, 0.95, 1)


def heard(wrong: int):
    """An evaluation in which the first words of so many sentences were misheard."""
    said = {f"u{n}": text.replace("one two", "won too") if n < wrong else text for n, text in enumerate(TEXTS)}
    return evaluate(WORDS, said, "basic")


def test_the_rows_have_both_systems_and_their_difference():
    part = proxy_part({"pretrained": heard(12), "adapted": heard(0)}, {}, ["hibari:heart"], BOOTSTRAP)
    (row,) = part["rows"]
    assert (row["heard"], row["pretrained_wer"], row["adapted_wer"]) == (PROXY, 0.4, 0.0)
    assert row["verdict"] == "better"
    assert "synthetic proxy" in proxy_note(part).lower()
    assert "hibari:heart" in proxy_note(part)
    assert "agree" not in proxy_note(part).lower()


def test_recordings_say_whether_the_proxy_is_to_be_believed():
    better = {"pretrained": heard(12), "adapted": heard(0)}
    worse = {"pretrained": heard(0), "adapted": heard(12)}
    agreeing, not_agreeing = (proxy_part(better, truth, ["v"], BOOTSTRAP) for truth in (better, worse))
    assert [row["heard"] for row in agreeing["rows"]] == [PROXY, RECORDINGS]
    assert "proxy and recordings agree" in proxy_note(agreeing)
    assert "DISAGREE" in proxy_note(not_agreeing)
    assert "recordings of the target" in as_markdown(proxy_table(not_agreeing))
