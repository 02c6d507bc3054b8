"""What every section of a configuration is made of: a frozen, closed model and the kinds of its values."""

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from asr_tv.config.language import language_code

Item = TypeVar("Item", bound=Hashable)


def ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    """The bounds of a range.

    Raises:
        ValueError: the upper one is below the lower.
    """
    if bounds[0] > bounds[1]:
        raise ValueError(f"the range ends at {bounds[1]:g}, below its start {bounds[0]:g}")
    return bounds


def distinct(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """The items themselves, once it is clear that none stands there twice."""
    # Numbers as they are printed and name files: 0.3 and 0.3000000001 would be one.
    seen = [f"{item + 0.0:g}" if isinstance(item, float) else item for item in items]
    if repeated := sorted({str(item) for item in seen if seen.count(item) > 1}):
        raise ValueError(f"stands there more than once: {', '.join(repeated)}")
    return items


Language = Annotated[str, AfterValidator(language_code)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
AudioContext = Literal["full", "dynamic"] | Annotated[float, Field(gt=0, le=30)]
Range = Annotated[tuple[float, float], AfterValidator(ordered)]
NotNegativeRange = Annotated[tuple[NotNegative, NotNegative], AfterValidator(ordered)]
PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(ordered)]
Choices = Annotated[tuple[Item, ...], Field(min_length=1), AfterValidator(distinct)]
"""One or more, each once."""


def _pairs(names: Any) -> Any:
    return tuple(names.items()) if isinstance(names, Mapping) else names


Names = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs), PlainSerializer(dict)]
"""A mapping of names in YAML, as pairs, so that a section can be hashed."""


class Section(BaseModel):
    """A part of the configuration: immutable, closed against keys it does not know, its numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Family = Literal["whisper", "ctc"]
"""`ctc`: an encoder with a linear head, as Wav2Vec2ForCTC and Wav2Vec2ConformerForCTC."""
