"""hama's recogniser as a model folder like any other: written from the package, and loaded again."""

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import torch

from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError
from asr_tv.models.directory import FEATURES, VOCABULARY, write_json, write_weights
from asr_tv.models.hama.conformer import BLANK, CLASSES, WORD_BOUNDARY, HamaConformer
from asr_tv.models.hama.container import read_container, renamed
from asr_tv.models.tensors import CONFIG, open_tensors, read_json
from asr_tv.store.results import file_digest

HAMA: Final = "hama"
"""Its name for `resolve_model`, and the model type in config.json."""
HAMA_LETTERS: Final = "hama-letters"
"""The name of the same with an untrained layer that writes letters in place of phonemes, to be tuned on texts."""
LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", "'", *"abcdefghijklmnopqrstuvwxyz")
"""In the order of their ids; "|" stands between words, and the first is the blank."""
LICENCE = "Apache-2.0 (hama 1.7.0)"
SHA256 = "a9fcfe73e179ca48e399cd76a90a6b3e1887bf5037ecc52b778d13a149563328"
_VOCABULARY_SHA256 = "520d19e4e6ae58658eed53594e0feab8ea8e1b4b04a7746e25e50c16c29b91bf"
_NOT_SPOKEN = frozenset({"<pad>", "<sos>", "<eos>", "<unk>", " "})


class Phonemes:
    """A tokenizer of phonemes in IPA; its texts are phonemes separated by spaces, word boundaries left out."""

    word_delimiter_token = " "

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens

    def get_vocab(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self._tokens)}

    def decode(self, frames: Any) -> str:
        """The text of one token id per frame: without repeats, blanks and word boundaries."""
        numbers = (number for number, _ in groupby(int(n) for n in frames))
        spoken = (self._tokens[n] for n in numbers if n not in (BLANK, WORD_BOUNDARY))
        return " ".join(token for token in spoken if token not in _NOT_SPOKEN)


def is_hama(directory: Path) -> bool:
    """Whether a folder holds this recogniser."""
    path = directory / CONFIG
    return path.is_file() and read_json(path).get("model_type") == HAMA


def writes_phonemes(directory: Path) -> bool:
    """Whether a folder of hama's has its own layer of phonemes."""
    return "vocab_size" not in read_json(directory / CONFIG)


def write_package(out: Path) -> None:
    """Writes the installed package's recogniser as a folder with weights in fp32, these last.

    Raises:
        DataError: the package is not installed, or its files are others than those of 1.7.0.
    """
    weights, vocabulary = _package_files()
    tokens = json.loads(read_text(vocabulary))["decoder"]
    model = HamaConformer()
    model.load_state_dict(renamed(read_container(weights)))
    write_hama(model, {"pad_token_id": BLANK}, [*tokens, "<wb>", "<blank>"], out)


def write_with_letters(out: Path) -> None:
    """Writes the same with a layer of `LETTERS` in place of the last one, drawn with a fixed seed.

    Raises:
        DataError: as `write_package`.
    """
    tensors = renamed(read_container(_package_files()[0]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = HamaConformer(len(LETTERS), blank=0)
    own = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("head.")}
    model.load_state_dict(tensors | own)
    write_hama(model, {"pad_token_id": 0, "vocab_size": len(LETTERS)}, LETTERS, out)


def write_hama(model: HamaConformer, config: Mapping[str, int], tokens: Sequence[str], out: Path) -> None:
    """Writes a model as a folder: what `config` adds to its config.json, and its tokens in the order of their ids."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / CONFIG, {"architectures": ["HamaConformer"], "model_type": HAMA, "dtype": "float32", **config})
    write_json(out / VOCABULARY, {token: n for n, token in enumerate(tokens)})
    write_json(out / FEATURES, _FEATURES)
    write_weights(model.state_dict(), out)


_FEATURES = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "do_normalize": False,
    "feature_size": 1,
    "padding_value": 0.0,
    "return_attention_mask": False,
    "sampling_rate": 16_000,
}


def _package_files() -> tuple[Path, Path]:
    spec = find_spec(HAMA)
    folder = next(iter(spec.submodule_search_locations or ()), None) if spec else None
    if folder is None:
        raise DataError('hama: the package with its weights is not installed: pip install "asr-tv[hama]"')
    found = Path(folder) / "assets" / "asr_waveform.hama", Path(folder) / "assets" / "g2p_vocab.json"
    require_digests(zip(found, (SHA256, _VOCABULARY_SHA256), strict=True))
    return found


def require_digests(files: Iterable[tuple[Path, str]]) -> None:
    """Raises a DataError unless every file is there with its sha256."""
    problems = []
    for path, expected in files:
        actual = file_digest(path) if path.is_file() else "missing"
        if actual != expected:
            problems.append(f"{path}: sha256 is {actual}, expected {expected}; install hama==1.7.0")
    if problems:
        raise DataError(problems)


def empty_hama(directory: Path) -> HamaConformer:
    """The model that a folder's config.json describes, without its weights.

    Raises:
        DataError: vocab_size or pad_token_id is not one that this model can have.
    """
    config = read_json(directory / CONFIG)
    classes, blank = config.get("vocab_size", CLASSES), config.get("pad_token_id", BLANK)
    if not all(isinstance(n, int) and 0 <= n <= CLASSES for n in (classes, blank)) or blank >= classes:
        raise DataError(f"{directory / CONFIG}: vocab_size {classes!r:.40}, pad_token_id {blank!r:.40}: not hama's")
    return HamaConformer(classes, blank)


def load_hama(directory: Path) -> HamaConformer:
    """The model of a folder in fp32, for inference.

    Raises:
        DataError: tensors missing, unknown or of another shape, or a config.json of another model.
    """
    tensors, model = open_tensors(directory), empty_hama(directory)
    try:
        model.load_state_dict({name: tensors[name].float() for name in tensors})
    except RuntimeError as error:
        raise DataError(f"{directory}: does not load as hama's Conformer: {error!s:.300}") from error
    return model.eval()


def load_phonemes(directory: Path) -> Phonemes:
    """The tokenizer of a folder; a DataError if its vocabulary is not a list of consecutive ids."""
    vocabulary = read_json(directory / VOCABULARY)
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    if [vocabulary[token] for token in tokens] != list(range(BLANK + 1)):
        raise DataError(f"{directory / VOCABULARY}: is not hama's vocabulary of {BLANK + 1} tokens")
    return Phonemes(tokens)
