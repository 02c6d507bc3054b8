"""A Ray cluster on this machine's loopback address, for tests and benchmarks: nodes of one core each, and a head."""

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

_LOOPBACK = "127.0.0.1"
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_health_check_period_ms": "1000",  # a node that is lost has missed five of them
    # Otherwise Ray reads a loopback address as that of the network card.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


@dataclass(frozen=True)
class Nodes:
    """A running cluster, that of this machine for this process and those it starts.

    Attributes:
        address: for other machines and processes.
    """

    address: str
    _cluster: Any

    def add(self, environment: Mapping[str, str] = MappingProxyType({})) -> str:
        """Adds a node, with other environment variables than this process; returns its id."""
        node = self._cluster.add_node(num_cpus=1, node_ip_address=_LOOPBACK, env_vars=dict(environment))
        return str(node.node_id)

    def at_work(self) -> frozenset[str]:
        """Ids of the nodes whose core is taken, as Ray says."""
        free = self._cluster.global_state.available_resources_per_node()
        return frozenset(node.node_id for node in self._cluster.worker_nodes if not free[node.node_id].get("CPU"))

    def kill(self, node_id: str) -> None:
        """Ends a node as a loss of power does; returns when Ray has noticed, or after half a minute."""
        (node,) = (node for node in self._cluster.worker_nodes if node.node_id == node_id)
        self._cluster.remove_node(node, allow_graceful=False)
        until = time.monotonic() + 30
        while time.monotonic() < until and self._is_alive(node_id):
            time.sleep(0.1)

    def _is_alive(self, node_id: str) -> bool:
        return any(row["NodeID"] == node_id and row["Alive"] for row in self._cluster.global_state.node_table())


@contextmanager
def started(count: int) -> Iterator[Nodes]:
    """A cluster of so many nodes, which ends with the context."""
    os.environ.update(_ENVIRONMENT)
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    ray_constants.ENABLE_RAY_CLUSTER = False  # for a process that imported Ray before
    port = _free_port()
    head = {"num_cpus": 0, "node_ip_address": _LOOPBACK, "ray_client_server_port": port, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = Nodes(f"ray://{_LOOPBACK}:{port}", cluster)
        for _ in range(count):
            nodes.add()
        os.environ["RAY_ADDRESS"] = cluster.address
        yield nodes
    finally:
        os.environ.pop("RAY_ADDRESS", None)
        cluster.shutdown()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])
