"""What words alone can buy, beside tuned models: prompts, boosted terms, n-grams, and a decoder tuned on texts."""

from typing import Annotated, Literal

from pydantic import Field

from asr_tv.config.section import Choices, Fraction, NotNegative, Positive, Section

BiasRow = Literal["prompt", "boost", "ngram"]


class TextOnlyConfig(Section):
    """The decoder alone, tuned on the target's texts without any audio.

    `rhos` are candidates for the weight of staying close to the pretrained decoder.
    """

    epochs: int = Field(2, ge=1)
    learning_rate: Positive = 1e-5
    batch_size: int = Field(8, ge=1)
    rhos: Choices[Fraction] = (0.2, 0.5)


class BiasingConfig(Section):
    """Rows of decode-time methods on the pretrained and on the adapted model.

    Strengths are chosen on source domains that play the target; without such folds the safe ones are used.
    """

    rows: Choices[BiasRow] = ("prompt", "boost", "ngram")
    max_terms: int = Field(100, ge=1, le=10_000, description="terms to boost, the most frequent first")
    boosts: Choices[NotNegative] = (0.0, 0.5, 1.0, 2.0, 3.0)
    misheard_takes: int = Field(
        0, ge=0, description="takes in which each term is spoken to learn what is heard for it; 0: no such variants"
    )
    prompt_terms: Choices[Annotated[int, Field(ge=1)]] = (10, 30, 60)
    prompt_sentences: Choices[Annotated[int, Field(ge=1)]] = (3, 8)
    nearest: int = Field(5, ge=0, description="sentences nearest to a first hypothesis, as a prompt; 0: not tried")
    order: int = Field(4, ge=1, le=6, description="of the n-gram, in tokens")
    background_share: Fraction = Field(0.1, description="weight of the source's texts in the n-gram")
    alphas: Choices[NotNegative] = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
    betas: Choices[float] = (0.0,)
    gammas: Choices[NotNegative] = Field(
        (0.0,), description="weights, in shares of alpha, with which the model's own language model is subtracted"
    )
    distractors: int = Field(100, ge=0, description="terms of other domains that a second boosted row adds; 0: no row")
    text_only: TextOnlyConfig | None = Field(None, description="the row text_only_decoder; {} takes the defaults")
