"""Checks that weights may be added: equal architecture and vocabulary, as config.json and the tokenizer state them.

A plain file of tensors states neither; only its names and shapes are compared.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from asr_tv.errors import DataError
from asr_tv.models.directory import TOKENIZER, VOCABULARY
from asr_tv.models.family import CTC_TYPES
from asr_tv.models.parameter_names import has_token_rows
from asr_tv.models.tensors import CONFIG, read_json
from asr_tv.store.results import canonical_json
from asr_tv.vectors.task_vector import floating_names, require_same_names

Embedding = Literal["same", "skip", "shared"]
"""Which rows are added of tensors with one row per token: all, as both sides have the same tokens; none ("skip"); or
those that both sides have, where one vocabulary extends the other."""
EMBEDDINGS: tuple[Embedding, ...] = ("same", "skip", "shared")

_WHISPER = (
    *("d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"),
    *("num_mel_bins", "vocab_size", "tie_word_embeddings"),
)
_CTC = (
    *("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"),
    *("conv_dim", "conv_kernel", "conv_stride", "feat_extract_norm", "position_embeddings_type"),
)
_ANY = (
    *("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"),
    *("intermediate_size", "n_embd", "n_layer", "n_head", "vocab_size", "tie_word_embeddings"),
)
_OF_TOKENS = frozenset({"vocab_size", "tie_word_embeddings"})
"""May differ unless all rows of the embedding are added."""


def form_of(path: Path, tokens: int | None = None) -> dict[str, str]:
    """Architecture, vocabulary digest and number of ordinary tokens (those below the id `tokens`), as far as known."""
    form: dict[str, str] = {}
    if (path / CONFIG).is_file():
        form["architecture"] = canonical_json(_architecture(read_json(path / CONFIG)))
    if (vocabulary := _ordinary_tokens(path)) is not None:
        if tokens is not None:
            vocabulary = {token: number for token, number in vocabulary.items() if number < tokens}
        form["vocabulary"] = hashlib.sha256(canonical_json(vocabulary).encode()).hexdigest()
        form["tokens"] = str(1 + max(vocabulary.values(), default=-1))
    return form


def _architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    if config.get("model_type", "whisper") == "whisper":
        return {key: config.get(key, True if key == "tie_word_embeddings" else None) for key in _WHISPER}
    if config["model_type"] in CTC_TYPES:
        return {key: config.get(key) for key in _CTC}
    return {key: config[key] for key in _ANY if key in config}


def _ordinary_tokens(directory: Path) -> dict[str, int] | None:
    """Tokens and ids without special tokens, whose names vary; None if no file lists them."""
    if (file := directory / TOKENIZER).is_file():
        model = read_json(file).get("model")
        vocabulary = model.get("vocab", {}) if isinstance(model, dict) else {}
    elif (file := directory / VOCABULARY).is_file():
        vocabulary = read_json(file)
    else:
        return None
    if isinstance(vocabulary, list):  # of pieces and their scores
        if not all(isinstance(piece, list) and piece and isinstance(piece[0], str) for piece in vocabulary):
            raise DataError(f"{file}: its vocabulary is not a list of pieces and scores")
        vocabulary = {piece[0]: number for number, piece in enumerate(vocabulary)}
    if not isinstance(vocabulary, dict):
        raise DataError(f"{file}: its vocabulary is neither a mapping nor a list")
    if not all(isinstance(number, int) for number in vocabulary.values()):
        return None
    return {token: number for token, number in vocabulary.items() if not token.startswith("<|")}


def require_same_form(a: Mapping[str, str], b: Mapping[str, str], which: str, embedding: Embedding = "same") -> None:
    """Raises a DataError if architectures or vocabularies are known and differ; `which` names the two sides."""
    ignored = frozenset() if embedding == "same" else _OF_TOKENS
    ours, theirs = (json.loads(form.get("architecture", "{}")) for form in (a, b))
    problems = [
        f"{which}: different architectures: {key} is {ours[key]} and {theirs[key]}"
        for key in dict.fromkeys((*_WHISPER, *_CTC, *_ANY))
        if key in ours and key in theirs and key not in ignored and ours[key] != theirs[key]
    ]
    if "vocabulary" in a and "vocabulary" in b and a["vocabulary"] != b["vocabulary"]:
        if embedding == "same":
            problems.append(f"{which}: different vocabularies: a row of the embedding is not the same token in both")
        else:
            problems.append(f"{which}: incompatible vocabularies: the second does not extend the first")
    if problems:
        raise DataError(problems)


def require_form(ours: Mapping[str, str], path: Path, which: str, embedding: Embedding = "same") -> None:
    """As `require_same_form` for a model; unless all rows are added, its vocabulary may extend `ours`."""
    limit = int(ours["tokens"]) if embedding != "same" and "tokens" in ours else None
    require_same_form(ours, form_of(path, limit), which, embedding)


def matched_names(
    a: Mapping[str, Tensor], b: Mapping[str, Tensor], a_is: str, b_is: str, embedding: Embedding
) -> Sequence[str]:
    """The names of the parameters to add, after checking that names and shapes match.

    Raises:
        DataError: the first names and shapes that differ; where numbers of tokens differ, with the options for that.
    """
    ours, theirs = ({name: side[name] for name in floating_names(side)} for side in (a, b))
    if embedding == "same":
        try:
            require_same_names(ours, theirs, a_is, b_is)
        except DataError as error:
            raise DataError([*error.problems, *_advice(ours, theirs)]) from None
        return list(ours)
    ours, theirs = (_comparable(side, embedding) for side in (ours, theirs))
    require_same_names(ours, theirs, a_is, b_is)
    return list(ours)


def _comparable(state: Mapping[str, Tensor], embedding: Embedding) -> dict[str, Tensor]:
    """Without tensors that have one row per token, or with their first row, since numbers of tokens may differ."""
    by_token = {name: tensor[:1] for name, tensor in state.items() if has_token_rows(name)}
    others = {name: tensor for name, tensor in state.items() if name not in by_token}
    return dict(sorted((others | (by_token if embedding == "shared" else {})).items()))


def _advice(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> list[str]:
    common = [name for name in ours.keys() & theirs.keys() if has_token_rows(name)]
    if all(ours[name].shape == theirs[name].shape for name in common):
        return []
    return ["different numbers of tokens: --embedding skip leaves embedding and head out, shared adds the common rows"]
