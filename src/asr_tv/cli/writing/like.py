"""`asr-tv texts --like`: sentences like those of a domain, from its sentences or from the text model kept of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from asr_tv.cli.stages import say
from asr_tv.errors import ConfigError, DataError
from asr_tv.safe_text import counted

if TYPE_CHECKING:
    from asr_tv.text.writing.like import WrittenLike


def refuse_with_like(given: Mapping[str, object]) -> None:
    """Raises ConfigError for every option that has no part in writing like a text."""
    if problems := [f"{name}: not with --like" for name, value in given.items() if value]:
        raise ConfigError(problems)


def write_like_file(
    like: Path,
    keep: Path | None,
    out: Path,
    count: int,
    order: int,
    seed: int,
    language: str,
    exclude: Path | None,
    *,
    novel: bool,
    as_json: bool,
) -> None:
    """Writes the sentences, and the text model where it is to be kept; says how many are recited.

    Raises:
        ConfigError: a text model is to be kept that is kept already.
        DataError: not one sentence passed.
    """
    from asr_tv.data.corpora.texts import read_texts
    from asr_tv.data.text_files import read_text
    from asr_tv.store.results import write_atomically
    from asr_tv.text.normalize import get_normalizer, sentence_normalizer
    from asr_tv.text.writing.like import parse_text_model, train_text_model, write_like

    identity = get_normalizer(sentence_normalizer(language))
    if like.suffix == ".json":
        if keep is not None:
            raise ConfigError(f"--keep: {like} is a text model already")
        model = parse_text_model(read_text(like), str(like))
    else:
        model = train_text_model((u.text for u in read_texts(like, "like")), order, identity)
    written = write_like(model, count, seed, identity, novel=novel)
    unwanted = {identity(line) for line in read_text(exclude).splitlines()} if exclude else set()
    sentences = [sentence for sentence in written.sentences if identity(sentence) not in unwanted]
    if not sentences:
        raise DataError(f"{like}: no sentence of 3 to 25 words came of it")
    if keep is not None:
        write_atomically(keep, model.text())
    write_atomically(out, "".join(f"{sentence}\n" for sentence in sentences))
    say({"texts": str(out), **written.row(), "kept": keep and str(keep)}, as_json=as_json, text=_told(written, out))


def _told(written: "WrittenLike", out: Path) -> str:
    return (
        f"{counted(len(written.sentences), 'sentence')}: {out}\n{100 * written.verbatim:.0f} % verbatim: "
        f"{written.recited} of {written.distinct} distinct sentences are sentences that the model was made of"
    )
