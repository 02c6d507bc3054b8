"""The description of a clip: as a row of JSON, and as the one-line seed transcript of DeSTA2 (arXiv 2409.20007)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from asr_tv.audio.attributes import Attributes
from asr_tv.describing.describers import CLASSIFIED, UNKNOWN
from asr_tv.errors import DataError

_PITCHES = ((150.0, "low"), (200.0, "medium"), (float("inf"), "high"))
"""Upper ends in Hz: most men's voices are below the first, most women's above it."""
_DIGITS = 4


@dataclass(frozen=True)
class Description:
    """A clip with what was measured of it, and what classifiers say of it ("unknown" where none does)."""

    id: str
    text: str
    domain: str
    attributes: Attributes
    said: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(CLASSIFIED, UNKNOWN))

    @property
    def row(self) -> dict[str, Any]:
        """For JSON: unknown measurements are null; numbers have four significant digits more than they mean."""
        measured = {k: None if v is None else round(v, _DIGITS) for k, v in asdict(self.attributes).items()}
        return {
            "id": self.id,
            "text": self.text,
            "domain": self.domain,
            **measured,
            **self.said,
            "seed_transcript": seed_transcript(self),
        }


def description_of(row: Mapping[str, Any]) -> Description:
    """The inverse of `Description.row`.

    Raises:
        DataError: a row of another form.
    """
    try:
        measured = {name: row[name] for name in Attributes.__dataclass_fields__}
        said = {name: str(row[name]) for name in CLASSIFIED}
        return Description(row["id"], row["text"], row["domain"], Attributes(**measured), said)
    except (KeyError, TypeError) as error:
        raise DataError(f"not a description of a clip: {error!r}") from None


def parse_descriptions(text: str) -> tuple[Description, ...]:
    """Descriptions from JSON lines."""
    return tuple(description_of(json.loads(line)) for line in text.splitlines())


def format_descriptions(descriptions: tuple[Description, ...]) -> str:
    """Descriptions as JSON lines."""
    return "".join(json.dumps(d.row, ensure_ascii=False) + "\n" for d in descriptions)


def seed_transcript(description: Description) -> str:
    """`[00:00:00 - 00:00:05] How are you (Pitch: low, Speed: 3.8 words/s, ...)`; what is not known is "unknown"."""
    a = description.attributes
    told = {
        "Duration": f"{a.duration:.1f} s",
        "Pitch": _pitch(a.f0_hz),
        "Speed": _number(a.words_a_second, ".1f", "words/s"),
        "Volume": _number(a.level_dbfs, ".0f", "dBFS"),
        "SNR": _number(a.snr_db, ".0f", "dB"),
        **{name.capitalize(): value for name, value in description.said.items()},
    }
    said = ", ".join(f"{name}: {value}" for name, value in told.items())
    text = " ".join(description.text.split())
    return f"[00:00:00 - {_clock(a.duration)}]{' ' * bool(text)}{text} ({said})"


def _pitch(hertz: float | None) -> str:
    if hertz is None:
        return UNKNOWN
    return f"{next(name for end, name in _PITCHES if hertz < end)} ({hertz:.0f} Hz)"


def _number(value: float | None, form: str, unit: str) -> str:
    return UNKNOWN if value is None else f"{value:{form}} {unit}"


def _clock(seconds: float) -> str:
    whole = int(seconds + 0.5)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
