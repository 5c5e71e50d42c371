"""Holds `dagster_cloud.yaml` and the GPU request of the code against the schemas of Dagster's own Kubernetes launcher: `make cloud-check`.

It runs in an environment of its own, without this project: what the code asks of a cluster comes as JSON on stdin.
"""

import json
import os
import sys
from pathlib import Path

import yaml
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig

ROOT = Path(__file__).parent.parent


def main() -> None:
    cloud = yaml.safe_load((ROOT / "dagster_cloud.yaml").read_text(encoding="utf-8"))
    for location in cloud["locations"]:
        named = [name for name in location["container_context"]["k8s"]["env_vars"] if "=" not in name]
        os.environ.update(dict.fromkeys(named, "set where the agent runs"))
        read = K8sContainerContext.create_from_config(location["container_context"])
        wanted = location["container_context"]["k8s"]["run_k8s_config"]["container_config"]["resources"]
        assert read.run_k8s_config.container_config["resources"] == wanted, read.run_k8s_config
        assert read.server_k8s_config.container_config["resources"]["requests"], read.server_k8s_config
    gpu = UserDefinedDagsterK8sConfig.from_dict(json.load(sys.stdin)["dagster-k8s/config"])
    assert gpu.container_config["resources"]["limits"] == {"nvidia.com/gpu": "1"}, gpu
    sys.stdout.write("dagster_cloud.yaml and the GPU request are as dagster-k8s reads them\n")


if __name__ == "__main__":
    main()
