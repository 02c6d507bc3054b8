"""The Prefect flow is the same graph: one task a stage, the store's hits shown as Cached."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.testing.utilities import prefect_test_harness

from asr_tv.testing.runs import fake_config
from flows.adapt_domain import adapt_domain


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def by_state(report: dict[str, Any]) -> Counter[str]:
    return Counter(stage["state"] for stage in report["stages"])


def finished(count: int) -> Counter[str]:
    """Names of the final states of all task runs; the server hears of them a little late."""
    deadline = time.monotonic() + 60
    while (found := states()).total() < count and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def states() -> Counter[str]:
    async def read() -> list[str]:
        async with get_client() as client:
            runs = await client.read_task_runs(limit=200)
            return [str(run.state_name) for run in runs if run.state and run.state.is_final()]

    return Counter(asyncio.run(read()))


def test_flow_runs_the_graph_then_finds_it_cached(tmp_path: Path) -> None:
    config = fake_config(tmp_path, selection__starts=["pretrained"], selection__augmentation=[False])
    file = tmp_path / "fake.yaml"
    file.write_text(config.model_dump_json())
    report = adapt_domain(file, out=tmp_path / "out", store=tmp_path / "store")
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    stages = len(report["stages"])
    first = finished(stages)
    assert first == Counter(
        {state.replace("executed", "Completed").title(): n for state, n in by_state(report).items()}
    )
    again = adapt_domain(file, out=tmp_path / "out", store=tmp_path / "store")
    assert again["systems"] == report["systems"]
    assert by_state(again) == Counter(cached=stages)
    assert (finished(2 * stages) - first) == Counter(Cached=stages)


def test_the_leave_one_domain_out_flow_leaves_the_table_and_fails_where_too_much_is_lost(tmp_path: Path) -> None:
    from asr_tv.errors import RunFailed
    from asr_tv.testing.runs import fake_benchmark
    from flows import leave_one_domain_out as module

    fixed = {"start": "pretrained", "augmentation": False, "scaling_coef": 0.5}
    selection = {"method": "fixed", "starts": ["pretrained"], "augmentation": [False], "scaling_coefs": [0.5]}
    config = fake_benchmark(
        tmp_path,
        domains=("banking", "travel"),
        selection=selection | {"fixed": fixed},
        benchmark__targets=["travel"],
        benchmark__vectors=["pooled"],
    )
    file = tmp_path / "table.yaml"
    file.write_text(config.model_dump_json(exclude={"target"}))
    report = module.leave_one_domain_out(str(file), out=str(tmp_path / "out"), store=str(tmp_path / "store"))
    assert json.loads((tmp_path / "out" / "benchmark.json").read_text())["tables"] == report["tables"]
    assert report["forgetting"]["passed"] is None
    lost = {"passed": False, "rows": [{"target": "travel", "pretrained": 0.1, "adapted": 0.9, "passed": False}]}
    broken = report | {"forgetting": lost}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "run_benchmark", lambda *_, **__: broken)
        state = module.leave_one_domain_out(str(file), out=str(tmp_path / "out"), return_state=True)
    assert state.is_failed()
    with pytest.raises(RunFailed, match=r"travel: 10\.0 % WER to 90\.0 % WER"):
        asyncio.run(state.aresult())
