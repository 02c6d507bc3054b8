"""What is heard of a file is all of it, or the file is refused: joined, cut, streamed and unfinished recordings."""

import contextlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_tv.audio.flac import ends_at, last_frame
from asr_tv.audio.layout import layout_of
from asr_tv.audio.recordings import audio_duration, looks_like_recording, read_audio, read_recording
from asr_tv.errors import DataError

RATE = 16_000
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "wav of floats": ("WAV", "FLOAT"),
    "wav of ulaw": ("WAV", "ULAW"),
    "big-endian wav": ("WAV", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
forms = st.sampled_from(sorted(FORMATS))
lengths = st.lists(st.floats(0.3, 1.5), min_size=1, max_size=3)
SLACK = 0.06
"""Seconds that a lossy codec may add at each joint."""


def noise(seconds: float) -> np.ndarray:
    count = round(seconds * RATE)
    return (np.random.default_rng(count).standard_normal(count) * 0.1).astype(np.float32)


def encoded(form: str, seconds: float) -> bytes:
    buffer = io.BytesIO()
    kind, subtype = FORMATS[form]
    endian = "BIG" if form.startswith("big") else "FILE"
    soundfile.write(buffer, noise(seconds), RATE, format=kind, subtype=subtype, endian=endian)
    return buffer.getvalue()


def heard(path: Path) -> float:
    """Seconds that both ways of reading agree on."""
    seconds = read_audio(path).size / RATE
    assert audio_duration(path) == pytest.approx(seconds, abs=0.001)
    return seconds


@settings(max_examples=60, deadline=None)
@given(form=forms, seconds=lengths)
def test_joined_recordings_are_heard_to_the_end(form: str, seconds: list[float], tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("joined") / "a.audio"
    path.write_bytes(b"".join(encoded(form, s) for s in seconds))
    assert heard(path) == pytest.approx(sum(seconds), abs=0.001 + SLACK * len(seconds))


@settings(max_examples=80, deadline=None)
@given(form=forms, seconds=lengths, share=st.floats(0.3, 0.999))
def test_cut_recordings_are_refused_or_heard_to_the_cut(form, seconds, share, tmp_path_factory) -> None:
    """Only an MP3 cut between two frames of its last part may be heard: as long as it is."""
    content = b"".join(encoded(form, s) for s in seconds)
    path = tmp_path_factory.mktemp("cut") / "a.audio"
    path.write_bytes(content[: int(len(content) * share)])
    try:
        found = heard(path)
    except DataError as error:
        assert "a.audio" in str(error)  # noqa: PT017
    else:
        assert found >= sum(seconds) * share - 0.5
        ends = np.cumsum(seconds)
        assert min(abs(found - end) for end in ends) < SLACK * len(seconds) + 0.01, "less than a whole part"


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "mp3"])
def test_foreign_bytes_behind_a_recording_are_refused(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a.audio"
    path.write_bytes(encoded(form, 1.0) + b"\x01\x02\xf7\x9a" * 200)
    said = "bytes behind its last frame" if form == "flac" else "800 bytes behind the end"
    for read in (read_audio, audio_duration):
        with pytest.raises(DataError, match=said):
            read(path)


@settings(max_examples=30, deadline=None)
@given(form=forms, seconds=lengths, junk=st.binary(min_size=8, max_size=3000), zeros=st.integers(0, 100))
def test_bytes_behind_recordings_are_refused_or_cost_nothing(form, seconds, junk, zeros, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("junk") / "a.audio"
    path.write_bytes(b"".join(encoded(form, s) for s in seconds) + bytes(zeros) + junk)
    try:
        found = heard(path)
    except DataError as error:
        assert "a.audio" in str(error)  # noqa: PT017
    else:
        assert found == pytest.approx(sum(seconds), abs=0.001 + SLACK * len(seconds))


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(1, 40_000),
    rate=st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000, 12_345]),
    channels=st.integers(1, 3),
    kind=st.sampled_from(["noise", "silence", "tone"]),
)
def test_the_last_frame_of_a_flac_file_is_found(samples, rate, channels, kind) -> None:
    wave = np.zeros((samples, channels))
    if kind == "noise":
        wave = np.random.default_rng(samples).uniform(-1, 1, (samples, channels))
    elif kind == "tone":
        wave += np.sin(np.arange(samples) / 20)[:, None]
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format="FLAC")
    data = buffer.getvalue()
    frame = last_frame(data, 0)
    assert frame is not None
    assert ends_at(data, frame, len(data))
    assert not ends_at(data, frame, len(data) - 1) or data.endswith(b"\0")  # a checksum cannot tell a zero at its end
    layout_of(data + bytes(50))
    assert last_frame(data[:frame], 0) is None


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("tag", [b"TAG" + bytes(125), bytes(64)], ids=["id3v1", "padding"])
def test_tags_and_padding_behind_a_recording_are_no_sound(form: str, tag: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.audio"
    path.write_bytes(encoded(form, 1.0) + tag)
    assert heard(path) == pytest.approx(1.0, abs=SLACK)


def frames_of(data: bytes) -> list[bytes]:
    from asr_tv.audio.mpeg import scan

    found = scan(data)
    assert found is not None
    return [data[frame.start : frame.start + frame.length] for run in found.runs for frame in run.frames]


def test_an_mp3_of_changing_bit_rate_without_a_count_is_whole(tmp_path: Path) -> None:
    """Silence first, in few bits, then noise in many: an estimate by the first frame's bit rate is far too long."""
    quiet, loud = io.BytesIO(), io.BytesIO()
    for buffer, level in ((quiet, 0.99), (loud, 0.0)):  # libsndfile's compression level sets the bit rate
        soundfile.write(buffer, noise(4.0), RATE, format="MP3", compression_level=level, bitrate_mode="CONSTANT")
    path = tmp_path / "a.mp3"
    for first, second in ((quiet, loud), (loud, quiet)):
        path.write_bytes(b"".join(frames_of(first.getvalue()) + frames_of(second.getvalue())))
        assert heard(path) == pytest.approx(8.0, abs=0.3)


def test_a_count_of_frames_that_is_too_small_is_not_believed(tmp_path: Path) -> None:
    data = bytearray(encoded("mp3", 3.0))
    place = data.find(b"Info") if b"Info" in data[:200] else data.find(b"Xing")
    struct.pack_into(">I", data, place + 8, 20)
    path = tmp_path / "a.mp3"
    path.write_bytes(data)
    assert heard(path) == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
@pytest.mark.parametrize("copies", [1, 2])
def test_a_wav_whose_length_was_never_filled_in_is_read_to_its_end(size: int, copies: int, tmp_path: Path) -> None:
    data = bytearray(encoded("wav", 1.0))
    struct.pack_into("<I", data, data.find(b"data") + 4, size)
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(data) * copies)
    assert heard(path) == copies * 1.0


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "NMS_ADPCM_16", "IMA_ADPCM", "MS_ADPCM"])
@pytest.mark.parametrize("kind", ["WAV", "AU"])
def test_codecs_that_cannot_be_sought_in_are_read(kind: str, subtype: str, tmp_path: Path) -> None:
    if not soundfile.check_format(kind, subtype):
        pytest.skip(f"{kind} does not hold {subtype}")
    path = tmp_path / "a.audio"
    soundfile.write(path, noise(2.0), 8000, format=kind, subtype=subtype)
    wave, rate = read_recording(path)
    assert wave.size == pytest.approx(2.0 * RATE, rel=0.05)
    assert audio_duration(path) == pytest.approx(wave.size / rate)


