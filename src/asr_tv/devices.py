"""Which device and precision to use on this machine; decided once and then recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from asr_tv.errors import ConfigError

Precision = Literal["bf16", "fp32"]


def choose_device(wanted: str) -> torch.device:
    """The device of this name; "auto" is a GPU where there is one.

    Raises:
        ConfigError: no such device.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ConfigError(f"run.device: {wanted!r} is not a device") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"run.device: {wanted!r} is asked for, but torch sees no GPU")
    return device


def choose_precision(wanted: Literal["auto", "bf16", "fp32"], device: torch.device) -> Precision:
    """`auto` is bf16 autocast where the hardware multiplies bf16 itself, since emulation is slower than fp32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"


@contextmanager
def shape_independent_attention(device: torch.device) -> Iterator[None]:
    """Within it, the attention of this process costs no more for a shape that is new than for any other.

    On H100 and B200 torch prefers cuDNN's attention, which makes an execution plan for each new shape of 16-bit
    arguments and takes up to a second for it. Clips and texts differ in length, so many batches of speech are new.
    """
    before = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(before and device.type != "cuda")
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
