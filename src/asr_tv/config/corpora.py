"""The configuration of labelled speech: `corpora`, `general` and the lines they are heard through."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from asr_tv.config.section import Choices, Language, Names, Positive, Section


class LineConfig(Section):
    """A *simulated line*: what a telephone channel would do to studio recordings. Seeded per utterance."""

    codec: Literal["gsm", "none"] = "gsm"
    snr_db: float = 10.0
    seed: int = 0


class CorpusConfig(Section):
    """Labelled speech.

    `kind` asterisk: the Asterisk core prompts in `language`. manifest: a JSONL file. audiofolder: a folder in
    Hugging Face's audiofolder form. slurp: SLURP's repository. huggingface: a dataset's name. nemo, lhotse: a file of
    theirs. kaldi: a data folder. openslr: LibriSpeech or speechocean762, unpacked.
    """

    kind: Literal["asterisk", "manifest", "audiofolder", "slurp", "huggingface", "nemo", "lhotse", "kaldi", "openslr"]
    path: str | None = None
    language: Language = "en"
    domains: Choices[str] | None = Field(None, description="keep only these domains")
    max_seconds: Positive = Field(15.0, description="longer recordings are left out, and listed")
    max_per_domain: int | None = Field(None, ge=2, description="keep at most so many utterances of a domain, seeded")
    line: LineConfig | None = Field(None, description="make a simulated line of the recordings")
    audio: str | None = Field(None, description="slurp: folder or archives (commas between) of the recordings")
    splits: Choices[str] | None = Field(None, description="slurp, huggingface, openslr: parts to read")
    subset: str | None = Field(None, description="huggingface: name of the dataset's configuration")
    revision: str | None = Field(None, description="huggingface: commit or tag; not given, the newest")
    columns: Names = Field((), description="audio, text, domain, speaker, id: what the corpus calls them")
    limit: int | None = Field(None, ge=1, description="huggingface: the first so many rows of each part")
    outside: bool = Field(False, description="read recordings outside the manifest's folder: absolute paths, .., links")
    missing_audio: Literal["refuse", "drop"] = Field("refuse", description="drop: listed, and gone on without")

    def key_parameters(self) -> dict[str, Any]:
        """What enters the stage's key: not where it lies; later settings only where they are used."""
        later = ("splits", "subset", "revision", "columns", "limit", "missing_audio")
        unused = {name for name in later if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump(mode="json", exclude={"path", "audio", "outside", *unused})

    @model_validator(mode="after")
    def _path_where_needed(self) -> Self:
        if (self.kind == "asterisk") == (self.path is not None):
            raise ValueError(f"kind {self.kind} {'takes no path' if self.path else 'needs a path'}")
        return self
