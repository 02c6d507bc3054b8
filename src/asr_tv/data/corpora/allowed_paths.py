"""Where a manifest's recordings may lie: in its folder or the store, links followed, unless the user allows more."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

from asr_tv.data.manifest import Utterance
from asr_tv.errors import DataError, shortened

ALLOWED_BY = "`outside: true` in the corpus's configuration, or --outside, allows it"


def require_inside(folders: Sequence[Path], utterances: Sequence[Utterance], source: str) -> None:
    """Refuses recordings that an absolute path, `..` or a link places outside all the folders; opens none.

    Args:
        folders: the manifest's own, and the store, where manifests that asr-tv writes keep their recordings.
        source: the manifest's name, for the message.

    Raises:
        DataError: how many there are, the first of them by id, and what allows them.
    """
    real = functools.cache(os.path.realpath)
    roots = [Path(real(folder)) for folder in folders]
    lost = [u for u in utterances if u.audio is not None and not _lies_in(Path(u.audio), roots, real)]
    if lost:
        count = f"{source}: {len(lost)} of {len(utterances)} recordings lie outside its folder; {ALLOWED_BY}"
        raise DataError([count, *shortened([f"outside: utterance {u.id!r}: {u.audio}" for u in lost])])


def _lies_in(path: Path, roots: Sequence[Path], real: "functools._lru_cache_wrapper[str]") -> bool:
    folder = Path(real(path.parent))
    place = folder / path.name
    if os.path.islink(place):  # noqa: PTH114 - False and no error for a name that is too long
        place = Path(os.path.realpath(place))
    return any(place.is_relative_to(root) for root in roots)
