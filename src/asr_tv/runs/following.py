"""Follows a folder of recordings and people's corrections: texts, a list of terms, and now and then a tuned model.

What was heard stands in a journal before anything else follows from it, so that a killed process loses nothing and
hears nothing twice. What is learnt is a function of that journal and of the corrections.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asr_tv.audio.recordings import looks_like_recording, read_audio
from asr_tv.data.corrections import CORRECTIONS, Correction, usable_corrections
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.data.recorded import read_wave
from asr_tv.decoding.hypotheses import write_hypotheses
from asr_tv.errors import DataError
from asr_tv.models.audio_context import FULL_SECONDS, SAMPLING_RATE
from asr_tv.scoring.wer import ErrorCounts, count_words
from asr_tv.store.durable import append_durably, cached_digest, file_lock, write_atomically
from asr_tv.streaming.memory import TermList
from asr_tv.streaming.turns import Ear, Normalize, second_hearing

JOURNAL, TEXTS, TERMS = "journal.jsonl", "hyp.jsonl", "terms.txt"
HELD_OUT = 5
"""Of the verified recordings every fifth, by the digest of its sound, is never trained on and judges new models."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """A line of the journal.

    Attributes:
        audio: path below the followed folder; with `digest`, the sha256 of its bytes, what was heard.
        seconds: of sound.
        terms: how many terms were expected.
        model: digest of the model that heard it.
    """

    audio: str
    digest: str
    seconds: float
    text: str
    terms: int
    model: str
    at: str


@dataclass(frozen=True)
class Pass:
    """What one look into the folder found.

    Attributes:
        heard: new recordings.
        problems: recordings and lines that cannot be used, with reasons.
        unheard: ids of corrections for recordings that were not heard; they count once the recording comes.
        twice: ids that were corrected more than once, of which the last counts.
    """

    heard: tuple[Hearing, ...] = ()
    terms: tuple[str, ...] = ()
    verified: tuple[Utterance, ...] = ()
    problems: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()


@dataclass
class Follower:
    """Listens to a folder with one model.

    Attributes:
        model: digest of its weights, for the journal.
        boosts: whether its ear takes terms; a CTC model's does not.
    """

    folder: Path
    out: Path
    ear: Ear
    model: str
    normalize: Normalize
    boosts: bool = True
    _heard: dict[str, Hearing] = field(default_factory=dict)

    def look(self) -> Pass:
        """Hears what is new, each with the terms that corrections have taught by then; writes texts and terms.

        Raises:
            DataError: another process follows into the same folder, or the journal is damaged before its end.
        """
        with file_lock(self.out / ".follow.lock", f"following into {self.out}"):
            self._heard = {h.audio: h for h in recovered(self.out / JOURNAL)}
            corrections, problems = self._corrections()
            terms = self._terms(corrections).listed if self.boosts else ()
            new = []
            for path in self._recordings():
                try:
                    if (hearing := self._hear(path, terms)) is not None:
                        new.append(hearing)
                except DataError as error:
                    problems += error.problems
            terms = self._terms(corrections).listed
            self._write(terms)
            return Pass(tuple(new), terms, self._verified(corrections), tuple(problems), *self._odd(corrections))

    def _recordings(self) -> list[Path]:
        own = self.out.resolve()
        found = (p for p in sorted(self.folder.rglob("*")) if p.is_file() and own not in p.resolve().parents)
        visible = (p for p in found if not any(part.startswith(".") for part in p.relative_to(self.folder).parts))
        return [path for path in visible if looks_like_recording(path)]

    def _hear(self, path: Path, terms: tuple[str, ...]) -> Hearing | None:
        name, digest = str(path.relative_to(self.folder)), cached_digest(path)
        if name in self._heard and self._heard[name].digest == digest:
            return None
        wave = read_audio(path, sampling_rate=SAMPLING_RATE, utterance=name)
        if len(wave) > FULL_SECONDS * SAMPLING_RATE:
            raise DataError(f"{path}: lasts over {FULL_SECONDS:g} s: cut it, as asr-tv transcribe does")
        text, _ = second_hearing(self.ear(wave), terms)
        seconds, now = round(len(wave) / SAMPLING_RATE, 3), datetime.now(UTC).isoformat(timespec="seconds")
        hearing = Hearing(name, digest, seconds, text, len(terms), self.model, now)
        _append(self.out / JOURNAL, hearing)
        self._heard[name] = hearing
        return hearing

    def _corrections(self) -> tuple[list[Correction], list[str]]:
        """The usable lines, and the problems of the others; a line without its end is still being written."""
        path = self.folder / CORRECTIONS
        whole = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0] if path.is_file() else ""
        return usable_corrections(whole, str(path))

    def hearing_of(self, correction: Correction) -> Hearing | None:
        """The recording that a correction is of: by path, by file name where that is one file's, or by digest."""
        if (known := self._heard.get(correction.audio)) is not None:
            return known
        named = [h for h in self._heard.values() if Path(h.audio).name == Path(correction.audio).name]
        if len(named) == 1:
            return named[0]
        return next((h for h in self._heard.values() if correction.id in (h.audio, h.digest)), None)

    def _counted(self, corrections: Sequence[Correction]) -> list[tuple[int, Correction, Hearing]]:
        """The last correction of each recording that was heard, with its place in the file, in that order."""
        last: dict[str, tuple[int, Correction, Hearing]] = {}
        for place, correction in enumerate(corrections):
            if (hearing := self.hearing_of(correction)) is not None:
                last[hearing.audio] = place, correction, hearing
        return sorted(last.values(), key=lambda row: row[0])

    def _terms(self, corrections: Sequence[Correction]) -> TermList:
        memory = TermList()
        for place, correction, _ in self._counted(corrections):
            memory = memory.after(self.normalize(correction.text), self.normalize(correction.heard), place)
        return memory

    def _verified(self, corrections: Sequence[Correction]) -> tuple[Utterance, ...]:
        found = []
        for _, correction, hearing in self._counted(corrections):
            path = self.folder / hearing.audio
            if (said := correction.text.strip()) and path.is_file():
                clip = Utterance(hearing.audio, said, str(path), "stream", duration=hearing.seconds)
                found.append(replace(clip, audio_digest=hearing.digest))
        return tuple(found)

    def _odd(self, corrections: Sequence[Correction]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        ids = Counter(correction.id for correction in corrections)
        unheard = dict.fromkeys(c.id for c in corrections if self.hearing_of(c) is None)
        return tuple(unheard), tuple(name for name, count in ids.items() if count > 1)

    def _write(self, terms: Sequence[str]) -> None:
        write_hypotheses(self.out / TEXTS, {name: hearing.text for name, hearing in self._heard.items()})
        write_atomically(self.out / TERMS, "".join(f"{term}\n" for term in terms))


def recovered(path: Path) -> list[Hearing]:
    """The hearings of a journal whose last line may have been cut, which is mended.

    Raises:
        DataError: another line is damaged.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if path.exists() else []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(Hearing(**json.loads(line)))
        except (ValueError, TypeError) as error:
            if number < len(lines):
                raise DataError(f"{path}:{number}: not what asr-tv stream writes: {error}") from error
    if lines and (len(found) < len(lines) or not lines[-1].endswith("\n")):
        write_atomically(path, "".join(map(_line, found)))
    return found


def _line(hearing: Hearing) -> str:
    return json.dumps(asdict(hearing), ensure_ascii=False, sort_keys=True) + "\n"


def _append(path: Path, hearing: Hearing) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    append_durably(path, _line(hearing).encode())


def divided(verified: Sequence[Utterance]) -> tuple[Manifest, Manifest]:
    """What may be trained on, and what judges: no recording of one sentence is on both sides."""
    judges = [u for u in verified if int(hashlib.sha256(u.text.lower().encode()).hexdigest(), 16) % HELD_OUT == 0]
    names = {u.id for u in judges}
    return Manifest("verified", tuple(u for u in verified if u.id not in names)), Manifest("held out", tuple(judges))


def counts_of(ear: Ear, judges: Manifest, normalize: Normalize) -> list[ErrorCounts]:
    """A model's errors on each held-out verified recording, without any memory."""
    heard = ((u.text, ear(read_wave(u)).text()[0]) for u in judges)
    return [count_words(normalize(said), normalize(text)) for said, text in heard]


def put_model(model: Path, out: Path, report: Mapping[str, Any]) -> None:
    """A tuned model and what is known of it, as files of a run's folder, to be promoted from there."""
    shutil.rmtree(out / "model", ignore_errors=True)
    shutil.copytree(model, out / "model")
    write_atomically(out / "report.json", json.dumps(report, indent=1) + "\n")
