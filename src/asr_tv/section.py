"""What every part of the configuration is made of: a closed, frozen section, and ranges of numbers."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    """The bounds of a range.

    Raises:
        ValueError: the upper one is below the lower.
    """
    if bounds[0] > bounds[1]:
        raise ValueError(f"the range ends at {bounds[1]:g}, below its start {bounds[0]:g}")
    return bounds


Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Range = Annotated[tuple[float, float], AfterValidator(ordered)]
NotNegativeRange = Annotated[tuple[NotNegative, NotNegative], AfterValidator(ordered)]
PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(ordered)]


class Section(BaseModel):
    """A part of the configuration: immutable, closed against keys it does not know, its numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
