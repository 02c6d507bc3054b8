import gzip
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_tv.data.corpora import asterisk
from asr_tv.data.corpora.asterisk import PROMPT_SETS, domain_of, fetch_prompts, parse_transcript, read_prompts
from asr_tv.errors import ConfigError, DataError

TRANSCRIPT = """\ufeff; Core sounds

activated: Activated.
beep: [this is a simple beep tone]
confbridge-join: <beep ascending>
digits/1: one
digits/1: won
letters/at: at [@]
pls-try-call-later: Please try: again later.
silence/1: (1 second of silence)
vm-goodbye: Goodbye!
vm-intro: Please leave your message. (simple tone sound plays)
"""
RECORDED = ("activated", "beep", "digits/1", "letters/at", "silence/1", "silence/2", "vm-goodbye", "vm-intro", "untold")


def lay_out(sounds: Path, transcript: Path, names: tuple[str, ...] = RECORDED) -> None:
    for name in names:
        path = sounds / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(8000, 0.1), 8000)
    transcript.parent.mkdir(parents=True, exist_ok=True)
    content = TRANSCRIPT.encode()
    transcript.write_bytes(gzip.compress(content) if transcript.suffix == ".gz" else content)


def install(root: Path) -> None:
    lay_out(
        root / "usr/share/asterisk/sounds" / PROMPT_SETS["en"].voice,
        root / "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz",
    )


def test_a_transcript_gives_names_and_what_is_said() -> None:
    assert parse_transcript(TRANSCRIPT) == [
        ("activated", "Activated."),
        ("beep", ""),
        ("confbridge-join", ""),
        ("digits/1", "one"),
        ("digits/1", "won"),
        ("letters/at", "at"),
        ("pls-try-call-later", "Please try: again later."),
        ("silence/1", ""),
        ("vm-goodbye", "Goodbye!"),
        ("vm-intro", "Please leave your message."),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x: [!] punto esclamativo", "punto esclamativo"),
        ("x: space [ ]", "space"),
        ('x: IAX (note: does not say "2")', "IAX"),
        ("x: Il [suo] messaggio.", "Il [suo] messaggio."),
        ("x: menu poli (plus, jamais), appuyez sur 4.", "menu poli (plus, jamais), appuyez sur 4."),
        ("x: (ahooga)", ""),
        ("x:", ""),
    ],
)
def test_remarks_are_not_said(line: str, said: str) -> None:
    assert parse_transcript(line) == [("x", said)]


def test_installed_prompts(tmp_path: Path) -> None:
    install(tmp_path / "root")
    prompts = fetch_prompts("en", tmp_path / "scratch", installed=tmp_path / "root")
    assert {u.id: (u.text, u.domain) for u in prompts.manifest} == {
        "activated": ("Activated.", "phrases"),
        "digits/1": ("one", "digits"),
        "letters/at": ("at", "spelling"),
        "vm-goodbye": ("Goodbye!", "voicemail"),
        "vm-intro": ("Please leave your message.", "voicemail"),
    }
    assert {(d.id, d.reason) for d in prompts.dropped} == {
        ("beep", "a sound, not speech"),
        ("confbridge-join", "a sound, not speech"),
        ("digits/1", "a second text for the same recording"),
        ("pls-try-call-later", "no recording"),
        ("silence/1", "a sound, not speech"),
        ("silence/2", "a sound, not speech"),
        ("untold", "no transcript"),
    }
    assert prompts.details["origin"] == "installed Debian packages"
    assert {u.speaker for u in prompts.manifest} == {"en_US_f_Allison"}


def test_the_digest_is_of_recordings_and_transcript(tmp_path: Path) -> None:
    lay_out(tmp_path / "a", tmp_path / "a.txt.gz")
    lay_out(tmp_path / "b", tmp_path / "b.txt")
    first = read_prompts(tmp_path / "a", tmp_path / "a.txt.gz", "en", "here")
    second = read_prompts(tmp_path / "b", tmp_path / "b.txt", "en", "there")
    assert first.details["package_digest"] == second.details["package_digest"]
    soundfile.write(tmp_path / "b" / "beep.wav", np.zeros(8000), 8000)
    third = read_prompts(tmp_path / "b", tmp_path / "b.txt", "en", "there")
    assert third.details["package_digest"] != first.details["package_digest"]


def test_a_transcript_in_latin_1(tmp_path: Path) -> None:
    lay_out(tmp_path / "a", tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes("activated: activé\n".encode("latin-1"))
    prompts = read_prompts(tmp_path / "a", tmp_path / "a.txt", "fr", "here")
    assert [u.text for u in prompts.manifest] == ["activé"]


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("vm-and", "voicemail"),
        ("confbridge-only-participant", "conference"),
        ("conf-full", "conference"),
        ("phonetic/a_p", "spelling"),
        ("dictate/pause", "services"),
        ("queue-thankyou", "calls"),
        ("followme/sorry", "calls"),
        ("hello-world", "phrases"),
    ],
)
def test_domains_by_the_first_part_of_the_name(name: str, domain: str) -> None:
    assert domain_of(name) == domain


def test_without_packages_the_upstream_tarball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path / "sounds", tmp_path / "sounds" / "core-sounds-en.txt")
    with tarfile.open(tmp_path / "en.tar.gz", "w:gz") as tar:
        for path in sorted((tmp_path / "sounds").iterdir()):
            tar.add(path, arcname=path.name)
    monkeypatch.setattr(
        asterisk, "UPSTREAM", (tmp_path / "{language}.tar.gz").as_uri().replace("%7B", "{").replace("%7D", "}")
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    prompts = fetch_prompts("en", tmp_path / "scratch", installed=tmp_path / "nothing")
    assert len(prompts.manifest) == 5
    assert prompts.details["origin"] == "upstream tarball"
    with pytest.raises(DataError) as error:
        fetch_prompts("it", tmp_path / "scratch", installed=tmp_path / "nothing")
    assert "no apt-get" in error.value.problems[0]
    assert "it.tar.gz: cannot be fetched" in error.value.problems[1]


def test_a_tarball_cannot_write_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("evil")
    with tarfile.open(tmp_path / "en.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "x", arcname="../../evil")
    monkeypatch.setattr(asterisk, "UPSTREAM", (tmp_path / "en.tar.gz").as_uri())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="cannot be fetched"):
        fetch_prompts("en", tmp_path / "scratch", installed=tmp_path / "nothing")
    assert not (tmp_path / "evil").exists()


def test_unknown_language(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no Asterisk prompts in 'de'; languages: en, es, fr, it, ru"):
        fetch_prompts("de", tmp_path)
