"""Vectors that go out and come back: every byte, and everything that is refused on the way."""

import http.server
import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_tv.errors import ConfigError, DataError
from asr_tv.models.formats import write_format
from asr_tv.models.locate import resolve_model
from asr_tv.models.tensors import open_tensors, write_tensors
from asr_tv.store.payload import MODEL, VECTOR
from asr_tv.store.results import Store, file_digest
from asr_tv.text.normalize import get_normalizer
from asr_tv.vectors.files import create_vector
from asr_tv.vectors.published import index as indexes
from asr_tv.vectors.published.card import CARD, parse_card
from asr_tv.vectors.published.folder import (
    Publication,
    VectorOrigin,
    read_card,
    read_digests,
    require_base,
    require_whole,
    shared_sentences,
    write_published,
)
from asr_tv.vectors.published.identity import weights_digests
from asr_tv.vectors.published.index import INDEX, VectorIndex

ENGLISH = get_normalizer("english")
ORIGIN = VectorOrigin(
    pretrained_name="tiny",
    language="en",
    source={"domains": ["bank"], "utterances": 2, "seconds": 3.0, "line": "GSM", "corpora": []},
    synthesis={"engines": ["piper"], "voices": ["joe"], "takes": 1},
    recipe={"operation": "difference"},
    scaling_coef={"pretrained": 0.6},
    chosen_on="a test",
    sentences=("Press one.", "Hold the line!"),
)


def publication(numbers: Any = "fp32", **more: str) -> Publication:
    values = {"name": "tiny-gsm", "version": "1.0.0", "licence": "CC0-1.0"} | more
    return Publication(numbers=numbers, **values)


