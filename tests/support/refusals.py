"""What the tables of bad input share: a call that is refused as the user's mistake, and writes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asr_tv.errors import UserError


def listing(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.lstat().st_size for path in sorted(folder.rglob("*"))}


def refused(call: Callable[[], Any], *words: str, unchanged: Path | None = None) -> list[str]:
    """The problems of a call that must raise a user's error with all the words, and leave a folder as it was."""
    before = listing(unchanged) if unchanged else {}
    with pytest.raises(UserError) as caught:
        call()
    told = " | ".join(caught.value.problems)
    assert told.strip()
    assert len(told) < 20_000, len(told)
    for word in words:
        assert word in told, told
    if unchanged:
        assert listing(unchanged) == before
    return list(caught.value.problems)
