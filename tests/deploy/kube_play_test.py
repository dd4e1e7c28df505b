"""F01, S07 and S24: the image and the Deployments, run by podman as a cluster of three workers.

    kube_play_test.py SHOAL_BINARY

Builds the image, plays deploy/k8s/overlays/podman, asks, removes a worker's pod in the middle of an
answer and asks on. Every process runs without root, without capabilities, over a read-only root.
Needs root, podman and runc, and no registry; takes the ports 18080 and the names that the overlay has.
"""
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest
import urllib.error

import yaml

from cluster import http_get, wait_for
from tools import K8S, MODEL, completion, output, unpack_tools

SHOAL = sys.argv[1]
os.environ["CONTAINERS_CONF"] = str(pathlib.Path("tests/deploy/containers.conf").resolve())
API = "127.0.0.1:18080"
VOLUMES = ("data", "shoal-models", "shoal-coordinator", "shoal-worker-secrets", "shoal-router-secrets")
PODS = ("shoal-router-pod-0", *(f"shoal-worker-pod-{i}" for i in range(3)), "shoal-coordinator-pod-0")
PROFILE = {"Uid": "65532", "CapEff": "0000000000000000", "CapBnd": "0000000000000000",
           "NoNewPrivs": "1", "Seccomp": "2"}


def podman(*args, **options):
    return output("podman", *args, **options)


def fill_volume(name, files):
    """A volume of that name with these files, the image's user's."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.uid, info.gid = len(content), 0o400, 65532, 65532
            tar.addfile(info, io.BytesIO(content))
    podman("volume", "create", name)
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(archive.getvalue())
        file.flush()
        podman("volume", "import", name, file.name)


def clean():
    for pod in PODS:
        podman("pod", "rm", "--force", "--ignore", pod)
    for volume in VOLUMES:
        podman("volume", "rm", "--force", volume)


def shoal(*args):
    """An operator's command, on the coordinator."""
    return podman("exec", "shoal-coordinator-pod-0-coordinator", "/usr/bin/shoal", *args)


def coordinator_answers():
    try:
        return json.loads(shoal("node", "list", "--json"))
    except RuntimeError:
        return None


def is_ready():
    try:
        return http_get(API, "/ready")[0] == 200
    except OSError:
        return False


class KubePlayTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print(output("sh", "-c", 'deploy/docker/image.sh "$1" 2>&1', "sh", SHOAL), flush=True)
        cls.addClassCleanup(clean)
        clean()
        with tempfile.TemporaryDirectory(prefix="shoal-play-") as folder:
            _, kubectl = unpack_tools(folder)
            objects = list(yaml.safe_load_all(output(kubectl, "kustomize", str(K8S / "overlays/podman"))))
            for o in objects:
                path = pathlib.Path(folder, o["metadata"]["name"])
                path.write_text(yaml.safe_dump(o))
            fill_volume("shoal-models", {"model.gguf": pathlib.Path(MODEL).read_bytes()})
            podman("kube", "play", f"{folder}/shoal-coordinator")
            wait_for("the coordinator", coordinator_answers, timeout=180, period=1)
            # The key goes to standard error, its hash to standard output.
            made = subprocess.run(["podman", "exec", "shoal-coordinator-pod-0-coordinator", "/usr/bin/shoal",
                                   "key", "create", "--name", "test", "--api-key-file", "-"],
                                  capture_output=True, text=True, check=True)
            cls.key = re.search(r"sk-\S+", made.stderr)[0]
            tokens = {role: shoal("token", "create", "--role", role, "--uses", "100", "--ttl", "24h").encode()
                      for role in ("worker", "router")}
            fill_volume("shoal-worker-secrets", {"token": tokens["worker"]})
            fill_volume("shoal-router-secrets", {"token": tokens["router"], "api-keys": made.stdout.encode()})
            podman("kube", "play", f"{folder}/shoal-worker")
            podman("kube", "play", f"{folder}/shoal-router")
        wait_for("every expert on two workers", cls.settled, timeout=300, period=1)
        wait_for("the API", is_ready, timeout=300, period=1)

    @staticmethod
    def settled():
        said = coordinator_answers() or {"nodes": []}
        workers = [n for n in said["nodes"] if n["role"] == "worker"]
        return len(workers) == 3 and said["settled"] and all(
            n["resident"] == n["assigned"] > 0 for n in workers)

    def test_1_answers_whoever_has_a_key(self):
        with self.assertRaises(urllib.error.HTTPError) as refused:
            completion(API)
        self.assertEqual(refused.exception.code, 401)
        refused.exception.close()
        self.assertGreater(len(completion(API, self.key)), 20)

    def test_2_processes_have_nothing_that_they_do_not_need(self):
        for pod in PODS:
            container = f"{pod}-{pod.split('-')[1]}"
            pid = podman("inspect", "--format", "{{.State.Pid}}", container).strip()
            status = dict(re.findall(r"^(\w+):\s+(\S+)", pathlib.Path(f"/proc/{pid}/status").read_text(),
                                     re.MULTILINE))
            self.assertEqual({key: status[key] for key in PROFILE}, PROFILE, container)
            root = next(line.split() for line in
                        pathlib.Path(f"/proc/{pid}/mounts").read_text().splitlines() if line.split()[1] == "/")
            self.assertIn("ro", root[3].split(","), container)

    def test_3_a_pod_is_lost_and_the_answer_is_the_same(self):
        whole = completion(API, self.key, n_tokens=800)
        texts = []
        asking = threading.Thread(
            target=lambda: texts.append(completion(API, self.key, n_tokens=800, timeout=300)))
        asking.start()
        podman("pod", "rm", "--force", "--time", "0", "shoal-worker-pod-1")
        print("removed while it was being answered:", asking.is_alive(), flush=True)
        asking.join()
        self.assertEqual(texts, [whole])
        self.assertEqual(completion(API, self.key, n_tokens=800), whole)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
