"""Kept epochs: the last whole one counts, a damaged one never, and nothing else stays."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from asr_tv.training.kept_epochs import forget_epochs, keep_epoch, last_epoch


def state(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "deep").mkdir(parents=True)
        (folder / "model.bin").write_text(text)
        (folder / "deep" / "optimizer.bin").write_text(text * 2)

    return write


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_the_last_epoch_is_found_and_older_ones_go(tmp_path: Path) -> None:
    assert last_epoch(tmp_path) is None
    keep_epoch(tmp_path, [0.5], state("one"))
    keep_epoch(tmp_path, [0.5, 0.25], state("two"))
    found = last_epoch(tmp_path)
    assert found == (tmp_path / "epoch-2", [0.5, 0.25])
    assert (found[0] / "model.bin").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["epoch-2"]
    forget_epochs(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["model.bin", "deep/optimizer.bin", "losses.json", "digests.json"])
@pytest.mark.parametrize("harm", [flip, Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-1])])
def test_a_damaged_epoch_is_named_and_never_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, harm: Callable[[Path], object]
) -> None:
    keep_epoch(tmp_path, [0.5], state("one"))
    harm(tmp_path / "epoch-1" / name)
    assert last_epoch(tmp_path) is None
    assert f"{tmp_path / 'epoch-1'} is damaged" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_the_one_before_counts_where_a_kill_left_both(tmp_path: Path) -> None:
    keep_epoch(tmp_path, [0.5], state("one"))
    (tmp_path / "epoch-1").rename(tmp_path / "kept")
    keep_epoch(tmp_path, [0.5, 0.25], state("two"))
    (tmp_path / "kept").rename(tmp_path / "epoch-1")
    flip(tmp_path / "epoch-2" / "model.bin")
    assert last_epoch(tmp_path) == (tmp_path / "epoch-1", [0.5])


def test_losses_of_another_epoch_are_damage(tmp_path: Path) -> None:
    keep_epoch(tmp_path, [0.5], state("one"))
    folder = tmp_path / "epoch-1"
    digests = json.loads((folder / "digests.json").read_text())
    assert set(digests) == {"model.bin", "deep/optimizer.bin", "losses.json"}
    (folder / "losses.json").write_text("[0.5, 0.1]")
    assert last_epoch(tmp_path) is None


def test_a_kill_while_an_epoch_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    keep_epoch(tmp_path, [0.5], state("one"))

    def killed(folder: Path) -> None:
        state("two")(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_epoch(tmp_path, [0.5, 0.25], killed)
    assert last_epoch(tmp_path) == (tmp_path / "epoch-1", [0.5])
    keep_epoch(tmp_path, [0.5, 0.25], state("two"))  # what was left half-written is in nobody's way
    assert last_epoch(tmp_path) == (tmp_path / "epoch-2", [0.5, 0.25])
