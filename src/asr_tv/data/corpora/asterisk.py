"""The Asterisk core prompts: one professional speaker per language, 8 kHz, from Debian's packages or upstream."""

import hashlib
import re
import shutil
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from asr_tv.audio.recordings import audio_duration
from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.archives import UNREADABLE, members, open_tar
from asr_tv.data.corpora.debian import package_files
from asr_tv.data.corpora.source import Opened, Source
from asr_tv.data.manifest import Dropped, Manifest, Utterance
from asr_tv.data.text_files import gunzipped, read_bytes
from asr_tv.errors import ConfigError, DataError, TryAgain
from asr_tv.store.results import file_digest


@dataclass(frozen=True, slots=True)
class PromptSet:
    """One language's prompts: folder of its voice, licence, and `payload_digest` of Debian's version 1.6.1-1."""

    voice: str
    licence: str
    digest: str


_BY, _BY_SA = "CC BY 3.0", "CC BY-SA 3.0"
PROMPT_SETS = {
    "en": PromptSet("en_US_f_Allison", _BY_SA, "07f52223c487662dc31a2dc6547d18d6e1ef88210ade2c374dfe8b26e57a79e0"),
    "es": PromptSet("es_MX_f_Allison", _BY_SA, "4e8dbb901ac9e99fdddff9352e02d4b42d3cd45e401a92c77c36b6dd2decb4c5"),
    "fr": PromptSet("fr_CA_f_June", _BY_SA, "407efa8fdb0483007e7adbe97454f8069fea1d200614863439189e06171b3129"),
    "it": PromptSet("it_IT_m_Carlo", _BY, "9af2e199a290f36a9df17a34e2719de541790c0aa58c86f43aa7811be77469d4"),
    "ru": PromptSet("ru_RU_f_IvrvoiceRU", _BY, "1c93a938cab8aa0812942e768600baa09e3fe1da3a0c17983679df9c58bff43e"),
}

UPSTREAM = "https://downloads.asterisk.org/pub/telephony/sounds/asterisk-core-sounds-{language}-wav-current.tar.gz"
_UPSTREAM_SECONDS = 5
_UPSTREAM_BYTES = 200_000_000

_PREFIXES = {
    "voicemail": "vm",
    "conference": "conf confbridge",
    "digits": "digits",
    "spelling": "letters phonetic",
    "services": "demo dictate dir spy tt",
    "calls": "agent all call calling cannot check feature followme from number one pbx please pls pm priv privacy "
    "queue screen simul ss to transfer unidentified",
}
DOMAINS = {prefix: domain for domain, prefixes in _PREFIXES.items() for prefix in prefixes.split()}
"""First part of a prompt's name -> its domain; all others are "phrases", which Asterisk concatenates when it speaks."""
OTHER_DOMAIN = "phrases"

_SOUND = re.compile(r"\[[^\]]*\]|<[^>]*>")
_REMARK = re.compile(r"\s*\([^()]*\)\.?$")
_SYMBOL = re.compile(r"\s*\[[^\w\]]*\]\s*")


def asterisk_source(config: CorpusConfig) -> Source:
    """The prompts in `config.language`, known by the digest of the pinned package.

    Raises:
        ConfigError: no such language.
    """

    def open_prompts(folder: Path) -> Opened:
        found = fetch_prompts(config.language, folder)
        timed = (replace(u, duration=audio_duration(Path(u.audio or ""), utterance=u.id)) for u in found.manifest)
        return replace(found, manifest=Manifest(found.manifest.name, tuple(timed)))

    return Source({"package": prompt_set(config.language).digest}, open_prompts)


def prompt_set(language: str) -> PromptSet:
    """The prompts in a language.

    Raises:
        ConfigError: there are none; names the available languages.
    """
    if language not in PROMPT_SETS:
        raise ConfigError(f"no Asterisk prompts in {language!r}; languages: {', '.join(PROMPT_SETS)}")
    return PROMPT_SETS[language]


def fetch_prompts(language: str, folder: Path, *, installed: Path = Path("/")) -> Opened:
    """The prompts as installed, else from Debian's packages, else from upstream, unpacked in `folder`.

    Raises:
        ConfigError: no such language.
        DataError: none of the three ways works, with each reason; without a network within seconds.
    """
    voice = prompt_set(language).voice
    shutil.rmtree(folder, ignore_errors=True)  # an interrupted download is not continued
    folder.mkdir(parents=True)
    sounds = f"usr/share/asterisk/sounds/{voice}"
    text = f"usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt.gz"
    packages = (f"asterisk-core-sounds-{language}-wav", f"asterisk-core-sounds-{language}")
    try:
        root = package_files(packages, (sounds, text), folder, installed=installed)
    except DataError as debian:
        try:
            upstream = _fetch_upstream(language, folder / "upstream")
        except DataError as error:
            raise type(error)([*debian.problems, *error.problems]) from None
        return read_prompts(upstream, upstream / f"core-sounds-{language}.txt", language, "upstream tarball")
    origin = "installed Debian packages" if root == installed else "downloaded Debian packages"
    return read_prompts(root / sounds, root / text, language, origin)


