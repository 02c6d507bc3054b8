from pathlib import Path
from typing import Any

import pytest

from asr_tv.data.corpora import stored_manifest
from asr_tv.data.corpora.noise import LEVELS, noise_stage
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import RunFailed
from asr_tv.pipeline.probes import _of_language
from asr_tv.report.ledger import StageEntry, ledger_entries, target_recordings_read_before_scoring
from asr_tv.report.score_tables import retention_table
from asr_tv.report.table import as_markdown
from asr_tv.runs.run import require_kept
from asr_tv.scoring.retention import retention, timestamps_valid, words_per_minute
from asr_tv.scoring.score import evaluate
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.runs import fake_config


def kept(*pairs: tuple[str, str]) -> Any:
    manifest = Manifest("m", tuple(Utterance(str(n), reference) for n, (reference, _) in enumerate(pairs)))
    return retention(evaluate(manifest, {str(n): heard for n, (_, heard) in enumerate(pairs)}, "english"))


def test_casing_and_punctuation_are_counted_where_the_reference_has_them() -> None:
    found = kept(("Hello.", "Hello."), ("Bye!", "bye"), ("no marks", "No."), ("one, two", "one two"))
    assert found.casing == 0.5
    assert found.punctuation == pytest.approx(1 / 3)
    assert kept(("plain", "plain")).casing is None


def test_loops_are_counted_of_all() -> None:
    assert kept(("a", "please hold the line " * 8), ("b", "please hold the line")).repetition == 0.5


def test_words_per_minute() -> None:
    assert words_per_minute(["thank you", ""], 30.0) == 4.0
    assert words_per_minute(["", " "], 30.0) == 0.0


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("<|0.00|> hello<|1.20|>", True),
        ("<|0.00|> hello<|1.20|><|1.20|> you<|2.00|>", True),
        ("<|0.00|> hello", False),
        (" hello<|1.20|>", False),
        ("<|1.00|> hello<|0.50|>", False),
        ("<|0.00|> hello<|28.00|>", False),
        ("", False),
    ],
)
def test_timestamps(text: str, valid: bool) -> None:
    assert timestamps_valid(text, 2.0) is valid


def test_noise_is_silent_or_loud_and_asks_for_no_words(tmp_path: Path) -> None:
    from asr_tv.audio.recordings import read_audio

    record = noise_stage(Runtime(Store(tmp_path)), 10.0, 3)
    manifest = stored_manifest(record)
    assert {u.domain for u in manifest} == set(LEVELS)
    assert {u.text for u in manifest} == {""}
    assert manifest.seconds == 40.0
    level = {u.domain: float(abs(read_audio(Path(u.audio or ""))).mean()) for u in manifest}
    assert level["silence"] == 0 < level["faint noise"] < 0.01 < level["loud noise"]
    assert level["music"] > 0.01


def test_a_bound_that_is_named_and_broken_fails_the_run_and_one_that_is_not_named_does_not(tmp_path: Path) -> None:
    lost = {"passed": False, "rows": [{"domain": "general", "pretrained": 0.05, "adapted": 0.2, "passed": False}]}
    named = fake_config(tmp_path, forgetting={"max_relative": 0.1})
    with pytest.raises(RunFailed, match=r"general: 5\.0 % WER to 20\.0 % WER"):
        require_kept(named, lost, tmp_path)
    require_kept(named, {"passed": True, "rows": []}, tmp_path)
    require_kept(named, {"passed": None, "rows": []}, tmp_path)
    values = named.model_dump(exclude={"forgetting"})
    require_kept(type(named).model_validate(values), lost, tmp_path)


def test_table() -> None:
    rows = [
        {"system": "pretrained", "words_per_minute": {"silence": 0.0}, "other_languages": {"es": 0.31}},
        {"system": "adapted", "words_per_minute": {"silence": 12.5}, "other_languages": {"es": None}},
    ]
    drawn = as_markdown(retention_table(rows)).splitlines()[2:]
    assert drawn == ["| pretrained | 0 | 31.0 | – |", "| adapted | 12.5 | – | – |"]


def test_a_domain_of_another_language_is_not_the_target() -> None:
    heard = Manifest("de", (Utterance("a", "Guten Tag.", domain="voicemail", audio="a.wav", duration=1.0),))
    spoken = _of_language(heard, "de")
    assert spoken.domains == ("voicemail (de)",)
    stage = StageEntry("transcribe", "transcribe adapted on de speech", "k", False, 1.0, spoken.refs())
    assert target_recordings_read_before_scoring([stage], "voicemail") == ()
    assert target_recordings_read_before_scoring([stage], "voicemail (de)") == ledger_entries([stage])
