"""A published vector's folder: the vector, its card, a page for people, and the digests of its sentences."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from shutil import copyfile
from typing import Any

from asr_tv.data.text_files import read_text
from asr_tv.errors import ConfigError, DataError
from asr_tv.models.output import new_folder
from asr_tv.store.durable import file_digest
from asr_tv.store.payload import VECTOR
from asr_tv.vectors.combine import describe_vector
from asr_tv.vectors.files import open_vector
from asr_tv.vectors.low_rank import FORM as LOW_RANK
from asr_tv.vectors.published.card import CARD, README, SENTENCES, StoredFile, VectorCard, parse_card, require_label
from asr_tv.vectors.published.identity import weights_digests
from asr_tv.vectors.published.sentences import parse_digests, sentence_digest, written_digests
from asr_tv.vectors.quantised import Numbers, write_compact


@dataclass(frozen=True)
class VectorOrigin:
    """What a vector was made of and on, as its card will say it; the attributes are `VectorCard`'s."""

    pretrained_name: str
    language: str
    source: Mapping[str, Any]
    synthesis: Mapping[str, Any]
    recipe: Mapping[str, Any]
    scaling_coef: Mapping[str, float]
    chosen_on: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Publication:
    """What a publisher decides: name, version, licence, and the numbers it is stored in."""

    name: str
    version: str
    licence: str
    numbers: Numbers = "int8"


def write_published(
    vector: Path,
    pretrained: Path,
    origin: VectorOrigin,
    public: Publication,
    normalize: Callable[[str], str],
    out: Path,
) -> VectorCard:
    """Writes the folder of a vector; in fp32 the vector keeps its bytes.

    Args:
        pretrained: folder of the model that the vector is to be added to, or to what is tuned from it.

    Raises:
        ConfigError: no licence.
        DataError: a name that could be more than a folder's; not a vector.
    """
    require_label(public.name, public.version)
    if not public.licence.strip():
        raise ConfigError("--licence: a vector goes out under a licence, and its sources' say which are possible")
    opened = open_vector(vector)
    with new_folder(out) as folder:
        if public.numbers == "fp32" and LOW_RANK not in opened.metadata:
            copyfile(vector, folder / VECTOR)
            error = 0.0
        else:
            error = write_compact(opened, folder / VECTOR, public.numbers)
        (folder / SENTENCES).write_text(written_digests(origin.sentences, normalize), encoding="utf-8")
        fields = _fields(folder, pretrained, origin, public, error)
        (folder / README).write_text(page(VectorCard(**fields, files={})), encoding="utf-8")
        files = {name: _stored(folder / name) for name in (VECTOR, SENTENCES, README)}
        card = VectorCard(**fields, files=files)
        (folder / CARD).write_text(card.text(), encoding="utf-8")
    return card


def _fields(folder: Path, pretrained: Path, origin: VectorOrigin, public: Publication, error: float) -> dict[str, Any]:
    digests = list(dict.fromkeys(weights_digests(pretrained)))
    return {
        "name": public.name,
        "version": public.version,
        "numbers": public.numbers,
        "norm": describe_vector(folder / VECTOR).norm,
        "relative_error": error,
        "pretrained": {"name": origin.pretrained_name, "language": origin.language, "digests": digests},
        "source": dict(origin.source),
        "synthesis": dict(origin.synthesis),
        "recipe": dict(origin.recipe),
        "scaling_coef": dict(origin.scaling_coef),
        "chosen_on": origin.chosen_on,
        "licence": public.licence,
        "asr_tv": installed("asr-tv"),
    }


def _stored(file: Path) -> StoredFile:
    return StoredFile(file_digest(file), file.stat().st_size)


def read_card(folder: Path) -> VectorCard:
    """The card in a vector's folder.

    Raises:
        DataError: there is none, or it is damaged.
    """
    if not (folder / CARD).is_file():
        raise DataError(f"{folder}: holds no {CARD}: not a published vector, as `asr-tv vector pull` brings them")
    return parse_card(read_text(folder / CARD), str(folder / CARD))


def read_digests(folder: Path) -> frozenset[str]:
    """The digests of the sentences that the vector was made of."""
    return parse_digests(read_text(folder / SENTENCES), str(folder / SENTENCES))


def require_whole(folder: Path, card: VectorCard) -> None:
    """Checks size and digest of every file, and that the vector is one, before anything of it is used.

    Raises:
        DataError: every file that is missing or changed; a vector in a form whose size its file does not bound.
    """
    problems = []
    for name, file in card.files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path}: is missing")
        elif path.stat().st_size != file.bytes or file_digest(path) != file.sha256:
            problems.append(f"{path}: is not the file that {CARD} names: {path.stat().st_size} bytes")
    if problems:
        raise DataError(problems)
    if LOW_RANK in open_vector(folder / VECTOR).metadata:
        raise DataError(f"{folder / VECTOR}: a low-rank vector is published whole")


def require_base(card: VectorCard, pretrained: Path, language: str, where: str) -> None:
    """Refuses a vector of another model or language.

    Raises:
        DataError: both, where both are wrong.
    """
    problems = []
    if set(weights_digests(pretrained)).isdisjoint(card.pretrained["digests"]):
        name = card.pretrained.get("name")
        problems.append(f"{where}: was made on {name}, and these are other weights: {pretrained}")
    if language != card.pretrained["language"]:
        problems.append(f"{where}: is for {card.pretrained['language']}, and the run's language is {language}")
    if problems:
        raise DataError(problems)


def page(card: VectorCard) -> str:
    """README.md: what the vector stands for, for people."""
    source, synthesis = card.source, card.synthesis
    corpora = "; ".join(f"{c.get('name')} ({c.get('licence')})" for c in source.get("corpora", ()))
    coefs = ", ".join(f"{start} {value:g}" for start, value in card.scaling_coef.items())
    rows = [
        ("added to", f"{card.pretrained['name']}, or what is tuned from it on synthetic speech"),
        ("language", card.pretrained["language"]),
        ("line", card.line),
        ("source speech", corpora),
        ("domains", ", ".join(card.domains)),
        ("recordings", f"{source.get('utterances')}, {source.get('seconds', 0):.0f} s, {_speakers(source)}"),
        ("synthesis", f"{', '.join(synthesis.get('engines', ()))}: {', '.join(synthesis.get('voices', ()))}"),
        ("coefficient, by start", coefs),
        ("chosen on", card.chosen_on),
        ("numbers", f"{card.numbers}, relative error {100 * card.relative_error:.2f} %, norm {card.norm:.3f}"),
        ("licence", card.licence),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"# {card.label}\n\nThe vector source_real - source_synthetic (SYN2REAL, arXiv 2406.02925). It corrects what "
        "synthetic speech teaches wrongly\nfor the line, speakers and voices below, and for others it may not help.\n\n"
        f"| | |\n|---|---|\n{table}\n\n    asr-tv adapt configs/text_only.yaml --target-text my_sentences.txt "
        "--set vector.published=THIS_FOLDER\n"
    )


def _speakers(source: Mapping[str, Any]) -> str:
    known = source.get("speakers")
    return "speakers not known" if known is None else f"{known} speaker{'s' * (known != 1)}"


def shared_sentences(sentences: Iterable[str], digests: frozenset[str], normalize: Callable[[str], str]) -> list[str]:
    """Those of the sentences that the vector was made of."""
    return [sentence for sentence in sentences if sentence_digest(normalize(sentence)) in digests]
