"""Greedy decoding of a batch by CTranslate2: the same words as torch in fp32, sooner on many processors; also int8."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from asr_tv.checkpoint.directory import METADATA, copy_side_files
from asr_tv.checkpoint.exporting import convert_to_ctranslate2
from asr_tv.checkpoint.tensors import WEIGHTS, layout_of, open_tensors, write_tensors
from asr_tv.checkpoint.whisper import whisper_config

_FIRST_TIMESTAMP_WITHIN = 50
"""Of 0.02 s: the first timestamp is 1 s at most, as openai-whisper has it."""


class CTranslate2Decoder:
    """A Whisper in CTranslate2's form, made anew for each set of weights; nothing of it stays on the disk.

    Args:
        prompt: tokens that decoding starts from; with one that does not refuse timestamps, their rules hold.
        precision: of weights and arithmetic.

    Attributes:
        own_state: the directory's weights.
    """

    def __init__(
        self, directory: Path, prompt: Sequence[int], device: torch.device, precision: Literal["fp32", "int8"]
    ) -> None:
        self._directory, self._prompt, self._device = directory, list(prompt), device
        self._end: int = whisper_config(directory).eos_token_id
        self._kind = {"fp32": "float32", "int8": "int8"}[precision]
        self.own_state: Mapping[str, Tensor] = open_tensors(directory)
        self._model = self._converted(directory)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes other weights; the tied output comes with the embedding."""
        with tempfile.TemporaryDirectory(prefix="asr-tv-") as folder:
            copy_side_files(self._directory, Path(folder))
            write_tensors(Path(folder) / WEIGHTS, layout_of(state), sorted(state.items()), METADATA)
            self._model = self._converted(Path(folder))

    def tokens(self, features: Tensor, limit: int) -> list[list[int]]:
        """Token ids after the prompt, at most `limit`; the last one ends the text where it ended by itself."""
        import ctranslate2

        values = ctranslate2.StorageView.from_array(features.cpu().contiguous().numpy())
        found = self._model.generate(
            values,
            [self._prompt] * len(features),
            beam_size=1,
            # CTranslate2 writes half of it at most, as OpenAI's decoder fills half of its context.
            max_length=max(2 * limit, len(self._prompt) + limit),
            max_initial_timestamp_index=_FIRST_TIMESTAMP_WITHIN,
        )
        # It leaves the end out; whoever stopped before the bound has said it.
        rows = (list(result.sequences_ids[0]) for result in found)
        return [row if len(row) >= limit else [*row, self._end] for row in rows]

    def _converted(self, directory: Path) -> Any:
        import ctranslate2

        with tempfile.TemporaryDirectory(prefix="asr-tv-") as folder:
            convert_to_ctranslate2(directory, Path(folder) / "model", self._kind)
            return ctranslate2.models.Whisper(
                str(Path(folder) / "model"),
                device=self._device.type,
                device_index=self._device.index or 0,
                compute_type=self._kind,
                intra_threads=torch.get_num_threads(),
            )
