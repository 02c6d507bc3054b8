"""What visitors say of answers, and recordings with their consent: in a folder that later runs and commands read."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asr_tv.audio.recordings import write_audio
from asr_tv.data.corpora.local import read_manifest, write_manifest
from asr_tv.data.corrections import CORRECTIONS, Correction, add_correction, correction_of
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import DataError
from asr_tv.models.audio_context import SAMPLING_RATE
from asr_tv.runs.trial.clips import VisitorClip
from asr_tv.runs.trial.listeners import SideAnswer
from asr_tv.store.durable import file_digest, file_lock, write_atomically

FOLDER = "corrections"
RECORDINGS, CONSENT, CLIPS = "recordings.jsonl", "consent.jsonl", "clips"
STATEMENT = (
    "I am the speaker, or the speaker agreed: this recording may be kept and used to train and test speech recognisers."
)
"""What a visitor agrees to; kept with each recording."""


@dataclass(frozen=True)
class Keeper:
    """Adds to a folder: corrections always, recordings only with consent.

    Attributes:
        domain: of the recordings, in their manifest.
    """

    folder: Path
    domain: str = "default"

    def keep(self, clip: VisitorClip, answer: SideAnswer, said: str, *, consent: bool) -> Correction:
        """Adds one correction; with consent also the clip, its line in the manifest, and the consent itself.

        Raises:
            DataError: nothing was said to be said, or a text that no correction may hold.
        """
        said, at = said.strip(), datetime.now(UTC).isoformat(timespec="seconds")
        if not said:
            raise DataError("what was said is empty: write the words that were spoken")
        file = Path(CLIPS) / f"{clip.digest[:16]}.flac"
        about = {"id": clip.digest, "audio": str(file) if consent else clip.name, "model": answer.model, "at": at}
        try:
            row = correction_of(heard=answer.text, right=said == answer.text, text=said, **about)
        except ValueError as error:
            raise DataError(f"not kept: {error}") from None
        if consent:
            self._keep_clip(clip, file, said, at)
        add_correction(self.folder / CORRECTIONS, row)
        return row

    def _keep_clip(self, clip: VisitorClip, file: Path, said: str, at: str) -> None:
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_audio(path, clip.wave, SAMPLING_RATE)
        given = {"id": clip.digest, "audio": str(file), "consent": STATEMENT, "at": at}
        row = Utterance(clip.digest, said, str(path.absolute()), self.domain, audio_digest=file_digest(path))
        with file_lock(self.folder / ".recordings.lock", f"adding to {self.folder}"):
            _append(self.folder / CONSENT, json.dumps(given, ensure_ascii=False) + "\n")
            manifest = self.folder / RECORDINGS
            earlier = read_manifest(manifest, need_audio=False).by_id if manifest.exists() else {}
            write_manifest(Manifest(RECORDINGS, tuple((earlier | {row.id: row}).values())), manifest)


def _append(path: Path, line: str) -> None:
    earlier = path.read_text(encoding="utf-8") if path.exists() else ""
    write_atomically(path, earlier + line)