@pytest.fixture(scope="module")
def vector(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "v.safetensors"
    create_vector(models / "tuned", models / "base", path, {})
    return path


@pytest.fixture
def folder(models: Path, vector: Path, tmp_path: Path) -> Path:
    write_published(vector, models / "base", ORIGIN, publication(), ENGLISH, tmp_path / "made")
    return tmp_path / "made"


class TestRoundTrip:
    def test_what_comes_back_is_what_went_out(self, folder: Path, vector: Path, tmp_path: Path) -> None:
        index = VectorIndex(str(tmp_path / "shelf"))
        entry = index.push(folder)
        back = index.pull(index.find("tiny-gsm"), tmp_path / "vectors")
        assert back == tmp_path / "vectors" / "tiny-gsm"
        assert {f.name: f.read_bytes() for f in folder.iterdir()} == {f.name: f.read_bytes() for f in back.iterdir()}
        assert (back / VECTOR).read_bytes() == vector.read_bytes()
        assert (entry.line, entry.engines, entry.scaling_coef, entry.licence) == ("GSM", ("piper",), 0.6, "CC0-1.0")
        assert "| line | GSM |" in (back / "README.md").read_text()

    def test_a_second_pull_downloads_nothing(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        index = VectorIndex(str(tmp_path / "shelf"))
        index.push(folder)
        index.pull(index.find("tiny-gsm"), tmp_path)
        fetched: list[str] = []
        monkeypatch.setattr(VectorIndex, "_fetch", lambda _, name, *__: fetched.append(name))
        index.pull(index.find("tiny-gsm@1.0.0"), tmp_path)
        assert fetched == []

    def test_the_newest_version_is_the_default_and_none_ever_changes(
        self, folder: Path, models: Path, vector: Path, tmp_path: Path
    ) -> None:
        index = VectorIndex(str(tmp_path / "shelf"))
        index.push(folder)
        for version in ("1.10.0", "1.9.0"):
            write_published(
                vector, models / "base", ORIGIN, publication("int8", version=version), ENGLISH, tmp_path / version
            )
            index.push(tmp_path / version)
        assert index.find("tiny-gsm").version == "1.10.0"
        assert index.push(folder) == index.find("tiny-gsm@1.0.0")
        write_published(vector, models / "base", ORIGIN, publication("fp16"), ENGLISH, tmp_path / "other")
        with pytest.raises(ConfigError, match=r"tiny-gsm@1.0.0 is there already and stays as it is"):
            index.push(tmp_path / "other")
        index.pull(index.find("tiny-gsm@1.0.0"), tmp_path)
        with pytest.raises(ConfigError, match=r"is there already and is not tiny-gsm@1.9.0"):
            index.pull(index.find("tiny-gsm@1.9.0"), tmp_path)

    def test_over_http_from_this_machine(self, folder: Path, tmp_path: Path) -> None:
        VectorIndex(str(tmp_path / "shelf")).push(folder)
        with Served(tmp_path / "shelf") as address:
            index = VectorIndex(address)
            assert (index.pull(index.find("tiny-gsm"), tmp_path) / VECTOR).is_file()
            assert VectorIndex(f"{address}/nothing").entries() == ()

    def test_through_object_storage(self, s3: str, folder: Path, tmp_path: Path) -> None:
        index = VectorIndex(f"{s3}/vectors")
        assert index.entries() == ()
        index.push(folder)
        back = index.pull(index.find("tiny-gsm"), tmp_path)
        assert file_digest(back / VECTOR) == file_digest(folder / VECTOR)


class Served:
    """A folder over http on this machine."""

    def __init__(self, folder: Path) -> None:
        quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(folder)))

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class TestHostile:
    """Whoever offers an index can write anything into it."""

    def edited(self, shelf: Path, change: Callable[[dict[str, Any]], None]) -> VectorIndex:
        row = json.loads((shelf / INDEX).read_text())
        change(row["vectors"][0])
        (shelf / INDEX).write_text(json.dumps(row))
        return VectorIndex(str(shelf))

    @pytest.fixture
    def shelf(self, folder: Path, tmp_path: Path) -> Path:
        VectorIndex(str(tmp_path / "shelf")).push(folder)
        return tmp_path / "shelf"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"name": "../x", "path": "../x/1.0.0"}, "a vector's name has letters"),
            ({"path": "../../etc"}, "is not its name and version"),
            ({"version": "1.0.0/../.."}, "a version is three numbers"),
            ({"bytes": -1}, "a negative number of bytes"),
            ({"bytes": "many"}, "of the wrong type: bytes"),
            ({"digests": [1]}, "of the wrong type"),
            ({"more": 1}, "its fields are not those of an index"),
        ],
    )
    def test_an_entry_that_is_none(self, shelf: Path, change: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            self.edited(shelf, lambda row: row.update(change)).entries()
        assert all(str(shelf / INDEX) in problem for problem in caught.value.problems)

    @pytest.mark.parametrize("content", [b"[", b"{}", b"[" * 100_000, b'{"schema_version": 2, "vectors": []}'])
    def test_an_index_that_is_none(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / INDEX).write_bytes(content)
        with pytest.raises(DataError, match="not an index"):
            VectorIndex(str(tmp_path)).entries()

    def test_an_index_without_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(indexes, "_LONGEST_INDEX", 1000)
        (tmp_path / INDEX).write_bytes(b" " * 1001)
        with pytest.raises(DataError, match="more than 1000 bytes, the limit"):
            VectorIndex(str(tmp_path)).entries()

    def test_more_than_the_disk_holds(self, shelf: Path, tmp_path: Path) -> None:
        index = self.edited(shelf, lambda row: row.update(bytes=1 << 60))
        with pytest.raises(DataError, match="has room for"):
            index.pull(index.find("tiny-gsm"), tmp_path)

    @pytest.mark.parametrize("name", [VECTOR, CARD, "sentences.sha256", "README.md"])
    def test_one_flipped_bit(self, shelf: Path, tmp_path: Path, name: str) -> None:
        file = shelf / "tiny-gsm" / "1.0.0" / name
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        index = VectorIndex(str(shelf))
        with pytest.raises(DataError, match=r"is not the (file|card) that") as caught:
            index.pull(index.find("tiny-gsm"), tmp_path / "out")
        assert len(caught.value.problems) == 1
        assert not (tmp_path / "out" / "tiny-gsm").exists()

    def test_a_file_that_goes_on_and_on_is_cut_at_what_was_stated(self, shelf: Path, tmp_path: Path) -> None:
        file = shelf / "tiny-gsm" / "1.0.0" / VECTOR
        with file.open("ab") as more:
            more.truncate(file.stat().st_size + (1 << 33))  # holes: eight gigabytes that take no room here
        index = VectorIndex(str(shelf))
        with pytest.raises(DataError, match="has more bytes, and its card states"):
            index.pull(index.find("tiny-gsm"), tmp_path / "out")

    def test_a_missing_file(self, shelf: Path, tmp_path: Path) -> None:
        (shelf / "tiny-gsm" / "1.0.0" / "README.md").unlink()
        index = VectorIndex(str(shelf))
        with pytest.raises(DataError, match=r"README.md: is missing"):
            index.pull(index.find("tiny-gsm"), tmp_path / "out")

    def test_plain_http_beyond_this_machine(self) -> None:
        with pytest.raises(ConfigError, match="use https"):
            VectorIndex("http://example.org/vectors")

    def test_a_name_that_is_not_there(self, shelf: Path) -> None:
        with pytest.raises(DataError, match=r"moon: not in .*, which has tiny-gsm@1.0.0"):
            VectorIndex(str(shelf)).find("moon")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"files": {}}, "files: none; expected"),
            ({"licence": " "}, "licence: not a text"),
            ({"pretrained": {"digests": ["x"], "language": "en"}}, "not a list of sha256"),
            ({"scaling_coef": {"pretrained": 1e999}}, "pretrained: not a finite number"),
            ({"name": "a/b"}, "a vector's name has letters"),
            ({"schema_version": 9}, "this asr-tv reads 1"),
        ],
    )
    def test_a_card_that_is_none(self, folder: Path, change: dict[str, Any], message: str) -> None:
        row = json.loads((folder / CARD).read_text()) | change
        with pytest.raises(DataError, match=message):
            parse_card(json.dumps(row), "here")

    def test_a_low_rank_file_whose_shapes_its_size_does_not_bound(self, folder: Path) -> None:
        form = json.dumps({"scale": 1.0, "shapes": {"x": [1 << 40, 1 << 20]}})
        tensors = {"x.lora_a": torch.ones(1, 2), "x.lora_b": torch.ones(2, 1)}
        layout = {name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()}
        write_tensors(folder / VECTOR, layout, sorted(tensors.items()), {"kind": "task vector", "low_rank": form})
        row = json.loads((folder / CARD).read_text())
        row["files"][VECTOR] = {"sha256": file_digest(folder / VECTOR), "bytes": (folder / VECTOR).stat().st_size}
        with pytest.raises(DataError, match="a low-rank vector is published whole"):
            require_whole(folder, parse_card(json.dumps(row), "here"))


