"""Greedy decoding of a batch by CTranslate2: the same words as torch in fp32, sooner on many processors; also int8."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from asr_tv.models.directory import METADATA, copy_side_files
from asr_tv.models.formats import convert_to_ctranslate2
from asr_tv.models.tensors import WEIGHTS, layout_of, open_tensors, write_tensors
from asr_tv.models.whisper import whisper_config

Numbers = Literal["fp32", "int8"]

_KINDS: Mapping[Numbers, str] = {"fp32": "float32", "int8": "int8"}
_FIRST_TIMESTAMP_WITHIN = 50
"""Of 0.02 s: the first timestamp is 1 s at most, as openai-whisper has it."""


class CTranslate2Decoder:
    """A Whisper in CTranslate2's form, made anew for each set of weights.

    Args:
        prompt: tokens that decoding starts from; with one that does not refuse timestamps, their rules hold.
        numbers: of weights and arithmetic.
        workplace: a folder of its own, for the form's files while they are loaded.

    Attributes:
        own_state: the directory's weights.
    """

    def __init__(
        self, directory: Path, prompt: Sequence[int], device: torch.device, numbers: Numbers, workplace: Path
    ) -> None:
        self._directory, self._prompt, self._device, self._place = directory, list(prompt), device, workplace
        self._end: int = whisper_config(directory).eos_token_id
        self._kind = _KINDS[numbers]
        self.own_state: Mapping[str, Tensor] = open_tensors(directory)
        with self._workplace() as folder:
            self._model: Any = self._converted(directory, folder)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes other weights; the tied output comes with the embedding."""
        self._model = None  # two of them at once are not needed
        with self._workplace() as folder:
            copy_side_files(self._directory, folder / "sum")
            write_tensors(folder / "sum" / WEIGHTS, layout_of(state), sorted(state.items()), METADATA)
            self._model = self._converted(folder / "sum", folder)

    def tokens(self, features: Tensor, limit: int) -> list[list[int]]:
        """Token ids after the prompt, at most `limit`; the last one ends the text where it ended by itself."""
        import ctranslate2

        found = self._model.generate(
            ctranslate2.StorageView.from_array(features.cpu().contiguous().numpy()),
            [self._prompt] * len(features),
            beam_size=1,
            # It writes half of it at most, and no more than it leaves beside all but the last token of the prompt.
            max_length=max(2 * limit, len(self._prompt) - 1 + limit),
            max_initial_timestamp_index=_FIRST_TIMESTAMP_WITHIN,
        )
        # It leaves the end out; whoever stopped before the bound has said it.
        rows = (list(result.sequences_ids[0]) for result in found)
        return [row if len(row) >= limit else [*row, self._end] for row in rows]

    def _converted(self, directory: Path, folder: Path) -> Any:
        import ctranslate2

        convert_to_ctranslate2(directory, folder / "converted", self._kind)
        return ctranslate2.models.Whisper(
            str(folder / "converted"),
            device=self._device.type,
            device_index=self._device.index or 0,
            compute_type=self._kind,
            intra_threads=torch.get_num_threads(),
        )

    @contextmanager
    def _workplace(self) -> Iterator[Path]:
        """Emptied first, since a killed process leaves it as it was; gone afterwards."""
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir(parents=True)
        try:
            yield self._place
        finally:
            shutil.rmtree(self._place, ignore_errors=True)


def why_not(device: torch.device, numbers: Numbers) -> str | None:
    """Why CTranslate2 cannot compute with these numbers on this device, or None."""
    import ctranslate2

    if device.type not in ("cpu", "cuda"):
        return f"it computes on cpu and cuda, not on {device.type}"
    if device.type == "cuda" and not ctranslate2.get_cuda_device_count():
        return "it sees no GPU"
    if _KINDS[numbers] not in ctranslate2.get_supported_compute_types(device.type):
        return f"it does not compute in {numbers} on this {device.type}"
    return None
