"""Speech from OpenSLR as it unpacks: LibriSpeech (12) and speechocean762 (101)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.kaldi import read_table
from asr_tv.data.corpora.source import NO_TEXT, Segment, Source, files_source
from asr_tv.data.manifest import Dropped, Split, utterance_of
from asr_tv.errors import DataError
from asr_tv.store.results import file_digest

_LICENCES = {
    "librispeech": "CC BY 4.0",
    "speechocean762": "free for commercial and non-commercial use, says openslr.org/101",
}
_TRANSCRIPTS = "*.trans.txt"
_CHILD_BELOW = 16
"""Years; speechocean762 has children of 5 to 15 and adults."""
_PARTS: Mapping[str, Split] = {"train": "train", "test": "test"}


def openslr_source(config: CorpusConfig) -> Source:
    """The folder at `config.path`: one with LibriSpeech's `*.trans.txt` below it, or speechocean762's.

    LibriSpeech's domains are its parts, such as dev-clean; speechocean762's are adult and child. `config.splits` takes
    some parts only. Both are written in capitals without punctuation, and are read in lower case.

    Raises:
        DataError: it is neither; an unknown part; a listing is missing or malformed.
    """
    folder = Path(config.path or "").expanduser()
    if listings := sorted(folder.rglob(_TRANSCRIPTS)):
        name, found = "librispeech", [*_librispeech(listings, config.splits)]
    elif (folder / "train" / "wav.scp").is_file():
        listings = [folder / part / file for part in _PARTS for file in ("wav.scp", "text", "utt2spk", "spk2age")]
        name, found = "speechocean762", [*_speechocean(folder, config.splits)]
    else:
        raise DataError(f"{folder}: neither LibriSpeech (*.trans.txt below it) nor speechocean762 (train/wav.scp)")
    if not found:
        raise DataError(f"{folder}: no part {', '.join(config.splits or ())}")
    inputs = {str(listing.relative_to(folder)): file_digest(listing) for listing in listings}
    return files_source(name, found, config, inputs, folder / "listing", _LICENCES[name])


def _librispeech(listings: list[Path], parts: tuple[str, ...] | None) -> Iterator[Segment | Dropped]:
    for listing in listings:
        part, speaker = listing.parents[2].name, listing.parents[1].name
        if parts is not None and part not in parts:
            continue
        for name, text in read_table(listing).items():
            audio = str(listing.parent.absolute() / f"{name}.flac")
            yield _segment(name, text, audio, domain=part, speaker=speaker)


def _speechocean(folder: Path, parts: tuple[str, ...] | None) -> Iterator[Segment | Dropped]:
    for part in [p for p in _PARTS if parts is None or p in parts]:
        tables = {file: read_table(folder / part / file) for file in ("wav.scp", "text", "utt2spk", "spk2age")}
        for name, path in tables["wav.scp"].items():
            try:
                speaker = tables["utt2spk"][name]
                domain = "child" if int(tables["spk2age"][speaker]) < _CHILD_BELOW else "adult"
            except (KeyError, ValueError) as error:
                raise DataError(f"{folder / part}: {name}: no speaker or no age of it ({error})") from None
            text, audio = tables["text"].get(name, ""), str(folder.absolute() / path)
            yield _segment(name, text, audio, domain=domain, speaker=speaker, split=_PARTS[part])


def _segment(name: str, text: str, audio: str, **given: str) -> Segment | Dropped:
    return Segment(utterance_of(id=name, text=text.lower(), audio=audio, **given)) if text else Dropped(name, NO_TEXT)
