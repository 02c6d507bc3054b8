"""Pointers that Git LFS leaves in the place of large files."""

from pathlib import Path

from asr_tv.errors import DataError


def refuse_pointer(path: Path, where: str = "") -> None:
    """Refuses what Git leaves in a file's place until its content is fetched; `where` names it, by default its path.

    Raises:
        DataError: the file is a pointer of Git LFS.
    """
    with path.open("rb") as file:
        if file.read(40).startswith(b"version https://git-lfs"):
            raise DataError(f"{where or path}: a pointer of Git LFS, not the file itself: `git lfs pull` fetches it")
