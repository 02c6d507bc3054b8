"""Which of the target's sentences are kept out of training."""

from dataclasses import replace

from asr_tv.config.run import AdaptConfig
from asr_tv.data.manifest import Manifest
from asr_tv.data.splits import Normalize, Shares, split_by_sentence
from asr_tv.errors import ConfigError

NAME = "synthetic proxy"


def keep_out(config: AdaptConfig, texts: Manifest, normalize: Normalize) -> tuple[Manifest, Manifest | None]:
    """The sentences to train on, and those of the synthetic proxy; None where the configuration has none.

    Raises:
        ConfigError: the share leaves no sentence on one side.
    """
    if config.proxy is None:
        return texts, None
    whole = replace(texts, utterances=tuple(replace(u, split="train") for u in texts))
    drawn = split_by_sentence(whole, Shares(0.0, config.proxy.share), normalize, config.seed)
    kept = {u.id for u in drawn if u.split == "test"}
    if not 0 < len(kept) < len(texts):
        raise ConfigError(f"proxy.share: {config.proxy.share:g} of {len(texts)} sentences leaves none on one side")
    return texts.where(texts.name, lambda u: u.id not in kept), texts.where(NAME, lambda u: u.id in kept)
