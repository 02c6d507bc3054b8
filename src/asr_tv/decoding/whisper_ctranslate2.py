"""Greedy and beam search of a batch by CTranslate2, in fp32 with the same words as torch, or in int8."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from asr_tv.decoding.biasing.search import Search
from asr_tv.decoding.whisper_torch import MAX_INITIAL_TIMESTAMP
from asr_tv.models.directory import METADATA, copy_side_files
from asr_tv.models.formats import convert_to_ctranslate2
from asr_tv.models.tensors import WEIGHTS, layout_of, open_tensors, write_tensors
from asr_tv.models.whisper import whisper_config

ComputeType = Literal["fp32", "int8"]
_NAMES: Mapping[ComputeType, str] = {"fp32": "float32", "int8": "int8"}
_RESCORED = 10
"""Hypotheses to rescore: CTranslate2 has no place for scores of one's own inside its search."""


class CTranslate2Decoder:
    """A Whisper as a `Decoder`; each set of weights is converted to CTranslate2's format.

    Args:
        prompt: tokens that decoding starts from; unless they exclude timestamps, Whisper's rules for those apply.
        scratch: a folder of its own, whose content is removed, for files while they are loaded.
    """

    def __init__(
        self,
        directory: Path,
        prompt: Sequence[int],
        device: torch.device,
        search: Search,
        compute_type: ComputeType,
        scratch: Path,
    ) -> None:
        self._directory, self._prompt, self._device, self._scratch = directory, list(prompt), device, scratch
        self._search = search
        self._end: int = whisper_config(directory).eos_token_id
        self._compute_type = _NAMES[compute_type]
        self.own_state: Mapping[str, Tensor] = open_tensors(directory)
        with self._empty_scratch() as folder:
            self._model: Any = self._convert_and_load(directory, folder)

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._model = None  # frees its memory before the next is loaded
        with self._empty_scratch() as folder:
            copy_side_files(self._directory, folder / "sum")
            write_tensors(folder / "sum" / WEIGHTS, layout_of(state), sorted(state.items()), METADATA)
            self._model = self._convert_and_load(folder / "sum", folder)

    def tokens(self, features: Tensor, limit: int, previous: Sequence[int] = ()) -> list[list[int]]:
        import ctranslate2

        prompt = [*previous, *self._prompt]
        beams = self._search.beams if self._search.fusion is None else max(self._search.beams, _RESCORED)
        found = self._model.generate(
            ctranslate2.StorageView.from_array(features.cpu().contiguous().numpy()),
            [prompt] * len(features),
            beam_size=beams,
            num_hypotheses=1 if self._search.fusion is None else _RESCORED,
            return_scores=self._search.fusion is not None,
            # It generates at most half of max_length, and at most max_length less all but the prompt's last token.
            max_length=max(2 * limit, len(prompt) - 1 + limit),
            max_initial_timestamp_index=MAX_INITIAL_TIMESTAMP,
        )
        # It omits the end-of-text token, which a row that stopped before the limit had.
        rows = map(self._best, found)
        return [row if len(row) >= limit else [*row, self._end] for row in rows]

    def _best(self, result: Any) -> list[int]:
        """The most likely tokens of a result, or the best under ln P and the fusion's score together."""
        rows: list[list[int]] = [list(row) for row in result.sequences_ids]
        fusion = self._search.fusion
        if fusion is None:
            return rows[0]
        # Its score is ln P, of the end-of-text token too, over the number of tokens without that.
        scores = [s * max(1, len(r)) + fusion.total(r) for r, s in zip(rows, result.scores, strict=True)]
        return rows[max(range(len(rows)), key=scores.__getitem__)]

    def _convert_and_load(self, directory: Path, folder: Path) -> Any:
        import ctranslate2

        convert_to_ctranslate2(directory, folder / "converted", self._compute_type)
        return ctranslate2.models.Whisper(
            str(folder / "converted"),
            device=self._device.type,
            device_index=self._device.index or 0,
            compute_type=self._compute_type,
            intra_threads=torch.get_num_threads(),
        )

    @contextmanager
    def _empty_scratch(self) -> Iterator[Path]:
        """Emptied first, since a killed process may have left files; removed afterwards."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        try:
            yield self._scratch
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)


def unsupported_reason(device: torch.device, compute_type: ComputeType) -> str | None:
    """Why CTranslate2 cannot compute in this type on this device; None if it can."""
    import ctranslate2

    if device.type not in ("cpu", "cuda"):
        return f"it computes on cpu and cuda, not on {device.type}"
    if device.type == "cuda" and not ctranslate2.get_cuda_device_count():
        return "it sees no GPU"
    if _NAMES[compute_type] not in ctranslate2.get_supported_compute_types(device.type):
        return f"it does not compute in {compute_type} on this {device.type}"
    return None
