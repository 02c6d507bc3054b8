from hypothesis import given
from hypothesis import strategies as st

from asr_tv.audio.silences import Span
from asr_tv.decoding.subtitles import Cue, Transcript, as_srt, as_text, as_vtt


def transcript(*texts: str, start: float = 0.0, length: float = 1.5) -> Transcript:
    segments = tuple(Cue(Span(start + i * length, start + (i + 1) * length), text) for i, text in enumerate(texts))
    return Transcript("a/call.wav", start + len(texts) * length, segments)


def test_srt_numbers_the_cues_that_have_words() -> None:
    assert as_srt(transcript("Hello.", " ", "Good\nbye.", start=3598.9994)) == (
        "1\n00:59:58,999 --> 01:00:00,499\nHello.\n\n2\n01:00:01,999 --> 01:00:03,499\nGood bye.\n"
    )


def test_vtt_escapes_what_it_may_not_hold() -> None:
    assert as_vtt(transcript("a --> b", "<v Bob> & Co")) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\na --&gt; b\n\n00:00:01.500 --> 00:00:03.000\n&lt;v Bob&gt; &amp; Co\n"
    )


def test_nothing_heard_is_an_empty_file_of_its_kind() -> None:
    assert (as_srt(transcript("")), as_vtt(transcript("")), as_text(transcript(""))) == ("", "WEBVTT\n", "")


def test_text_has_a_line_a_segment_and_json_the_times() -> None:
    said = transcript("Hello.", "Bye.")
    assert as_text(said) == "Hello.\nBye.\n"
    assert said.row() == {
        "file": "a/call.wav",
        "duration": 3.0,
        "text": "Hello. Bye.",
        "segments": [{"start": 0.0, "end": 1.5, "text": "Hello."}, {"start": 1.5, "end": 3.0, "text": "Bye."}],
    }


@given(st.lists(st.text(max_size=20), max_size=5), st.floats(0, 1e5))
def test_no_text_breaks_a_cue(texts: list[str], start: float) -> None:
    said = transcript(*texts, start=start)
    heard = [text for text in texts if text.split()]
    cues = [cue.strip("\n").split("\n") for cue in as_srt(said).split("\n\n") if cue.strip()]
    assert len(cues) == len(heard)
    assert all(len(cue) == 3 and cue[0] == str(n) and " --> " in cue[1] for n, cue in enumerate(cues, 1))
    assert as_vtt(said).count(" --> ") == len(heard)
