"""Which kind of recogniser a Hugging Face directory holds, and its model without weights."""

from pathlib import Path
from typing import Any

import torch

from asr_tv.config.section import Family
from asr_tv.models.directory import CONFIG
from asr_tv.models.tensors import read_json

CTC_TYPES = ("wav2vec2", "wav2vec2-conformer")


def family_of(directory: Path) -> Family:
    """The kind of recogniser; what is no CTC model is left to Whisper's loader, which refuses what it does not know.

    Raises:
        DataError: a config.json that cannot be read.
    """
    config = read_json(directory / CONFIG) if (directory / CONFIG).exists() else {}
    return "ctc" if config.get("model_type") in CTC_TYPES else "whisper"


def empty_model(directory: Path) -> Any:
    """The model that config.json describes, on torch's meta device: names and shapes, and no weights."""
    from transformers import AutoConfig, AutoModelForCTC, AutoModelForSpeechSeq2Seq

    config = AutoConfig.from_pretrained(directory, local_files_only=True)  # nosec B615 - a local folder
    kind: Any = AutoModelForCTC if family_of(directory) == "ctc" else AutoModelForSpeechSeq2Seq
    with torch.device("meta"):
        return kind.from_config(config)
