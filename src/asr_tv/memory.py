"""Memory that runs out, told by one error whichever library says it, and work that is halved until it fits."""

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
"""Of CUDA and MPS, of torch's CPU allocator on Linux and on Windows, of cuBLAS, of CTranslate2's CPU allocator."""


def ran_out(error: BaseException) -> bool:
    """Whether this error says that the device's or the machine's memory did not suffice."""
    if isinstance(error, MemoryError):
        return True
    said = type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in _WORDS)
    return isinstance(error, RuntimeError) and said


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turns every library's words for memory that ran out into MemoryError.

    Raises:
        MemoryError: the device or the machine had too little; its text is the library's first sentence.
    """
    try:
        yield
    except RuntimeError as error:
        if not ran_out(error):
            raise
        raise MemoryError(str(error).split("\n")[0].split(". ")[0]) from error


@contextmanager
def too_little_for(what: str, advice: str = "free some, or set the device to cpu") -> Iterator[None]:
    """Says of the smallest piece of work there is that memory does not hold it.

    Raises:
        DataError: memory ran out.
    """
    try:
        with memory_errors():
            yield
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        raise DataError(f"{what}: memory ran out on this alone{reason}: {advice}; what is finished is kept") from None


def give_back() -> None:
    """Frees what a failed attempt left: to be called where its error is no longer held, whose frames hold tensors."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


class Halving:
    """How many items fit into memory at once: as many as are given, half as many from where memory ran out.

    Attributes:
        most: None until memory has run out.
    """

    def __init__(self) -> None:
        self.most: int | None = None

    def parts(self, items: Sequence[Item]) -> list[Sequence[Item]]:
        """The items in parts that fit, as far as is known."""
        size = max(1, min(len(items), self.most or len(items)))
        return [items[start : start + size] for start in range(0, len(items), size)]

    def each(self, items: Sequence[Item], work: Callable[[Sequence[Item]], Result]) -> Iterator[Result]:
        """`work` of the items, all at once or in ever smaller parts; what is done is not done again.

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
        """Memory ran out with so many items, of which there are at least two."""
        self.most = size // 2
        give_back()
