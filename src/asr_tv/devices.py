"""Which device and number format this machine offers; decided once, then part of what is written down."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from asr_tv.errors import ConfigError

Precision = Literal["bf16", "fp32"]


def choose_device(wanted: str) -> torch.device:
    """`auto` takes a GPU where there is one.

    Raises:
        ConfigError: the device is not there.
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
    """`auto` takes bf16 autocast where the hardware multiplies bf16 itself, since emulation is slower than fp32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"


@contextmanager
def any_shape(device: torch.device) -> Iterator[None]:
    """Attention that costs as much for a shape it has not met as for any other; for the whole process, while within.

    On H100 and B200 torch takes cuDNN's attention first, which makes an execution plan for each new shape of 16-bit
    arguments, up to a second of work. Clips and texts differ in length, so in speech many batches have a new one.
    """
    before = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(before and device.type != "cuda")
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
