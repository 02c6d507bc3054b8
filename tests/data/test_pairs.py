"""Source real and source synthetic hold the same sentences, equally often."""

from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.data.pairs import paired


def test_each_recording_has_one_clip_of_its_sentence() -> None:
    real = [("r1", "Stop.", "a"), ("r2", "stop", "a"), ("r3", "Go.", "a"), ("r4", "Stop.", "b")]
    clips = [("c1", "Stop.", "a"), ("c2", "Stop.", "b")]
    kept, matched = paired(
        Manifest("real", tuple(Utterance(i, t, audio=f"{i}.wav", domain=d) for i, t, d in real)),
        Manifest("clips", tuple(Utterance(i, t, audio=f"{i}.flac", domain=d, origin="synthetic") for i, t, d in clips)),
        lambda text: text.lower().strip("."),
    )
    assert [u.id for u in kept] == ["r1", "r2", "r4"]
    assert [u.audio for u in matched] == ["c1.flac", "c1.flac", "c2.flac"]
    assert len({u.id for u in matched}) == 3
    assert {u.origin for u in matched} == {"synthetic"}