def read_prompts(sounds: Path, transcript: Path, language: str, origin: str) -> Opened:
    """The prompts whose recordings lie in `sounds` as NAME.wav and whose texts are in `transcript`."""
    pinned = prompt_set(language)
    content = gunzipped(read_bytes(transcript), transcript)
    recordings = {p.relative_to(sounds).with_suffix("").as_posix(): p for p in sorted(sounds.rglob("*.wav"))}
    spoken: dict[str, Utterance] = {}
    dropped: list[Dropped] = []
    try:
        entries = parse_transcript(content.decode("utf-8"))
    except UnicodeDecodeError:  # the oldest packages used Latin-1
        entries = parse_transcript(content.decode("latin-1"))
    for name, text in entries:
        if reason := _reason_against(name, text, recordings.keys() - spoken.keys(), spoken):
            dropped.append(Dropped(name, reason))
            continue
        spoken[name] = Utterance(name, text, str(recordings[name]), domain_of(name), speaker=pinned.voice)
    unlisted = sorted(recordings.keys() - {name for name, _ in entries})
    dropped += [Dropped(name, "a sound, not speech" if _is_silence(name) else "no transcript") for name in unlisted]
    manifest = Manifest(f"asterisk-{language}", tuple(spoken.values()))
    digest = payload_digest(recordings, content)
    package = {"package_digest": digest, "package_as_pinned": digest == pinned.digest}
    return Opened(manifest, tuple(dropped), {"licence": pinned.licence, "origin": origin, **package})


def parse_transcript(text: str) -> list[tuple[str, str]]:
    """(name, what is said) of each "name: text" line; "" where it is a sound. Lines with ';' are comments.

    A remark in parentheses at the end and a symbol in brackets, as in "at [@]", are not spoken and are removed.
    """
    lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
    entries = (line.partition(":") for line in lines if line and not line.startswith(";"))
    return [(name.strip(), _said(said.strip())) for name, _, said in entries]


def domain_of(name: str) -> str:
    """The domain of a prompt, by the first part of its name: of vm-goodbye voicemail, of digits/1 digits."""
    return DOMAINS.get(re.split(r"[/_-]", name, maxsplit=1)[0], OTHER_DOMAIN)


def payload_digest(recordings: dict[str, Path], transcript: bytes) -> str:
    """sha256 over the digests of all recordings, by name, and of the unpacked transcript."""
    lines = [f"{file_digest(path)}  {name}.wav" for name, path in recordings.items()]
    lines.append(f"{hashlib.sha256(transcript).hexdigest()}  transcript")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _reason_against(name: str, text: str, free: set[str], spoken: dict[str, Utterance]) -> str | None:
    if not text or _is_silence(name):
        return "a sound, not speech"
    if name in spoken:
        return "a second text for the same recording"
    return None if name in free else "no recording"


def _is_silence(name: str) -> bool:
    return name.startswith("silence/")


def _said(text: str) -> str:
    if _SOUND.fullmatch(text):
        return ""
    return _SYMBOL.sub(" ", _REMARK.sub("", text)).strip()


def _fetch_upstream(language: str, folder: Path) -> Path:
    """Unpacks the project's own tarball; its files lie in the top folder."""
    url = UPSTREAM.format(language=language)
    folder.mkdir(parents=True)
    archive = folder / "sounds.tar.gz"
    try:
        with urllib.request.urlopen(url, timeout=_UPSTREAM_SECONDS) as response, archive.open("wb") as file:  # nosec B310 - a constant https address
            _save(response, file, url)
        with open_tar(archive) as tar:
            for member in members(tar, archive, most=_UPSTREAM_BYTES):
                tar.extract(member, folder, filter="data")
    except UNREADABLE as error:
        raise TryAgain(f"{url}: cannot be fetched: {getattr(error, 'reason', None) or error}") from None
    archive.unlink()
    return folder


def _save(response: IO[bytes], file: IO[bytes], url: str) -> None:
    size = 0
    while block := response.read(1 << 20):
        if (size := size + len(block)) > _UPSTREAM_BYTES:
            raise DataError(f"{url}: more than {_UPSTREAM_BYTES} bytes")
        file.write(block)
