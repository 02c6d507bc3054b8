"""Among which recipes a run chooses, and how."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from asr_tv.config.section import Choices, Fraction, Section

Start = Literal["pretrained", "joint", "source_real", "source_mixed"]
"""What the target's training starts from; joint: the pretrained model, with source speech among the target's clips."""
Effort = Literal["quick", "standard", "thorough"]
GRIDS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "quick": {
            "folds": 2,
            "starts": ("source_mixed",),
            "augmentation": (True,),
            "scaling_coefs": (0.0, 0.3),
            "pretrained_weights": (0.0, 0.3),
        },
        "thorough": {
            "folds": 99,
            "starts": ("pretrained", "joint", "source_real", "source_mixed"),
            "augmentation": (False, True),
            "scaling_coefs": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
            "pretrained_weights": (0.0, 0.1, 0.2, 0.35, 0.5),
        },
    }
)
"""Settings of `SelectionConfig` by effort: quick trains little beside the rows, thorough plays every domain."""


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Recipe(Section):
    """How the adapted model is made: `start` tuned on the target's synthetic speech, plus coefficient x vector.

    The sum is averaged with the pretrained weights (WiSE-FT, arXiv 2109.01903).
    """

    start: Start = "pretrained"
    augmentation: bool = True
    scaling_coef: float = 0.5
    pretrained_weight: Fraction | None = Field(
        None,
        description="share of the pretrained weights; not given, the smallest of selection.pretrained_weights that "
        "keeps general speech within forgetting.max_relative",
    )


class SelectionConfig(Section):
    """How the recipe is chosen: on source domains and general speech only, or fixed beforehand."""

    method: Literal["leave_one_source_domain_out", "fixed"] = "leave_one_source_domain_out"
    effort: Effort = Field(
        "standard", description="quick and thorough replace the five settings that follow, standard leaves them"
    )
    folds: int = Field(2, ge=1, description="so many source domains play the target, those with most dev words first")
    starts: Choices[Start] = ("pretrained", "source_real", "source_mixed")
    augmentation: Choices[bool] = (False, True)
    scaling_coefs: Choices[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    pretrained_weights: Choices[Fraction] = (0.0, 0.2, 0.35, 0.5)
    fixed: Recipe = Recipe()

    @property
    def recipes(self) -> int:
        """How many there are to choose from; the share of the pretrained weights follows from general speech."""
        chosen = len(self.starts) * len(self.augmentation) * len(self.scaling_coefs)
        return 0 if self.method == "fixed" else chosen

    @model_validator(mode="before")
    @classmethod
    def _grid_of_the_effort(cls, values: Any) -> Any:
        grid = GRIDS.get(str(values.get("effort")), {}) if isinstance(values, Mapping) else {}
        if others := [name for name, own in grid.items() if name in values and _listed(values[name]) != own]:
            raise ValueError(f"effort {values['effort']} has its own {', '.join(others)}: leave out one of the two")
        return {**values, **grid} if grid else values

    @model_validator(mode="after")
    def _fixed_is_used(self) -> Self:
        if self.model_fields_set >= {"fixed"} and "method" not in self.model_fields_set:
            raise ValueError("fixed has no effect without method: set method to fixed")
        return self
