"""The configuration of the synthetic proxy: sentences kept out of training, and the strangers who speak them."""

from typing import Annotated

from pydantic import Field

from asr_tv.config.section import Choices, Section


class ProxyConfig(Section):
    """A test for those who have no recordings: pretrained and adapted on synthetic speech that training never heard."""

    voices: Choices[str] = Field(
        ("hibari:heart",), description="ENGINE:VOICE, of engines that synthesis.voices does not use"
    )
    share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.15, description="of the target's sentences, which are then not trained on"
    )
