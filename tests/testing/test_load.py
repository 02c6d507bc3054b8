"""Many clips need no more memory and no more open files than few, and progress tells the truth of them."""

from pathlib import Path

import pytest

from asr_tv.testing.load import Watch, loaded


def test_five_hundred_clips_need_hardly_more_than_fifty(tmp_path: Path) -> None:
    few, many = (loaded(count, tmp_path / str(count)) for count in (50, 500))
    assert many.lies == few.lies == ()
    assert many.most_open_files <= many.fewest_open_files + 1
    assert many.most_open_files <= few.most_open_files + 1
    assert many.scoring_peak < 1.15 * few.scoring_peak
    assert many.wer == pytest.approx(few.wer, rel=0.05)
    assert 0 < many.wer < 0.1


def test_the_watch_sees_a_lie() -> None:
    watch = Watch()
    with watch("too many", 2, "clips") as advance:
        advance(3)
    with watch("too few", 2, "clips") as advance:
        advance(1)
    assert watch.lies == [
        "too many: 3 more make 3 of 2",
        "too many: ended at 3 of 2",
        "too few: ended at 1 of 2",
    ]
