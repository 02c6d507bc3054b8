"""The place of a new model: a file or a folder like the one it is made from, with that folder's other files."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from asr_tv.errors import ConfigError
from asr_tv.models.tensors import INDEX, Tensors
from asr_tv.vectors.streaming import Output, new_file, new_folder

_WEIGHTS = (
    *(".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx", ".ot", ".npz"),
    ".index.json",
)
"""Other weights of a model, which a changed model has no more."""


@contextmanager
def new_model_like(model: Tensors, out: Path, metadata: Mapping[str, str]) -> Iterator[Output]:
    """A model to write with the files, tensors and types of another: one file, or a folder in one file or in shards.

    Args:
        metadata: as long as that which `Output.finish` will bring.
    """
    layouts = {file: {name: model.form_of(name) for name in names} for file, names in model.files.items()}
    if model.path.is_dir():
        with new_folder(out) as folder:
            with Output({folder / file: layout for file, layout in layouts.items()}, metadata, model.copies) as output:
                yield output
            copy_other_files(model, folder)
        return
    (layout,) = layouts.values()
    with new_file(out) as file, Output({file: layout}, metadata) as output:
        yield output


def copy_other_files(model: Tensors, out: Path) -> None:
    """Copies a model folder's files and folders, but for weights and for what is hidden."""

    def is_left_out(path: Path) -> bool:
        return path.name.startswith(".") or (path.name.endswith(_WEIGHTS) and path.is_file())

    for path in sorted(model.path.iterdir()):
        if path.is_dir() and not is_left_out(path):
            ignored = lambda folder, names: [name for name in names if is_left_out(Path(folder) / name)]  # noqa: E731
            shutil.copytree(path, out / path.name, ignore=ignored)
        elif not is_left_out(path):
            shutil.copyfile(path, out / path.name)
    if model.is_sharded:
        shutil.copyfile(model.path / INDEX, out / INDEX)


def require_apart(out: Path, inputs: Iterable[Path]) -> None:
    """Refuses to write over an input, into it, or around it.

    Raises:
        ConfigError: all inputs that the output would touch.
    """
    place = out.resolve()
    touched = [path for path in inputs if _overlap(place, path.resolve())]
    if touched:
        raise ConfigError(f"--out {out}: is, holds or lies in {path}; inputs are never touched" for path in touched)


def _overlap(a: Path, b: Path) -> bool:
    return a == b or a in b.parents or b in a.parents
