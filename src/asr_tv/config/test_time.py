"""Test-time adaptation of CTC models: the method and its settings, as the authors ran them unless said."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from asr_tv.config.section import Choices, Fraction, NotNegative, Positive, Section

AdaptMethod = Literal["pseudo_label", "suta", "continual", "fast_slow"]
Reset = Literal["never", "drift"] | Annotated[int, Field(ge=1)]
_STEPS: dict[AdaptMethod, int] = {"pseudo_label": 10, "suta": 10, "continual": 1, "fast_slow": 5}
ORDERED: frozenset[AdaptMethod] = frozenset({"continual", "fast_slow"})
"""Methods that carry weights from one recording to the next, so that the order of a manifest decides their texts."""


def _even(window: int) -> int:
    if window % 2:
        raise ValueError("the window's first half sets the model that drift is measured against: an even number")
    return window


class Adaptation(Section):
    """How a CTC model adapts to each recording before it is decoded (SUTA, arXiv 2203.14222, and what followed).

    `suta` and `pseudo_label` take every recording by itself. `continual` keeps its weights; `fast_slow` (DSUTA,
    arXiv 2406.11064) adapts fast to each recording from weights that follow all of them slowly.
    """

    method: AdaptMethod
    steps: int | None = Field(None, ge=0, description="by default 10; continual 1, fast_slow 5")
    learning_rate: NotNegative = 2e-5
    temperature: Positive = 2.5
    entropy_weight: Fraction = Field(0.3, description="the rest weighs minimum class confusion")
    tuned: Literal["norms", "norms_and_front"] = Field(
        "norms_and_front", description="layer norms, and the convolutions before the encoder"
    )
    buffer: int = Field(5, ge=1, description="recordings between two slow steps of fast_slow")
    reset: Reset = Field(
        "drift", description="when fast_slow starts anew: never, at drift, or every so many recordings"
    )
    window: Annotated[int, Field(ge=4), AfterValidator(_even)] = Field(
        100, description="recordings from which the drift rule learns what is usual"
    )
    patience: int = Field(2, ge=1, description="full buffers in a row that must be unusual")
    threshold: Positive = Field(2.0, description="standard errors above the usual")
    longest: Positive = Field(20.0, description="seconds; longer recordings are decoded unadapted, and counted")

    @model_validator(mode="after")
    def _buffers_fill_the_window(self) -> Self:
        if self.method == "fast_slow" and self.reset == "drift" and (self.window // 2) % self.buffer:
            raise ValueError(f"half the window, {self.window // 2}, must be a multiple of the buffer, {self.buffer}")
        return self

    @property
    def taken_steps(self) -> int:
        """Gradient steps on each recording."""
        return _STEPS[self.method] if self.steps is None else self.steps

    @property
    def needs_order(self) -> bool:
        """Whether a recording's text depends on those before it."""
        return self.method in ORDERED

    @property
    def told(self) -> str:
        """Everything that decides the texts, on one line."""
        rows = self.model_dump(mode="json") | {"steps": self.taken_steps}
        slow = ("buffer", "reset", "window", "patience", "threshold")
        unused = {"temperature", "entropy_weight"} if self.method == "pseudo_label" else set()
        unused |= set() if self.method == "fast_slow" else set(slow)
        unused |= set() if self.method == "fast_slow" and self.reset == "drift" else set(slow[2:])
        return ", ".join(f"{name} {value}" for name, value in rows.items() if name not in unused)


class TestTimeConfig(Section):
    """Rows of test-time adaptation on the target's test recordings; they hear these, and do not count as text-only."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    methods: Choices[AdaptMethod] = ("pseudo_label", "suta", "continual", "fast_slow")
    of: Choices[Literal["pretrained", "adapted"]] = ("pretrained", "adapted")
