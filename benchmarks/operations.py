"""Work that an update gives to a device, counted without one: operations on tensors, and shapes of attention.

    python benchmarks/operations.py --updates 160

With a small model a GPU spends more time waiting for operations to be launched than computing them, and cuDNN's
attention makes a plan for each new shape. Neither number depends on the model's width, so a narrow model of tiny's
depth is trained on the CPU, by asr-tv and by Seq2SeqTrainer, both in bf16.
"""

import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from demo_material import Bench, arguments, load, show
from model_sizes import random_checkpoint
from torch.utils._python_dispatch import TorchDispatchMode
from training_systems import OURS, PEER, SYSTEMS, Task, lasting

_WIDTH, _BLOCKS = 64, 4
_VIEWS = frozenset(
    """
    view t transpose permute expand slice select unsqueeze squeeze _unsafe_view as_strided detach alias unbind split
    split_with_sizes lift_fresh _reshape_alias empty empty_like new_empty empty_strided new_empty_strided set_ resize_
    unfold is_same_size transpose_ squeeze_ view_as_real
    """.split()  # noqa: SIM905
)
"""These only change the view of memory, or reserve it: no device computes anything."""


class Counted(TorchDispatchMode):
    """Counts operations on a device, including the backward pass, and the shapes that attention meets."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.shapes: set[tuple[Any, ...]] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = function.overloadpacket.__name__
        self.operations += name not in _VIEWS
        if "scaled_dot_product" in name and "backward" not in name:
            self.shapes.add((tuple(args[0].shape), tuple(args[1].shape), *args[4:5]))
        return function(*args, **(kwargs or {}))


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--updates", type=int, default=160)
    options = parser.parse_args()
    bench = load(options.config, options.store)
    with tempfile.TemporaryDirectory() as scratch:
        start = random_checkpoint(bench, _WIDTH, _BLOCKS, _BLOCKS, Path(scratch) / "start")
        rows = [_row(name, bench, options.updates, start, Path(scratch)) for name in (OURS, PEER)]
    show(rows, options.json)


def _row(name: str, bench: Bench, updates: int, start: Path, scratch: Path) -> dict[str, Any]:
    training = lasting(bench, updates)
    counted, marks = Counted(), [0]
    task = Task(
        bench, bench.mixed, training, 17, torch.device("cpu"), start, scratch / name, bf16=True,
        on_update=lambda: marks.append(counted.operations),
    )  # fmt: skip
    with counted:
        SYSTEMS[name](task)
    each = sorted(after - before for before, after in pairwise(marks))
    return {
        "system": name,
        "updates": len(each),
        "operations an update, features included": each[len(each) // 2],
        "shapes of attention": len(counted.shapes),
    }


if __name__ == "__main__":
    main()
