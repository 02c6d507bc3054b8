"""Makes pool, automations and deployments on a running server; run it again after each change. Starts no run."""

import argparse
import asyncio
import copy
import os
import subprocess  # nosec B404 - lists of words, no shell
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flows import settings

settings.prepare()
os.environ.setdefault("PREFECT_API_URL", "http://127.0.0.1:4200/api")

import httpx
import yaml
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from pydantic import BaseModel, ValidationError

POOLS = {"process": "asr-tv", "docker": "asr-tv-docker", "kubernetes": "asr-tv-kubernetes"}
_PATIENCE_SECONDS = 120.0
_SCHEDULES: dict[str, type[BaseModel]] = {"cron": CronSchedule, "interval": IntervalSchedule, "rrule": RRuleSchedule}
_GPUS = {"type": "integer", "title": "GPUs", "description": "GPUs of each run", "default": 0, "minimum": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", choices=POOLS, default="process", help="kind of work pool to make")
    kind = parser.parse_args().pool
    if problems := schedule_problems():
        print(*(f"error: {problem}" for problem in problems), sep="\n", file=sys.stderr)
        sys.exit(2)
    with get_client(sync_client=True) as client:
        wait_for_server(client)
        make_pool(client, kind)
        put_automations(client)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    if subprocess.run(command, cwd=settings.HOME, check=False).returncode:  # nosec B603 - our own words
        sys.exit("error: prefect deploy failed, see above")
    if kind != "process":
        print(f"next: *{kind} in place of *process in prefect.yaml, then this again; workers with --pool {POOLS[kind]}")
        return
    print(f"next: prefect worker start --pool {POOLS[kind]}, and prefect deployment run adapt-domain/demo --watch")


def schedule_problems() -> list[str]:
    """Problems of the schedules in prefect.yaml; Prefect would report them with half of the deployments made."""
    try:
        content = yaml.safe_load((settings.HOME / "prefect.yaml").read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        return [f"prefect.yaml is not YAML: {' '.join(str(error).split())}"]
    schedules = [
        (f"prefect.yaml: deployment {deployment['name']}, schedule {schedule.get('slug', number)}", schedule)
        for deployment in content["deployments"]
        for number, schedule in enumerate(deployment.get("schedules", ()), 1)
    ]
    return [f"{where}: {problem}" for where, schedule in schedules for problem in _wrong_in(schedule)]


def _wrong_in(schedule: Mapping[str, Any]) -> list[str]:
    kind = next((kind for kind in _SCHEDULES if kind in schedule), None)
    if kind is None:
        return [f"has none of {', '.join(_SCHEDULES)}"]
    given = {name: schedule[name] for name in (kind, "timezone") if name in schedule}
    try:
        _SCHEDULES[kind].model_validate(given)
    except ValidationError as error:
        return [e["msg"].removeprefix("Value error, ") for e in error.errors()]
    return [] if kind != "cron" or _comes(given) else [f'"{given[kind]}" never comes']


def _comes(cron: Mapping[str, Any]) -> bool:
    """Whether the schedule ever fires: the 31st of February is a valid cron string, but never comes."""
    from prefect.server.schemas.schedules import CronSchedule as ServerCronSchedule

    try:
        return bool(asyncio.run(ServerCronSchedule.model_validate(cron).get_dates(1)))
    except ValueError:
        return False


def wait_for_server(client: SyncPrefectClient) -> None:
    """Waits until the server answers; exits with advice if none does, or if it wants a password."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        error = client.api_healthcheck()
        if error is None:
            break
        if time.monotonic() > deadline:
            sys.exit(f"error: no server answers at {PREFECT_API_URL.value()}: prefect server start ({error})")
        time.sleep(1)
    try:
        client.read_work_pools()
    except (PrefectHTTPStatusError, httpx.HTTPStatusError) as refusal:
        if refusal.response.status_code != httpx.codes.UNAUTHORIZED:
            raise
        sys.exit("error: the server wants a password: set PREFECT_API_AUTH_STRING to what the server was started with")


def make_pool(client: SyncPrefectClient, kind: str) -> None:
    pool = WorkPoolCreate(name=POOLS[kind], type=kind, base_job_template=job_template(client, kind))
    try:
        client.create_work_pool(pool)
    except ObjectAlreadyExists:
        client.create_work_pool(pool, overwrite=True)


def job_template(client: SyncPrefectClient, kind: str) -> dict[str, Any]:
    """Prefect's default job template for this kind of pool; for containers and pods with a variable `gpus`."""
    kinds = {name: data for workers in client.read_worker_metadata().values() for name, data in workers.items()}
    template = copy.deepcopy(kinds[kind]["default_base_job_configuration"])
    if kind == "process":
        return template
    template["variables"]["properties"]["gpus"] = _GPUS
    job = template["job_configuration"]
    if kind == "docker":
        device = {"Driver": "nvidia", "Count": "{{ gpus }}", "Capabilities": [["gpu"]]}
        job["container_create_kwargs"] = {"device_requests": [device]}
    else:
        pod = job["job_manifest"]["spec"]["template"]["spec"]
        pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = "{{ gpus }}"
    return template


def automations() -> list[AutomationCore]:
    rows = yaml.safe_load((settings.HOME / "flows" / "automations.yaml").read_text(encoding="utf-8"))
    return [AutomationCore.model_validate(row) for row in rows["automations"]]


def put_automations(client: SyncPrefectClient) -> None:
    """Makes the file's automations, and first deletes all whose names begin with "asr-tv "."""
    for old in client.request("POST", "/automations/filter", json={"limit": 200}).json():
        if old["name"].startswith("asr-tv "):
            client.request("DELETE", "/automations/{id}", path_params={"id": old["id"]})
    for automation in automations():
        client.request("POST", "/automations/", json=automation.model_dump(mode="json"))


if __name__ == "__main__":
    main()
