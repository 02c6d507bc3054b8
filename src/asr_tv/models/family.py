"""The family of the recogniser in a Hugging Face directory, and its model without weights."""

from pathlib import Path
from typing import Any

import torch

from asr_tv.config.section import Family
from asr_tv.models.hama.folder import empty_hama, is_hama
from asr_tv.models.tensors import CONFIG, read_json

CTC_TYPES = ("wav2vec2", "wav2vec2-conformer", "hama")


def family_of(directory: Path) -> Family:
    """The family of a recogniser: "whisper" unless it is a CTC model; Whisper's loader refuses unknown models."""
    config = read_json(directory / CONFIG) if (directory / CONFIG).exists() else {}
    return "ctc" if config.get("model_type") in CTC_TYPES else "whisper"


def empty_model(directory: Path) -> Any:
    """The model that config.json describes on torch's meta device, with names and shapes but no weights."""
    from transformers import AutoConfig, AutoModelForCTC, AutoModelForSpeechSeq2Seq

    if is_hama(directory):
        with torch.device("meta"):
            return empty_hama(directory)
    config = AutoConfig.from_pretrained(directory, local_files_only=True)  # nosec B615 - a local folder
    kind: Any = AutoModelForCTC if family_of(directory) == "ctc" else AutoModelForSpeechSeq2Seq
    with torch.device("meta"):
        return kind.from_config(config)
