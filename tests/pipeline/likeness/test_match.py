"""Synthesis set after the source recordings: planted attributes give planted settings, and nothing reads the target."""

from pathlib import Path

import pytest
from commands import Command

from asr_tv.audio.attributes import Attributes
from asr_tv.config.parsing import parse_config
from asr_tv.config.run import AdaptConfig, SynthesisConfig
from asr_tv.describing.description import Description
from asr_tv.errors import ConfigError
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.likeness.gaps import gap_part, gaps_between, snr_range, suggestions
from asr_tv.pipeline.likeness.match import _with_settings, matched
from asr_tv.pipeline.material import prepare
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.store.results import Store
from asr_tv.testing.runs import fake_benchmark, fake_config

HOW = Bootstrap(200, 0.95, 1)


def described(count: int = 12, snr: float | None = None, **measured: float) -> list[Description]:
    spread = [1 + 0.01 * (n - count / 2) / count for n in range(count)]
    return [
        Description(
            f"clip {n}",
            f"Sentence {n}.",
            "d",
            Attributes(2.0, snr_db=None if snr is None else snr + n, **{k: v * s for k, v in measured.items()}),
        )
        for n, s in enumerate(spread)
    ]


REAL = described(snr=10, letters_a_second=13.0, level_dbfs=-17.0, f0_hz=202.0, band_edge_hz=3875.0)
MADE = described(letters_a_second=17.0, level_dbfs=-20.0, f0_hz=97.0, band_edge_hz=7734.0)


def config(**synthesis: object) -> AdaptConfig:
    return AdaptConfig.model_validate(
        {"name": "a", "synthesis": {"match": "source", **synthesis}, "corpora": [{"kind": "asterisk"}]}
    )


class TestSettings:
    def test_rate_level_band_and_noise_follow_the_recordings(self) -> None:
        own = _with_settings(config(length_scale=(0.9, 1.1)), REAL, MADE)
        assert own.synthesis.length_scale == pytest.approx((0.9 * 17 / 13, 1.1 * 17 / 13), rel=0.01)
        assert own.synthesis.espeak.words_per_minute == pytest.approx((140 * 13 / 17, 190 * 13 / 17), rel=0.01)
        assert own.synthesis.gain_db == pytest.approx(3.0, abs=0.1)
        assert own.synthesis.high_hz == 3900
        assert own.augmentation.snr_db == pytest.approx((11.1, 19.9))

    def test_what_is_alike_stays(self) -> None:
        own = _with_settings(config(), MADE, MADE)
        assert own.synthesis == config().synthesis
        assert own.augmentation == config().augmentation

    def test_a_narrower_synthetic_band_is_left_alone(self) -> None:
        own = _with_settings(config(), MADE, REAL)
        assert own.synthesis.high_hz is None

    def test_espeak_stays_within_what_it_can(self) -> None:
        slow = described(letters_a_second=2.0)
        own = _with_settings(config(), slow, MADE)
        assert own.synthesis.espeak.words_per_minute == (80, 80)
        assert SynthesisConfig.model_validate(own.synthesis.model_dump()) == own.synthesis


class TestSuggestions:
    def test_each_with_its_knob(self) -> None:
        gaps = gaps_between(REAL, MADE, str.casefold, HOW)
        found = {name: s.text for name, s in suggestions(gaps, REAL, {"joe": 97.0}).items()}
        assert found == {
            "letters_a_second": "synthesis.length_scale × 1.31",
            "level_dbfs": "synthesis.gain_db +3.0",
            "band_edge_hz": "synthesis.high_hz 3900",
            "f0_hz": "no voice near 202 Hz",
        }
        near = suggestions(gaps, REAL, {"joe": 97.0, "amy": 210.0})
        assert near["f0_hz"].text == "the voice amy"

    def test_identical_sets_suggest_nothing(self) -> None:
        gaps = gaps_between(REAL, REAL, str.casefold, HOW)
        assert suggestions(gaps, REAL, {}) == {}
        rows = gap_part(gaps, {})["rows"]
        assert {row["probability"] for row in rows} == {0.5, None}
        assert {row["ks"] for row in rows} == {0, None}

    def test_noise_that_is_mostly_unknown_suggests_no_range(self) -> None:
        assert snr_range(MADE) is None
        assert snr_range([*REAL, *MADE]) is None


def test_a_run_that_does_not_ask_for_it_stays_as_it_is(tmp_path: Path) -> None:
    plain = fake_config(tmp_path)
    execute = InProcess(Store(tmp_path / "store"))
    assert matched(plain, prepare(plain, execute), execute) is plain


def test_the_source_s_recordings_and_clips_alone_are_read(tmp_path: Path) -> None:
    asked = fake_config(tmp_path, synthesis__match="source", run__workers=1)
    execute = InProcess(Store(tmp_path / "store"))
    material = prepare(asked, execute)
    own = matched(asked, material, execute)
    reads = [ref for entry in execute.done if entry.record.stage == "describe" for ref in entry.record.reads]
    assert {ref.origins for ref in reads} == {("real",), ("synthetic",)}
    assert {d for ref in reads for d in ref.domains} == set(material.source_train.domains)
    assert material.target_domain not in {d for ref in reads for d in ref.domains}
    assert {entry.step.purpose for entry in execute.done if entry.record.stage == "describe"} == {"model"}
    assert own.synthesis.gain_db < 0  # the "recordings" are half as loud


def test_without_source_speech_it_is_refused() -> None:
    values = {"name": "a", "target": {"texts": "t.txt"}, "synthesis": {"match": "source"}}
    with pytest.raises(ConfigError, match=r"synthesis.match: source needs source speech"):
        parse_config(values | {"selection": {"method": "fixed", "fixed": {"start": "pretrained"}}}, "c")


def test_where_nothing_could_be_matched_it_is_refused(asr_tv: Command, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("Hello there.\n")
    asked = ("synthesize", "texts.txt", "--engine", "fake", "--voice", "tone", "--set", "match=source", "--out", "o")
    assert asr_tv(*asked).problems == ["--set match: there are no source recordings here; `asr-tv adapt` has them"]
    with pytest.raises(ConfigError, match=r"benchmark.ablations: synthesis.match"):
        fake_benchmark(tmp_path, benchmark__ablations={"matched": {"synthesis.match": "source"}})