class TestIdentity:
    def test_the_model_it_was_made_on_and_no_other(self, folder: Path, models: Path) -> None:
        card = read_card(folder)
        require_base(card, models / "base", "en", "v")
        with pytest.raises(DataError) as caught:
            require_base(card, models / "tuned", "it", "v")
        assert len(caught.value.problems) == 2
        assert "was made on tiny, and these are other weights" in caught.value.problems[0]
        assert "is for en, and the run's language is it" in caught.value.problems[1]

    def test_a_copy_in_half_precision_is_the_same_model(self, folder: Path, models: Path, tmp_path: Path) -> None:
        halved(models / "base", tmp_path / "half")
        exact, rounded = weights_digests(models / "base")
        assert exact != rounded
        assert weights_digests(tmp_path / "half") == (rounded, rounded)
        require_base(read_card(folder), tmp_path / "half", "en", "v")


@pytest.mark.parametrize(("precision", "same"), [("fp32", True), ("fp16", True), ("int8", False)])
def test_a_copy_that_ctranslate2_holds(models: Path, tmp_path: Path, precision: Any, same: bool) -> None:
    write_format(models / "base", tmp_path / "ct2", "ctranslate2", precision)
    copy = resolve_model(str(tmp_path / "ct2"), Store(tmp_path / "store")).path / MODEL
    assert bool(set(weights_digests(copy)) & set(weights_digests(models / "base"))) == same


def halved(model: Path, out: Path) -> None:
    out.mkdir()
    tensors = {name: t.half() if t.is_floating_point() else t for name, t in open_tensors(model).items()}
    layout = {name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()}
    write_tensors(out / "model.safetensors", layout, sorted(tensors.items()), {})


def test_a_shared_sentence_is_found_however_it_is_spelled(folder: Path) -> None:
    digests = read_digests(folder)
    assert len(digests) == 2
    asked = ["press ONE", "Press two.", "hold the line"]
    assert shared_sentences(asked, digests, ENGLISH) == ["press ONE", "hold the line"]


def test_without_a_licence_nothing_goes_out(models: Path, vector: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="licence"):
        write_published(vector, models / "base", ORIGIN, publication(licence=" "), ENGLISH, tmp_path / "made")
    assert not (tmp_path / "made").exists()
