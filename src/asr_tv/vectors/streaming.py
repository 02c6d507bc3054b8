"""Checkpoints read once, piece by piece on all cores, in the memory of a few pieces and with a digest on the way."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import pairwise
from threading import Barrier, Lock

import torch
from torch import Tensor

from asr_tv.models.output import bytes_of
from asr_tv.models.tensors import Tensors
from asr_tv.store.results import canonical_json
from asr_tv.workers import cores

PIECE = 1 << 17
"""Numbers in a piece: fewer cost more in Python than in arithmetic, more leave the processor's cache."""

NO_DIGEST = "0" * 64
"""Reserves the space of a digest that is not known yet."""

_HELD = 1 << 19
"""Numbers read before their memory is released."""

Cuts = Sequence[tuple[int, int]]

_starting = Lock()


def cuts(length: int, *breaks: int) -> Cuts:
    """The (start, stop) of the pieces of a flat tensor of `length` numbers, with a boundary at each of the breaks."""
    edges = sorted({*range(0, length, PIECE), *(at for at in breaks if at < length), length})
    return list(pairwise(edges))


class Reader:
    """Reads the tensors of a checkpoint in flat pieces, hashing them and releasing their memory on the way.

    Attributes:
        hashes: sha256 by name of the tensors that were read to the end.
    """

    def __init__(self, tensors: Tensors, *, digest: bool = True) -> None:
        self.tensors = tensors
        self.called = str(tensors.path)
        self._digest = digest
        self.hashes: dict[str, str] = {}

    def pieces(self, name: str, at: Cuts | None = None) -> Iterator[Tensor]:
        """The pieces between the cuts, by default of the whole tensor."""
        flat = self.tensors[name].reshape(-1)
        size = flat.dtype.itemsize
        digest, held = hashlib.sha256(), 0
        for start, stop in cuts(len(flat)) if at is None else at:
            piece = flat[start:stop]
            if self._digest:
                digest.update(bytes_of(piece))
            yield piece
            if stop - held >= _HELD:
                self.tensors.release(name, held * size, stop * size)
                held = stop
        # A page of a large folio maps the others again that were released already.
        self.tensors.release(name)
        self.hashes[name] = digest.hexdigest()

    @property
    def digest(self) -> str:
        """sha256 over names, types, shapes and numbers of all tensors, however they are sharded."""
        if lacking := self.tensors.keys() - self.hashes.keys():
            raise ValueError(f"not read: {', '.join(sorted(lacking)[:5])}")
        forms = {name: [str(t.dtype), list(t.shape), self.hashes[name]] for name, t in self.tensors.items()}
        return hashlib.sha256(canonical_json(forms).encode()).hexdigest()

    @property
    def digest_or_blank(self) -> str:
        """The digest, or `NO_DIGEST` before the first tensor was read."""
        return self.digest if self.hashes else NO_DIGEST


def weights_digest(tensors: Tensors) -> str:
    """The digest of a checkpoint, see `Reader.digest`."""
    reader = Reader(tensors)
    on_all_cores(lambda name: exhaust(reader.pieces(name)), tensors)
    return reader.digest


def exhaust(pieces: Iterator[Tensor]) -> None:
    """Reads to the end, for the digest."""
    for _ in pieces:
        pass


def on_all_cores(work: Callable[[str], None], names: Iterable[str]) -> None:
    """Calls `work` once per name on all cores; the first error cancels the rest."""
    names = list(names)
    count = min(cores(), len(names))
    started = Barrier(count + 1)
    with ThreadPoolExecutor(max(1, count), initializer=_on_one_core, initargs=(started,)) as pool:
        try:
            for future in as_completed(_submitted(pool, work, names, started)):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _submitted(
    pool: ThreadPoolExecutor, work: Callable[[str], None], names: Sequence[str], started: Barrier
) -> list[Future[None]]:
    """Submits the work to threads in which torch uses one core each, since the names are spread over the cores.

    Setting torch's number of threads in one thread also sets it for threads started later, so it is restored at once.
    """
    with _starting:
        threads = torch.get_num_threads()
        try:
            futures = [pool.submit(work, name) for name in names]
            started.wait()
        except BaseException:
            started.abort()
            raise
        finally:
            torch.set_num_threads(threads)
    return futures


def _on_one_core(started: Barrier) -> None:
    torch.get_num_threads()  # a thread adopts the process's number on its first call
    torch.set_num_threads(1)
    started.wait()
