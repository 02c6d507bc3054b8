"""A Ray cluster as executor: resources, shards, a lost node, and clusters that cannot be used."""

import contextlib
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

import asr_tv
from asr_tv.config.run import RunOptions, SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.pipeline.execution import cluster as module
from asr_tv.pipeline.execution.cluster import AT_ONCE, Cluster
from asr_tv.pipeline.execution.executor import Done, InProcess, Kind, Step, call
from asr_tv.pipeline.graph import adapt
from asr_tv.pipeline.speech import divided
from asr_tv.store.results import Store
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.testing.nodes import Nodes, started
from asr_tv.testing.runs import fake_config
from asr_tv.testing.speech import dummy_texts, use_fake_engine

SOURCE = Path(asr_tv.__file__).parents[1]
FIXED = {"start": "pretrained", "augmentation": False, "scaling_coef": 0.5}

with_ray = pytest.mark.skipif(find_spec("ray") is None, reason='the extra "ray" is not installed')


class TestResources:
    @pytest.mark.parametrize(
        ("kind", "device", "gpus", "takes"),
        [
            ("finetune", "auto", 8, {"num_cpus": 4, "num_gpus": 0.25}),
            ("finetune", "auto", 0, {"num_cpus": 4, "num_gpus": 0}),
            ("finetune", "cpu", 8, {"num_cpus": 4, "num_gpus": 0}),
            ("transcribe", "auto", 8, {"num_cpus": 4, "num_gpus": 0.25}),
            ("score", "auto", 8, {"num_cpus": 1}),
            ("synthesize", "auto", 8, {"num_cpus": 1}),
        ],
    )
    def test_each_kind_of_stage_states_its_own(
        self,
        kind: Kind,
        device: str,
        gpus: float,
        takes: dict[str, float],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(Cluster, "_total", lambda self, resource: gpus)
        cluster = Cluster(Store(tmp_path), AT_ONCE, cores=4, gpus=0.25)
        assert cluster.resources(Step(kind, options=RunOptions(device=device))) == takes

    @pytest.mark.parametrize(("clips", "cores", "shards"), [(400, 2, 2), (400, 64, 20), (4000, 2, 10), (10, 8, 1)])
    def test_shards_keep_the_cores_busy_for_a_minute_at_most(self, clips: int, cores: int, shards: int) -> None:
        use_fake_engine()
        config = SynthesisConfig(engine="fake", voices=("tone",), takes=2)
        whole = call(Step("synthesize", "shop", alone=True), synthesize, dummy_texts(clips // 2, "shop"), config, 1)
        parts = divided(whole, cores)
        assert len(parts) == shards
        assert sum(len(part.arguments["texts"]) for part in parts) == clips // 2
        assert {(part.step.options.workers, part.step.alone) for part in parts} == {(1, False)}
        assert divided(replace(whole, stage=adapt), cores) == []


class TestRefusals:
    def refusal(self, address: str, folder: Path) -> str:
        with pytest.raises(ConfigError) as refused, Cluster(Store(folder), AT_ONCE, address=address):
            pass
        (problem,) = refused.value.problems
        return problem

    def test_what_is_no_address(self, tmp_path: Path) -> None:
        for address in ("http://10.0.0.1:10001", "ray://10.0.0.1", "10.0.0.1:6379"):
            assert f"engine {address!r}: expected ray://HOST:PORT" in self.refusal(address, tmp_path)

    @with_ray
    def test_where_nothing_listens(self, tmp_path: Path) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = f"ray://127.0.0.1:{unused.getsockname()[1]}"
            told = self.refusal(address, tmp_path)
        assert told.startswith(f"engine {address}: cannot be reached, start it with ray start: ")
        assert "refused" in told

    def test_without_ray(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ray", None)
        assert self.refusal("ray", tmp_path) == 'engine ray: Ray is not installed: pip install "asr-tv[ray]"'


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes, on which the fake engine is registered as another package registers its own."""
    package = tmp_path_factory.mktemp("engine") / "fake-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[asr_tv.synthesizers]\nfake = asr_tv.testing.speech:open_fake\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(SOURCE), str(package.parent)]))
        with started(2) as running:
            yield running


@contextlib.contextmanager
def watching(look: Callable[[], None]) -> Iterator[None]:
    """Looks again and again while the context lasts; raises what looking raised."""
    over, errors = threading.Event(), list[Exception]()

    def watch() -> None:
        try:
            while not over.wait(0.1):
                look()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if errors:
        raise errors[0]


def results(store: Path) -> dict[Path, int]:
    """When each finished result was written."""
    found = [file for file in store.glob("*/*/record.json") if file.parent.suffix != ".partial"]
    return {file: file.stat().st_mtime_ns for file in found}


def epochs(store: Path) -> dict[Path, int]:
    """When each kept epoch of an unfinished training was written."""
    written = {}
    for file in store.glob("finetune/*.partial/epoch-*/losses.json"):
        with contextlib.suppress(FileNotFoundError):  # a newer one has just replaced it
            written[file] = file.stat().st_mtime_ns
    return written


def digests(done: list[Done]) -> dict[str, str]:
    return {each.label: each.record.digest for each in done}


@with_ray
class TestNodes:
    def test_nodes_that_do_not_fit_are_told_all_at_once(
        self, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(SOURCE / "asr_tv", tmp_path / "newer" / "asr_tv", ignore=shutil.ignore_patterns("__pycache__"))
        (tmp_path / "newer" / "asr_tv" / "further.py").touch()
        (tmp_path / "none" / "asr_tv").mkdir(parents=True)
        (tmp_path / "none" / "asr_tv" / "__init__.py").touch()  # else the installed package is found behind it
        added = [nodes.add({"PYTHONPATH": str(tmp_path / name)}) for name in ("newer", "none")]
        home = module.home_of(Store(tmp_path / "store"))
        monkeypatch.setattr(module, "home_of", lambda store: replace(home, store="another"))
        with pytest.raises(ConfigError) as refused:
            Cluster(Store(tmp_path / "store"), AT_ONCE, cores=2).__enter__()
        told = sorted(problem.partition(": node ")[2].partition(" ")[2] for problem in refused.value.problems[:-1])
        assert [line[:30] for line in told] == [
            "does not see the store " + str(tmp_path)[:7],
            "does not see the store " + str(tmp_path)[:7],
            "has another version of asr-tv:",
            "has no asr-tv, or another vers",
        ]
        assert "none of its 4 nodes has 2 cores" in refused.value.problems[-1]
        for node in added:
            nodes.kill(node)

    def test_one_of_two_is_lost_in_mid_training(self, nodes: Nodes, tmp_path: Path) -> None:
        import torch

        config = fake_config(
            tmp_path / "in",
            sources=["banking"],
            selection={"method": "fixed", "fixed": FIXED, "scaling_coefs": [0.5]},
            training__epochs=4,
            scoring={"resamples": 100, "max_new_tokens": 2},
        )
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        alone = InProcess(Store(tmp_path / "alone"))
        adapt(config, alone)
        torch.set_num_threads(threads)

        store, worked, kept = tmp_path / "store", set[str](), dict[Path, set[int]]()
        finished: dict[Path, int] = {}

        def look() -> None:
            worked.update(busy := nodes.at_work())
            for file, moment in (now := epochs(store)).items():
                kept.setdefault(file, set()).add(moment)
            if not finished and now and len(busy) == 2 and len(list(store.glob("finetune/*.partial"))) > 1:
                finished.update(results(store))
                nodes.kill(next(iter(busy)))

        with watching(look), Cluster(Store(store), AT_ONCE, divide=divided) as execute:
            adapt(config, execute)
        assert len(worked) == 2
        assert finished, "no node was killed"
        assert finished.items() <= results(store).items(), "what was finished is not made again,"
        assert {len(moments) for moments in kept.values()} == {1}, "nor is an epoch"
        assert digests(execute.done) == digests(alone.done)
        assert not list(store.glob("*/*.partial"))
