"""Arithmetic on weights: task vectors (Ilharco et al., 2212.04089) and weight averages, one tensor at a time.

Tensors are matched by name; sums are computed in fp32 or wider and rounded once; lazy mappings in, iterators out.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from asr_tv.errors import ConfigError, DataError
from asr_tv.models.parameter_names import is_buffer

State = Mapping[str, Tensor]
Named = Iterator[tuple[str, Tensor]]

TUNED, BASE = "the tuned checkpoint", "the base checkpoint"
CHECKPOINT, VECTOR = "the checkpoint", "the vector"

_SHOWN = 5
_CHUNK = 1 << 18


def subtract(name: str, tuned: Tensor, base: Tensor, called: tuple[str, str] = (TUNED, BASE)) -> Tensor:
    """The difference tuned − base in fp32, of one tensor or of a piece of it; `called` names the two in errors.

    Raises:
        DataError: NaN or infinity, and in which of the two.
    """
    change = tuned.float() - base.float()
    return _checked(name, change, "the difference", dict(zip(called, (tuned, base), strict=True)))


def applied(state: State, vector: State, scaling_coef: float | Mapping[str, float]) -> Named:
    """`state` + scaling_coef · `vector` in fp32, each tensor rounded once to the state's dtype, on the state's device.

    A coefficient of 0 gives the state's own tensors, byte for byte; integer tensors and buffers pass unchanged.

    Raises:
        ConfigError: a coefficient is not a finite number, or a tensor has none.
        DataError: the vector is not of this state: names or shapes differ; or an input or the sum is not finite.
    """
    own = {name: state[name] for name in floating_names(state)}
    require_same_names(own, vector, CHECKPOINT, VECTOR)
    coefficients = scaling_coef if isinstance(scaling_coef, Mapping) else dict.fromkeys(own, scaling_coef)
    if lacking := sorted(own.keys() - coefficients.keys()):
        raise ConfigError(f"{name}: has no scaling coefficient" for name in lacking[:_SHOWN])
    require_coefficients(coefficients.values())
    moves = {name: ((coefficients[name], vector[name]),) for name in own}
    return (
        (name, add_changes(name, state[name], moves[name]) if name in own else state[name]) for name in sorted(state)
    )


def add_changes(
    name: str, tensor: Tensor, by: Sequence[tuple[float, Tensor]], called: Sequence[str] = (CHECKPOINT, VECTOR)
) -> Tensor:
    """Tensor + Σ coefficient · change in fp32, rounded once to the tensor's dtype, of a tensor or of a piece of it.

    Where all coefficients are 0, the tensor itself. `called` names the tensor and each change in errors.

    Raises:
        DataError: NaN or infinity in an input, and in which; or a sum that overflows the tensor's dtype.
    """
    total = tensor
    for what, (coefficient, change) in zip(called[1:], by, strict=True):
        if coefficient:
            total = torch.add(total.float(), change.to(tensor.device).float(), alpha=coefficient)
        else:
            require_finite(name, change, what)
    inputs = dict(zip(called, (tensor, *(change for _, change in by)), strict=True))
    return _checked(name, total.to(tensor.dtype), "the sum", inputs)


def require_coefficients(values: Iterable[float]) -> None:
    """Raises a ConfigError for NaN or infinity."""
    if wrong := sorted({value for value in values if not math.isfinite(value)}, key=str):
        raise ConfigError(f"a scaling coefficient must be a finite number, not {value}" for value in wrong)


def interpolated(a: State, b: State, weight_of_b: float) -> Named:
    """The weight average (1 − weight_of_b) · a + weight_of_b · b in fp32, rounded once to the dtypes of `a`.

    Buffers are those of `a`. A weight of 0 gives the tensors of `a` byte for byte, 1 those of `b` in the dtypes of `a`.

    Raises:
        ConfigError: a weight outside 0..1.
        DataError: names or shapes differ; an integer tensor differs; NaN or infinity.
    """
    if not 0 <= weight_of_b <= 1:
        raise ConfigError(f"the weight of an average must lie between 0 and 1, not {weight_of_b}")
    require_same_names(a, b, "the first checkpoint", "the second checkpoint")
    return ((name, average(name, a[name], b[name], weight_of_b)) for name in sorted(a))


def average(name: str, a: Tensor, b: Tensor, weight_of_b: float) -> Tensor:
    """The weight average of one tensor, or of a piece of it, see `interpolated`."""
    if is_buffer(name):
        return a
    if not a.is_floating_point():
        if not torch.equal(a, b):
            raise DataError(f"{name}: an integer tensor that differs between the checkpoints cannot be averaged")
        return a
    average = torch.lerp(a.float(), b.float(), weight_of_b).to(a.dtype) if weight_of_b else a
    return require_finite(name, average, "the average")


def floating_names(state: State) -> list[str]:
    """The sorted names of the parameters: of tensors that are neither integers nor buffers."""
    return [name for name in sorted(state) if state[name].is_floating_point() and not is_buffer(name)]


def chunks(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Corresponding flat pieces of tensors of one shape, so that fp64 copies stay small."""
    return zip(*(torch.split(tensor.reshape(-1), _CHUNK) for tensor in tensors), strict=True)


def require_finite(name: str, tensor: Tensor, what: str) -> Tensor:
    """The tensor itself; a DataError if it holds NaN or infinity."""
    if not _is_finite(tensor):
        raise DataError(f"{name}: {what} holds NaN or infinity")
    return tensor


def _checked(name: str, result: Tensor, what: str, inputs: Mapping[str, Tensor]) -> Tensor:
    """The result, if finite; a DataError names the input that NaN or infinity came from."""
    if _is_finite(result):
        return result
    for called, tensor in inputs.items():
        require_finite(name, tensor, called)
    raise DataError(f"{name}: {what} holds NaN or infinity")


def _is_finite(tensor: Tensor) -> bool:
    """Checks the sum, which is fast, and each entry only where the sum overflows."""
    wide = tensor.dtype if tensor.dtype == torch.float64 else torch.float32
    return math.isfinite(float(tensor.sum(dtype=wide))) or all(
        bool(torch.isfinite(part.to(wide)).all()) for (part,) in chunks(tensor)
    )


def name_of(state: State, otherwise: str) -> str:
    """The name of a state in errors: its path, if it was read from a file."""
    return str(getattr(state, "path", otherwise))


def require_alike(vectors: Sequence[State]) -> Sequence[State]:
    """The vectors themselves; a DataError if names or shapes differ."""
    for number, vector in enumerate(vectors[1:], start=2):
        require_same_names(vectors[0], vector, "vector 1", f"vector {number}")
    return vectors


def require_same_names(a: State, b: State, a_is: str, b_is: str) -> None:
    """Raises a DataError with the first names that either side lacks and the first tensors of other shapes or kinds."""
    problems = [*_lacking(a, b, b_is), *_lacking(b, a, a_is)]
    unlike = [
        f"{name}: {a_is} has {_form(a[name])}, {b_is} has {_form(b[name])}"
        for name in sorted(a.keys() & b.keys())
        if a[name].shape != b[name].shape or a[name].is_floating_point() != b[name].is_floating_point()
    ]
    problems += unlike[:_SHOWN]
    if len(unlike) > _SHOWN:
        problems.append(f"... and {len(unlike) - _SHOWN} more tensors of other shapes")
    if problems:
        raise DataError(problems)


def _lacking(has: State, lacks: State, lacks_is: str) -> list[str]:
    if not (missing := sorted(has.keys() - lacks.keys())):
        return []
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return [f"{lacks_is} lacks {', '.join(missing[:_SHOWN])}{more}"]


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
