"""A real `dagster dev` over an output folder: webserver, daemon and code server, as `switchyard ui` starts them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resources.instance import HOME_VARIABLE, open_instance
from resources.settings import Settings

ROOT = Path(__file__).parent.parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, query: str, **variables: object) -> dict[str, Any]:
    """One GraphQL request; returns its data."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.loads(answer.read())["data"])


def launch_backfill(url: str, asset: str, **chosen: object) -> str:
    """Launch a backfill of one asset (`allPartitions=True` or `partitionNames=[..]`); returns its id."""
    query = """mutation($p: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $p)
        {__typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}"""
    answer = ask(url, query, p={"assetSelection": [{"path": [asset]}], **chosen})["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return str(answer["backfillId"])


def backfill_ended(url: str, backfill_id: str, seconds: float) -> str:
    """Wait until a backfill has ended; returns its status."""
    query = "query($i: String!) {partitionBackfillOrError(backfillId: $i) {... on PartitionBackfill {status}}}"
    deadline, status = time.monotonic() + seconds, "none"
    while time.monotonic() < deadline:
        status = str(ask(url, query, i=backfill_id)["partitionBackfillOrError"]["status"])
        if status in ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"):
            return status
        time.sleep(0.5)
    raise AssertionError(f"backfill {backfill_id} is {status} after {seconds} s")


@contextmanager
def served(settings: Settings, extra: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a site over these settings, until the block ends."""
    with open_instance(settings.output):
        pass
    port = free_port()
    home = str(settings.output.resolve() / ".dagster")
    environment = {**os.environ, **settings.environment(), HOME_VARIABLE: home, "PYTHONWARNINGS": "ignore", **(extra or {})}
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-w", str(ROOT / "workspace.yaml")]
    log = settings.output / "server.log"
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=ROOT, start_new_session=True)
        try:
            _wait_until_loaded(f"http://127.0.0.1:{port}", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(server)


def _wait_until_loaded(url: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text(errors="replace")[-3000:]
        try:
            if "plan_only" in json.dumps(ask(url, "{repositoriesOrError {... on RepositoryConnection {nodes {jobs {name}}}}}")):
                return
        except OSError:
            pass
        time.sleep(1)
    raise AssertionError(f"the UI did not come up in {seconds} s: {log.read_text(errors='replace')[-3000:]}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    os.killpg(server.pid, signal.SIGINT)
    try:
        server.wait(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(timeout=30)