def test_an_ogg_stream_without_an_end_says_what_is_missing(tmp_path: Path) -> None:
    data = bytearray(encoded("opus", 1.0))
    data[data.rfind(b"OggS") + 5] &= ~4
    path = tmp_path / "a.opus"
    path.write_bytes(data)
    for read in (read_audio, audio_duration):
        with pytest.raises(DataError, match=r"the last page of the Ogg stream is missing.*`ffmpeg"):
            read(path)


def test_channels_that_cancel_out_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    wave = noise(1.0)
    soundfile.write(path, np.stack([wave, -wave], axis=1), RATE)
    with pytest.raises(DataError, match=r"a\.wav: its channels cancel each other out"):
        read_audio(path)
    soundfile.write(path, np.stack([wave, noise(1.0)[::-1]], axis=1), RATE)
    assert heard(path) == 1.0
    soundfile.write(path, np.zeros((RATE, 2)), RATE)
    assert heard(path) == 1.0


CODECS = {"m4a": ("ipod", "aac"), "mp4": ("mp4", "aac"), "webm": ("webm", "libopus"), "aac": ("adts", "aac")}


def written_by_pyav(path: Path, form: str, seconds: float, tracks: int = 1) -> bytes:
    av = pytest.importorskip("av")
    container_format, codec = CODECS[form]
    with av.open(str(path), "w", format=container_format) as container:
        streams = [container.add_stream(codec, rate=48_000, layout="mono") for _ in range(tracks)]
        wave = np.repeat(noise(seconds), 3)[None]
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate = 48_000
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    return path.read_bytes()


@pytest.mark.parametrize("form", CODECS)
def test_what_libsndfile_cannot_read_is_read_by_pyav(form: str, tmp_path: Path) -> None:
    path = tmp_path / "no suffix"
    content = written_by_pyav(path, form, 2.0)
    assert looks_like_recording(path)
    assert heard(path) == pytest.approx(2.0, abs=0.1)
    joined = tmp_path / "joined"
    joined.write_bytes(content * 2)
    try:
        assert heard(joined) == pytest.approx(4.0, abs=0.2)
    except DataError as error:
        assert "recordings in one file" in str(error)  # noqa: PT017
    if form != "webm":  # a stream without a length, whose end nothing marks
        path.write_bytes(content[: len(content) * 2 // 3])
        with pytest.raises(DataError, match="truncated"):
            read_audio(path)


def test_a_film_of_two_sound_tracks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    written_by_pyav(path, "mp4", 1.0, tracks=2)
    with pytest.raises(DataError, match="2 audio tracks"):
        read_audio(path)


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.m4a"
    written_by_pyav(path, "m4a", 1.0)
    monkeypatch.setattr("asr_tv.audio.media.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r'MP4 or M4A, which needs the extra "media"'):
        read_audio(path)


@settings(max_examples=300, deadline=None)
@given(
    head=st.sampled_from(
        [b"RIFF", b"OggS", b"fLaC", b"FORM", b".snd", b"\xff\xfb\x90", b"ID3", b"\x1aE\xdf\xa3", b"\0\0\0\x18ftyp"]
    ),
    rest=st.binary(max_size=300),
)
def test_no_bytes_break_the_walk(head: bytes, rest: bytes) -> None:
    with contextlib.suppress(DataError, struct.error, IndexError):
        layout_of(head + rest)
