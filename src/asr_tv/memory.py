"""Out of memory: one error whichever library reports it, and batches that are halved until they fit."""

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from asr_tv.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

_WORDS = (
    *("out of memory", "can't allocate memory", "not enough memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "failed to allocate"),
)
"""From CUDA and MPS, torch's CPU allocator on Linux and on Windows, cuBLAS, and CTranslate2's CPU allocator."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the device or the machine ran out."""
    if isinstance(error, MemoryError):
        return True
    says_so = type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in _WORDS)
    return isinstance(error, RuntimeError) and says_so


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turns every library's out-of-memory error into MemoryError.

    Raises:
        MemoryError: memory ran out; the text is the library's first sentence.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(str(error).split("\n")[0].split(". ")[0]) from error


@contextmanager
def named_memory_error(what: str, advice: str = "free some, or set the device to cpu") -> Iterator[None]:
    """For work that cannot be made smaller; `what` names it in the message.

    Raises:
        DataError: memory ran out.
    """
    try:
        with memory_errors():
            yield
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        raise DataError(f"{what}: memory ran out on this alone{reason}: {advice}; what is finished is kept") from None


def free_memory() -> None:
    """Frees what a failed attempt left; call it outside `except`, since the frames of the error hold tensors."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


class ShrinkingBatches:
    """Batches of as many items as are given, halved whenever memory runs out."""

    def __init__(self) -> None:
        self.most: int | None = None
        """Items that fit at once; None until memory has run out."""

    def parts(self, items: Sequence[Item]) -> list[Sequence[Item]]:
        """The items in parts that are known to fit, or all at once."""
        size = max(1, min(len(items), self.most or len(items)))
        return [items[start : start + size] for start in range(0, len(items), size)]

    def each(self, items: Sequence[Item], work: Callable[[Sequence[Item]], Result]) -> Iterator[Result]:
        """Yields `work` of the items, all at once or in ever smaller parts; nothing is done twice.

        Raises:
            MemoryError: one item alone does not fit.
        """
        waiting = items
        while waiting:
            part = self.parts(waiting)[0]
            try:
                with memory_errors():
                    done = work(part)
            except MemoryError:
                if len(part) == 1:
                    raise
            else:
                waiting = waiting[len(part) :]
                yield done
                continue
            self.halve(len(part))

    def halve(self, size: int) -> None:
        """Notes that memory ran out with `size` items, at least two."""
        self.most = size // 2
        free_memory()
