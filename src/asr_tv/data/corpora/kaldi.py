"""Kaldi data folders: wav.scp, text and, where they exist, segments, utt2spk and a file of domains."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.source import NO_TEXT, Segment, Source, files_source
from asr_tv.data.manifest import Dropped, utterance_of
from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError
from asr_tv.store.results import file_digest


def kaldi_source(config: CorpusConfig) -> Source:
    """The folder at `config.path`; `columns: {domain: FILE}` names a file of "utterance domain" lines.

    Raises:
        DataError: a file is missing or malformed; every recording that is a command, which is never run; every
            utterance without a recording. One without a text is left out.
    """
    folder = Path(config.path or "").expanduser()
    recordings, texts = read_table(folder / "wav.scp"), read_table(folder / "text")
    segments = read_table(folder / "segments") if (folder / "segments").is_file() else None
    speakers = read_table(folder / "utt2spk") if (folder / "utt2spk").is_file() else {}
    domain_file = dict(config.columns).get("domain")
    domains = read_table(folder / domain_file) if domain_file else {}
    problems = [f"{folder}/wav.scp: {r} is a command, which is not run" for r, p in recordings.items() if "|" in p]
    found: list[Segment | Dropped] = []
    for name, text in texts.items():
        given = {"id": name, "text": text, "domain": domains.get(name, "default"), "speaker": speakers.get(name)}
        try:
            path, start, seconds = _place(name, recordings, segments)
            audio = os.path.normpath(folder.absolute() / path)
            found.append(Segment(utterance_of(audio=audio, **given), start, seconds))
        except ValueError as error:
            problems.append(f"{folder}/text: {name}: {error}")
    placed = recordings if segments is None else segments
    found += [Dropped(name, NO_TEXT) for name in placed if name not in texts]
    if problems or not texts:
        raise DataError(problems or [f"{folder}/text: no utterance"])
    files = ("wav.scp", "text", "segments", "utt2spk", *([domain_file] if domain_file else []))
    inputs = {file: file_digest(folder / file) for file in files if (folder / file).is_file()}
    return files_source(folder.absolute().name, found, config, inputs, folder / "wav.scp")


def read_table(path: Path) -> dict[str, str]:
    """First word of each line of a Kaldi file -> the rest.

    Raises:
        DataError: it is no text file, or a first word stands twice.
    """
    rows = [line.split(maxsplit=1) for line in read_text(path).split("\n") if line.strip()]
    names = Counter(row[0] for row in rows)
    if len(names) != len(rows):
        repeated = sorted(name for name, count in names.items() if count > 1)
        raise DataError(f"{path}: listed more than once: {', '.join(repeated[:5])}")
    return {row[0]: row[1].strip() if len(row) > 1 else "" for row in rows}


def _place(
    name: str, recordings: Mapping[str, str], segments: Mapping[str, str] | None
) -> tuple[str, float, float | None]:
    try:
        if segments is None:
            return recordings[name], 0.0, None
        recording, start, end = segments[name].split()
        # Kaldi's extract-segments takes a negative end as that of the recording.
        return recordings[recording], float(start), float(end) - float(start) if float(end) >= 0 else None
    except (KeyError, ValueError) as error:
        raise ValueError(f"no recording of it ({error})") from None
