"""I1: a cluster of unlike processors answers as one process does, bit for bit.

    mixed_cluster_test.py SHOAL_BINARY [SHOAL_BINARY_FOR_ARM64]

Workers run scalar code, AVX2, the best that this machine has and, under qemu, arm64's; each holds a
part of the experts that no other has, so no token can do without any of them. A process whose
SHOAL_ISA cannot be had ends at once: the workers run what their names say.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

from cluster import Cluster, Process, Stream, wait_for

MODEL = "models/tales-moe-11m-q8_0.gguf"
PROMPT = "Once upon a time there was a fox"
N_TOKENS = 16
SHOAL = sys.argv[1]
ARM64 = sys.argv[2:3]
QEMU = ["qemu-aarch64-static", "-cpu", "max,pauth-impdef=on"]


def start_worker(cluster, isa):
    on_arm64 = isa.startswith("neon")
    cluster.start_worker(isa, "--threads", "1", "--read-gb-per-s", "1",
                         prefix=["env", f"SHOAL_ISA={isa}", *(QEMU if on_arm64 else [])],
                         shoal=ARM64[0] if on_arm64 else SHOAL)


def instruction_sets():
    version = subprocess.run([SHOAL, "version", "--json"], capture_output=True, check=True,
                             env={**os.environ, "SHOAL_ISA": ""})
    found = json.loads(version.stdout)["isa"]["found"]
    return list(dict.fromkeys(["scalar", *found[1:2], found[-1], *(["neon_i8mm"] * len(ARM64))]))


def active_workers(cluster):
    return [node for node in cluster.nodes()["nodes"]
            if node["role"] == "worker" and node["state"] == "active"]


def answer(address):
    stream = Stream(address, "tales-moe", PROMPT, N_TOKENS, seed=7).run()
    assert stream.error is None, stream.error
    return stream.text


def answer_of_one_process(log):
    alone = Process([SHOAL, "up", MODEL, "--workers", "0", "--listen", "127.0.0.1:0"], log,
                    prefix=["env", "SHOAL_ISA=scalar"])
    try:
        return answer(alone.line().split()[-1].removeprefix("http://"))
    finally:
        alone.stop()


class MixedClusterTest(unittest.TestCase):
    def test_every_processor_serves_and_the_tokens_are_those_of_one_process(self):
        with tempfile.TemporaryDirectory(prefix="shoal-mixed-") as home:
            cluster = Cluster(SHOAL, home, replicas=1)
            model_id = cluster.import_model(MODEL)
            cluster.start_coordinator()
            try:
                isas = instruction_sets()
                for isa in isas:
                    start_worker(cluster, isa)
                wait_for("all workers", lambda: len(active_workers(cluster)) == len(isas))
                cluster.run("model", "set", model_id, "--data-dir", cluster.coordinator_dir)
                cluster.start_router("router", "--threads", "1")
                address = cluster.router_ready()
                for isa in isas:
                    wait_for(f"{isa}'s experts", lambda n=isa: cluster.is_ready(n), timeout=120)
                text = answer(address)
                rows = {isa: cluster.metrics(isa)["shoal_worker_rows_total"] for isa in isas}
            finally:
                cluster.kill_all()
            print("rows computed:", rows, flush=True)
            self.assertEqual(text, answer_of_one_process(f"{home}/alone.log"))
            self.assertTrue(all(n > 0 for n in rows.values()), rows)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
