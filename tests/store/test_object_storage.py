"""A store on object storage: two machines, each with a cache of its own, on one bucket of a local S3 server."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from asr_tv.config.run import SynthesisConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.errors import ConfigError, TryAgain
from asr_tv.store import object_storage
from asr_tv.store.object_storage import Bucket, MirroredStore, open_store
from asr_tv.store.results import Identity, Produced, Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.testing.speech import dummy_texts, use_fake_engine

IDENTITY = Identity("stage", 1, {"rate": 0.1})


@pytest.fixture(params=["s3", "file"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path / 'bucket'}"
    return f"{request.getfixturevalue('s3')}/{tmp_path.name}"


def machine(address: str, folder: Path, newer_than: float = 0.0) -> MirroredStore:
    return MirroredStore(folder, Bucket(address, folder.absolute()), newer_than=newer_than)


@dataclass
class Counted:
    """A producer that counts its calls."""

    calls: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, folder: Path) -> Produced:
        with self.lock:
            self.calls += 1
        (folder / "model").mkdir(exist_ok=True)
        (folder / "model" / "weights").write_bytes(b"\0\1" * 70_000)
        return Produced(details={"updates": 3})


def test_what_one_machine_makes_the_other_finds(address: str, tmp_path: Path) -> None:
    made, produce = machine(address, tmp_path / "a"), Counted()
    first = made.build(IDENTITY, produce)
    second = machine(address, tmp_path / "b").build(IDENTITY, produce)
    assert produce.calls == 1
    assert (first.cached, second.cached) == (False, True)
    assert (second.digest, second.details) == (first.digest, {"updates": 3})
    assert (second.path / "model" / "weights").read_bytes() == (first.path / "model" / "weights").read_bytes()
    assert second.path.is_relative_to(tmp_path / "b")


def test_two_machines_at_once_both_make_it_and_either_is_as_good(address: str, tmp_path: Path) -> None:
    produce, barrier = Counted(), threading.Barrier(2)

    def together(folder: Path) -> Produced:
        barrier.wait()
        return produce(folder)

    stores = [machine(address, tmp_path / name) for name in "ab"]
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda store: store.build(IDENTITY, together), stores))
    assert produce.calls == 2
    third = machine(address, tmp_path / "c").build(IDENTITY, produce)
    assert (third.cached, {record.digest for record in made}) == (True, {third.digest})


def test_a_result_is_fetched_by_its_key_alone(address: str, tmp_path: Path) -> None:
    made = machine(address, tmp_path / "a").build(IDENTITY, Counted())
    other = machine(address, tmp_path / "b")
    assert other.recorded("stage", IDENTITY.key) is None
    fetched = other.fetched("stage", IDENTITY.key)
    assert fetched is not None
    assert (fetched.digest, fetched.path.parent.parent) == (made.digest, tmp_path / "b")
    assert other.fetched("stage", "0" * 24) is None


@pytest.mark.parametrize("damage", ["lost", "changed", "record"])
def test_a_damaged_shared_result_is_made_again(damage: str, tmp_path: Path) -> None:
    bucket, produce = tmp_path / "bucket", Counted()
    record = machine(f"file://{bucket}", tmp_path / "a").build(IDENTITY, produce)
    payload = bucket / "stage" / IDENTITY.key / record.digest / "model" / "weights"
    if damage == "lost":
        payload.unlink()
    elif damage == "changed":
        payload.write_bytes(payload.read_bytes()[:-1])
    else:
        (bucket / "stage" / IDENTITY.key / "record.json").write_text("{")
    again = machine(f"file://{bucket}", tmp_path / "b").build(IDENTITY, produce)
    assert (produce.calls, again.cached, again.digest) == (2, False, record.digest)
    assert machine(f"file://{bucket}", tmp_path / "c").build(IDENTITY, produce).cached


def test_results_from_before_a_refresh_do_not_count(tmp_path: Path) -> None:
    address, produce = f"file://{tmp_path / 'bucket'}", Counted()
    machine(address, tmp_path / "a").build(IDENTITY, produce)
    since = time.time() + 0.01
    time.sleep(0.02)
    assert not machine(address, tmp_path / "b", since).build(IDENTITY, produce).cached
    assert machine(address, tmp_path / "b").remade_since(since).build(IDENTITY, produce).cached
    # The machine that made the first one still has it, and has to be told of the second by its key alone.
    assert machine(address, tmp_path / "a").remade_since(since).build(IDENTITY, produce).cached
    assert produce.calls == 2


def test_clips_follow_their_manifest(address: str, tmp_path: Path) -> None:
    use_fake_engine()
    config = SynthesisConfig(engine="fake", voices=("tone",), takes=2)
    texts = dummy_texts(4, "shop")
    first = synthesize(Runtime(machine(address, tmp_path / "a")), texts, config, seed=1)
    second = synthesize(Runtime(machine(address, tmp_path / "b")), texts, config, seed=1)
    assert (second.cached, second.digest) == (True, first.digest)
    clips = [Path(u.audio or "") for u in stored_manifest(second)]
    assert len(clips) == 8
    assert all(clip.is_file() and clip.is_relative_to(tmp_path / "b") for clip in clips)
    more = dummy_texts(5, "shop")
    third = synthesize(Runtime(machine(address, tmp_path / "c")), more, config, seed=1)
    assert (third.details["executed_clips"], third.details["reused_clips"]) == (2, 8)


def test_an_address_opens_a_cached_store_and_a_path_a_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(object_storage.CACHE_VARIABLE, str(tmp_path / "cache"))
    address = f"file://{tmp_path / 'bucket'}"
    store = open_store(address)
    store.build(IDENTITY, Counted())
    assert store.root.is_relative_to(tmp_path / "cache")
    assert open_store(store.location).root == store.root
    assert json.loads((tmp_path / "bucket/stage" / IDENTITY.key / "record.json").read_text())["key"] == IDENTITY.key
    plain = open_store(tmp_path / "plain")
    assert type(plain) is Store
    assert plain.mirror is None


def test_what_cannot_be_had_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nosuch"):
        open_store(f"nosuch://{tmp_path}/x").find(IDENTITY)


def test_a_server_that_does_not_answer_may_answer_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def cat_file(self, path: str) -> bytes:
            raise ConnectionError(path)

    monkeypatch.setattr(object_storage, "_file_system", lambda address: (Broken(), "x"))
    with pytest.raises(TryAgain, match="ConnectionError"):
        machine("s3://x", tmp_path).find(IDENTITY)
