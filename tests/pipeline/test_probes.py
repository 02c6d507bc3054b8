"""Loops where almost nothing is said: clips made, hypotheses counted, and the verdict that follows."""

from pathlib import Path

import pytest

from asr_tv.errors import RunFailed
from asr_tv.models.locate import resolve_model
from asr_tv.pipeline import probes
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.material import GENERAL_ENGLISH
from asr_tv.pipeline.probes import SHORT_ENGLISH, probe
from asr_tv.pipeline.scoring import System
from asr_tv.runs.run import require_kept
from asr_tv.store.results import Store
from asr_tv.testing.runs import fake_config

LOOP = "and then " * 20


def test_the_short_clips_have_one_or_two_words_and_none_is_rehearsed() -> None:
    short = SHORT_ENGLISH.read_text().splitlines()
    assert len(set(short)) == 24
    assert {len(line.split()) for line in short} == {1, 2}
    assert not set(short) & set(GENERAL_ENGLISH.read_text().splitlines())


def test_loops_are_counted_by_kind_of_clip_and_by_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = fake_config(tmp_path, retention__noise_seconds=10, retention__short_clips=3)
    store = Store(tmp_path / "store")
    base = resolve_model(config.model, store)
    clips: list[str] = []

    def heard(_: object, __: object, manifest: object, *___: object, **____: object) -> list[dict[str, str]]:
        clips.extend(u.id for u in manifest)  # type: ignore[attr-defined]
        quiet = dict.fromkeys(clips, "you")
        return [quiet, quiet | {u.id: LOOP for u in manifest if u.domain == "one or two words"}]  # type: ignore[attr-defined]

    monkeypatch.setattr(probes, "_heard", heard)
    before, after = probe(config, [System("pretrained", base), System("adapted", base)], None, InProcess(store))
    assert len(clips) == 4 * 2 + 3
    kinds = ("silence", "faint noise", "loud noise", "music")
    assert before["loops"] == dict.fromkeys((*kinds, "one or two words"), 0)
    assert after["loops"] == before["loops"] | {"one or two words": 3}
    assert before["words_per_minute"] == dict.fromkeys(kinds, 12.0)  # a word in every 5 s


def test_in_another_language_no_english_words_are_spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = fake_config(
        tmp_path, language="de", scoring__normalizer="basic", retention__noise_seconds=0, retention__short_clips=3
    )
    monkeypatch.setattr(probes, "_heard", None)
    assert probe(config, [], None, InProcess(Store(tmp_path / "store"))) == []


def test_a_named_bound_fails_a_run_that_loops_and_has_no_general_recordings(tmp_path: Path) -> None:
    lost = {"passed": False, "rows": [], "probed_loops": {"pretrained": 1, "adapted": 4}}
    with pytest.raises(RunFailed, match=r"loops in silence.*4 loops, pretrained 1"):
        require_kept(fake_config(tmp_path), lost, tmp_path)
