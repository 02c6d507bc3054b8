"""The Conformer-CTC of hama: 4 blocks, 144 wide, 50 frames per second, batch norm folded into its convolutions."""

from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, glu, scaled_dot_product_attention, silu

from asr_tv.errors import ConfigError

WIDTH, INNER, BLOCKS, HEADS, KERNEL = 144, 576, 4, 4, 31
MELS, CLASSES, BLANK, WORD_BOUNDARY = 80, 191, 190, 189
_WINDOW, _HOP = 400, 160
"""In samples at 16 kHz."""


class CtcOutput(NamedTuple):
    """As transformers' CTC models return; logits [clips, frames, classes]."""

    logits: Tensor


class FeatureExtractor(nn.Module):
    """Samples [clips, samples] -> frames [clips, frames, WIDTH], two STFT frames in each."""

    def __init__(self) -> None:
        super().__init__()
        bins = _WINDOW // 2 + 1
        self.register_buffer("mel", torch.zeros(bins, MELS))
        self.register_buffer("stft_real", torch.zeros(bins, 1, _WINDOW))
        self.register_buffer("stft_imaginary", torch.zeros(bins, 1, _WINDOW))
        self.conv = nn.Conv1d(MELS, WIDTH, 3, stride=2, padding=1)

    def forward(self, samples: Tensor) -> Tensor:
        wave = nn.functional.pad(samples[:, None], (_WINDOW // 2, _WINDOW // 2), mode="reflect")
        real = nn.functional.conv1d(wave, self.get_buffer("stft_real"), stride=_HOP)
        imaginary = nn.functional.conv1d(wave, self.get_buffer("stft_imaginary"), stride=_HOP)
        power = (real.square() + imaginary.square()).transpose(1, 2)
        mel = (power @ self.get_buffer("mel")).clamp(min=1e-10).log()
        return gelu(self.conv(mel.transpose(1, 2))).transpose(1, 2)


class FeedForward(nn.Module):
    """Half a step, added by the block."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)

    def forward(self, frames: Tensor) -> Tensor:
        out: Tensor = self.fc2(silu(self.fc1(self.norm(frames))))
        return out


class Attention(nn.Module):
    """Self-attention without positions."""

    def __init__(self) -> None:
        super().__init__()
        self.projections, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, frames: Tensor) -> Tensor:
        heads = self.projections(frames).unflatten(-1, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(heads[0], heads[1], heads[2])
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(-2))
        return out


class Convolution(nn.Module):
    """The Conformer's convolution module."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.pointwise1, self.pointwise2 = nn.Conv1d(WIDTH, 2 * WIDTH, 1), nn.Conv1d(WIDTH, WIDTH, 1)
        self.depthwise = nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=KERNEL // 2, groups=WIDTH)

    def forward(self, frames: Tensor) -> Tensor:
        gated = glu(self.pointwise1(self.norm(frames).transpose(1, 2)), dim=1)
        out: Tensor = self.pointwise2(silu(self.depthwise(gated))).transpose(1, 2)
        return out


class Block(nn.Module):
    """A Conformer block."""

    def __init__(self) -> None:
        super().__init__()
        self.ffn1, self.ffn2 = FeedForward(), FeedForward()
        self.attention_norm, self.norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention, self.conv = Attention(), Convolution()

    def forward(self, frames: Tensor) -> Tensor:
        frames = frames + 0.5 * self.ffn1(frames)
        frames = frames + self.attention(self.attention_norm(frames))
        frames = frames + self.conv(frames)
        out: Tensor = self.norm(frames + 0.5 * self.ffn2(frames))
        return out


class HamaConformer(nn.Module):
    """Samples at 16 kHz in [-1, 1], float32 [clips, samples] -> logits of phonemes, or of `classes` others.

    Attention and convolutions hear the padding of a batch; decoding has none.
    """

    def __init__(self, classes: int = CLASSES, blank: int = BLANK) -> None:
        super().__init__()
        self.config = SimpleNamespace(pad_token_id=blank, vocab_size=classes)
        self.feature_extractor = FeatureExtractor()
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.head = nn.Conv1d(WIDTH, classes, 1)

    def freeze_feature_encoder(self) -> None:
        """As transformers' CTC models are asked to leave the convolutions before the blocks as they are."""
        self.feature_extractor.requires_grad_(False)

    def activation_checkpointing_enable(self) -> None:
        """Refuses: there is nothing to save in so small a model."""
        raise ConfigError("training.gradient_checkpointing: hama's Conformer has none")

    def forward(self, samples: Tensor, attention_mask: Tensor | None = None) -> CtcOutput:  # noqa: ARG002 - unmasked
        frames = self.feature_extractor(samples.clamp(-1, 1))
        for block in self.blocks:
            frames = block(frames)
        return CtcOutput(self.head(frames.transpose(1, 2)).transpose(1, 2))

    def _get_feat_extract_output_lengths(self, samples: Tensor) -> Tensor:
        """As transformers' CTC models call it: how many frames so many samples give."""
        stft = torch.where(samples <= _WINDOW // 2, 0, samples // _HOP + 1)  # fewer cannot be reflected
        return (stft + 1) // 2
