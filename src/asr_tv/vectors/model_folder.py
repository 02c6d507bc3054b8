"""Writes a model in the layout of another: the same file or shards, and the other files of its folder."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from asr_tv.errors import ConfigError
from asr_tv.models.output import Output, new_file, new_folder
from asr_tv.models.tensors import ADAPTER, INDEX, WEIGHTS, Tensors

_WEIGHTS = (
    *(".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx", ".ot", ".npz"),
    ".index.json",
)
"""Other forms of a model's weights, which a changed model no longer matches."""


@contextmanager
def new_model_like(model: Tensors, out: Path, metadata: Callable[[], Mapping[str, str]]) -> Iterator[Output]:
    """The output for a model with the files, tensors and types of another, see `Output` for `metadata`."""
    layouts = {file: {name: model.form_of(name) for name in names} for file, names in model.files.items()}
    if model.path.is_dir():
        with new_folder(out) as folder:
            with Output({folder / file: layout for file, layout in layouts.items()}, metadata, model.copies) as output:
                yield output
            _copy_other_files(model, folder)
        return
    (layout,) = layouts.values()
    with new_file(out) as file, Output({file: layout}, metadata) as output:
        yield output


def _copy_other_files(model: Tensors, out: Path) -> None:
    def is_left_out(path: Path) -> bool:
        if path.name == ADAPTER:  # beside whole weights it is left over from merging, and would be applied once more
            return True
        return path.name.startswith(".") or (path.name.endswith(_WEIGHTS) and path.is_file())

    for path in sorted(model.path.iterdir()):
        if path.is_dir() and not is_left_out(path):
            ignored = lambda folder, names: [name for name in names if is_left_out(Path(folder) / name)]  # noqa: E731
            shutil.copytree(path, out / path.name, ignore=ignored)
        elif not is_left_out(path):
            shutil.copyfile(path, out / path.name)
    if WEIGHTS not in model.files:
        shutil.copyfile(model.path / INDEX, out / INDEX)


def require_apart(out: Path, inputs: Iterable[Path]) -> None:
    """Raises a ConfigError for an output that is an input, lies in one or contains one."""
    place = out.resolve()
    resolved = {path: path.resolve() for path in inputs}
    if touched := [path for path, at in resolved.items() if place == at or place in at.parents or at in place.parents]:
        raise ConfigError(f"--out {out}: is, holds or lies in {path}; inputs are never touched" for path in touched)
