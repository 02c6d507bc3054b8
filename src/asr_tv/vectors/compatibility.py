"""What must agree before weights may be added: architecture and vocabulary, as config.json and tokenizer tell them.

A plain file of tensors tells neither; of it, names and shapes are all that is compared.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from asr_tv.errors import DataError
from asr_tv.models.family import CTC_TYPES
from asr_tv.models.parameter_names import has_token_rows
from asr_tv.models.tensors import CONFIG, read_json
from asr_tv.store.results import canonical_json
from asr_tv.vectors.task_vector import floating_names, require_same_names

Embedding = Literal["same", "skip", "shared"]
"""What happens to tensors with a row for each token: all rows, since both sides have the same tokens; none; or the rows
that both sides have, where one side's vocabulary extends the other's."""
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
"""May differ where the embedding is not wholly added."""

TOKENIZER, _TOKENS = "tokenizer.json", "vocab.json"


def form_of(path: Path, tokens: int | None = None) -> dict[str, str]:
    """Architecture, vocabulary digest and number of ordinary tokens, as vectors carry them; the unknown is left out.

    Args:
        tokens: digest only the tokens below this id.
    """
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
    """Tokens and their ids without the special ones, which are named in several ways; None if no file tells."""
    if (file := directory / TOKENIZER).is_file():
        model = read_json(file).get("model")
        vocabulary = model.get("vocab", {}) if isinstance(model, dict) else {}
    elif (file := directory / _TOKENS).is_file():
        vocabulary = read_json(file)
    else:
        return None
    if isinstance(vocabulary, list):  # of pieces and their scores
        if not all(isinstance(piece, list) and piece and isinstance(piece[0], str) for piece in vocabulary):
            raise DataError(f"{file}: its vocabulary is no list of pieces and scores")
        vocabulary = {piece[0]: number for number, piece in enumerate(vocabulary)}
    if not isinstance(vocabulary, dict):
        raise DataError(f"{file}: its vocabulary is neither a mapping nor a list")
    if not all(isinstance(number, int) for number in vocabulary.values()):
        return None
    return {token: number for token, number in vocabulary.items() if not token.startswith("<|")}


def require_same_form(a: Mapping[str, str], b: Mapping[str, str], which: str) -> None:
    """Refuses to combine weights of different architectures or vocabularies, as far as both sides' are known.

    Raises:
        DataError: they differ; `which` names the two.
    """
    problems = _unlike(a, b, which, frozenset())
    if "vocabulary" in a and "vocabulary" in b and a["vocabulary"] != b["vocabulary"]:
        problems.append(f"{which}: different vocabularies: a row of the embedding is not the same word in both")
    if problems:
        raise DataError(problems)


def require_form(ours: Mapping[str, str], path: Path, which: str, embedding: Embedding = "same") -> None:
    """Refuses a model of another form than `ours`; unless all rows are added, its vocabulary may extend ours.

    Raises:
        DataError: they differ; `which` names the two.
    """
    if embedding == "same":
        return require_same_form(ours, form_of(path), which)
    limit = int(ours["tokens"]) if "tokens" in ours else None
    theirs = form_of(path, limit)
    problems = _unlike(ours, theirs, which, _OF_TOKENS)
    if "vocabulary" in ours and "vocabulary" in theirs and ours["vocabulary"] != theirs["vocabulary"]:
        problems.append(f"{which}: incompatible vocabularies: the second does not extend the first")
    if problems:
        raise DataError(problems)
    return None


def _unlike(a: Mapping[str, str], b: Mapping[str, str], which: str, ignored: frozenset[str]) -> list[str]:
    ours, theirs = (json.loads(form.get("architecture", "{}")) for form in (a, b))
    return [
        f"{which}: different architectures: {key} is {ours[key]} and {theirs[key]}"
        for key in dict.fromkeys((*_WHISPER, *_CTC, *_ANY))
        if key in ours and key in theirs and key not in ignored and ours[key] != theirs[key]
    ]


def matched_names(
    a: Mapping[str, Tensor], b: Mapping[str, Tensor], a_is: str, b_is: str, embedding: Embedding
) -> Sequence[str]:
    """The parameters that are to be added, by name, once it is clear that names and shapes allow it.

    Raises:
        DataError: names or shapes differ: the first of both sides; with rows of tokens, how they could be left out.
    """
    ours, theirs = ({name: side[name] for name in floating_names(side)} for side in (a, b))
    if embedding == "same":
        try:
            require_same_names(ours, theirs, a_is, b_is)
        except DataError as error:
            raise DataError([*error.problems, *_advice(ours, theirs)]) from None
        return list(ours)
    rows = sorted(name for name in ours.keys() & theirs.keys() if has_token_rows(name))
    require_same_names(_without_rows(ours), _without_rows(theirs), a_is, b_is)
    if embedding == "skip":
        return list(_without_rows(ours))
    require_same_names(
        {name: tensor[:1] for name, tensor in ours.items() if has_token_rows(name)},
        {name: tensor[:1] for name, tensor in theirs.items() if has_token_rows(name)},
        a_is,
        b_is,
    )
    return sorted([*_without_rows(ours), *rows])


def _without_rows(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not has_token_rows(name)}


def _advice(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> list[str]:
    unlike = [
        name
        for name in sorted(ours.keys() & theirs.keys())
        if has_token_rows(name) and ours[name].shape != theirs[name].shape
    ]
    if not unlike:
        return []
    return ["other numbers of tokens: --embedding skip leaves embedding and head out, shared takes the rows both have"]
