"""Takes rows of embedding and head from a vector's tuned model, for tokens of its chat template (2310.04799)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from asr_tv.errors import ConfigError, DataError
from asr_tv.models.parameter_names import has_token_rows
from asr_tv.models.tensors import Tensors, open_tensors
from asr_tv.vectors.files import object_in
from asr_tv.vectors.streaming import weights_digest
from asr_tv.vectors.task_vector import floating_names, require_finite


@dataclass(frozen=True)
class RowMap:
    """Rows for tokens that a model never learnt, from `model`, the tuned model of one of the vectors.

    Attributes:
        rows: token id in the model that vectors are added to -> token id in `model`.
    """

    model: Path
    rows: Mapping[int, int]

    def overlay(self, target: Tensors, vectors: Sequence[Tensors], ratios: Sequence[float | None]) -> "Overlay":
        """The rows, scaled by the coefficient of the vector they belong to.

        Raises:
            ConfigError: token ids out of range; no single coefficient.
            DataError: a model that is the tuned one of no vector, or whose rows do not fit.
        """
        source = open_tensors(self.model)
        digest = weights_digest(source)
        mine = [i for i, vector in enumerate(vectors) if object_in(vector, "recipe").get("tuned") == digest]
        if not mine:
            raise DataError(f"{self.model}: rows must come from the tuned model of a vector, and this is that of none")
        if (ratio := ratios[mine[0]]) is None:
            raise ConfigError("rows need one plain coefficient for their vector")
        names = {name: _source(name, target, source) for name in floating_names(target) if has_token_rows(name)}
        if not names:
            raise DataError(f"{target.path}: has no rows of tokens")
        most = {
            target.path: min(len(target[name]) for name in names),
            source.path: min(len(source[name]) for name in names.values()),
        }
        asked = {target.path: sorted(self.rows), source.path: sorted(self.rows.values())}
        problems = [
            f"row {token}: {path} has {most[path]} tokens"
            for path, tokens in asked.items()
            for token in tokens
            if not 0 <= token < most[path]
        ]
        if problems:
            raise ConfigError(problems)
        return Overlay({name: source[other] for name, other in names.items()}, self.rows, ratio)


def _source(name: str, target: Tensors, source: Tensors) -> str:
    """The tensor of the source whose rows fit; its embedding, where its head is tied."""
    found = [name] if name in source else [other for other in floating_names(source) if has_token_rows(other)]
    if len(found) != 1 or source[found[0]].shape[1:] != target[name].shape[1:]:
        raise DataError(f"{name}: {source.path} has no rows that fit")
    return found[0]


@dataclass(frozen=True)
class Overlay:
    """Replaces rows in a tensor's flat pieces; a ratio of 0 replaces none."""

    sources: Mapping[str, Tensor]
    rows: Mapping[int, int]
    ratio: float

    def over(self, name: str, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
        """The pieces, with the listed rows replaced by ratio · the source's."""
        start = 0
        for piece in pieces:
            yield self._replace_rows(name, piece, start) if name in self.sources and self.ratio else piece
            start += len(piece)

    def _replace_rows(self, name: str, piece: Tensor, start: int) -> Tensor:
        source = self.sources[name]
        width, stop = source[0].numel(), start + len(piece)
        hit = {new: old for new, old in self.rows.items() if new * width < stop and (new + 1) * width > start}
        laid = piece.clone() if hit else piece
        for new, old in hit.items():
            first, last = max(start, new * width), min(stop, (new + 1) * width)
            row = source[old].reshape(-1)[first - new * width : last - new * width]
            value = (require_finite(name, row, "the row's model").float() * self.ratio).to(piece.dtype)
            laid[first - start : last - start] = require_finite(name, value, "the row")
        return laid
