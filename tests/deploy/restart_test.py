"""F16 and S05: pods that come back as Kubernetes brings them back.

    restart_test.py SHOAL_BINARY

A worker of a StatefulSet returns with its volume and another address: it is the same node, fetches
nothing, and routers find it. A router of a Deployment returns with an empty folder: it joins again by
the token of its Secret, which is good for many.
"""
import shutil
import sys
import tempfile
import unittest

from cluster import Cluster, Process, Stream, free_ports, wait_for

MODEL = "models/tales-moe-11m-q8_0.gguf"
N_EXPERTS = 96  # Of its layers together.
SHOAL = sys.argv[1]


class RestartTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="shoal-restart-")
        self.addCleanup(folder.cleanup)
        self.cluster = cluster = Cluster(SHOAL, folder.name, replicas=1)
        self.addCleanup(cluster.kill_all)
        cluster.start_coordinator("--model", cluster.import_model(MODEL))
        self.token = cluster.root / "token"
        self.token.write_text(cluster.run("token", "create", "--role", "router", "--uses", "10", "--ttl",
                                          "24h", "--data-dir", cluster.coordinator_dir))
        for i in range(2):
            cluster.start_worker(f"worker-{i}", "--threads", "1")
            wait_for(f"worker-{i}'s experts", lambda n=f"worker-{i}": cluster.is_ready(n))

    def start_router(self):
        """A pod of the Deployment: an empty folder, and the Secret."""
        home = self.cluster.root / "router"
        shutil.rmtree(home, ignore_errors=True)
        self.cluster.ops["router"] = f"127.0.0.1:{free_ports(1)}"
        self.cluster.routers["router"] = Process(
            [SHOAL, "router", "--data-dir", str(home), "--coordinator", self.cluster.coordinator_at,
             "--join-token-file", str(self.token), "--listen", "127.0.0.1:0", "--threads", "1",
             "--ops-listen", self.cluster.ops["router"]], self.cluster.root / "router.log")
        self.cluster.listen.pop("router", None)
        return self.cluster.router_ready()

    def answer(self, address):
        stream = Stream(address, "tales-moe", "Once upon a time there was a fox", 40, seed=7).run()
        self.assertIsNone(stream.error)
        return stream.text

    def settled(self):
        """Each worker has experts, and all that it is to have."""
        all_metrics = [self.cluster.metrics(name) for name in self.cluster.workers]
        return all(0 < metrics["shoal_worker_assigned_experts"] == metrics["shoal_worker_resident_experts"]
                   < N_EXPERTS for metrics in all_metrics)

    def test_a_worker_with_its_volume_and_another_address_fetches_nothing(self):
        cluster, address = self.cluster, self.start_router()
        text = self.answer(address)
        wait_for("experts to be where they are to stay", self.settled)
        cluster.workers["worker-1"].kill()
        process = cluster.start_worker("worker-1", "--threads", "1", "--peer-listen", "127.0.0.2:0")
        wait_for("worker-1's experts", lambda: cluster.is_ready("worker-1"))
        self.assertEqual(cluster.metrics("worker-1")["shoal_node_fetched_bytes_total"], 0)

        def asked():  # Its experts may have been elsewhere while it was away.
            self.assertEqual(self.answer(address), text)
            return cluster.metrics("worker-1")["shoal_worker_rows_total"] > 0

        wait_for("rows from worker-1", asked)
        self.assertTrue(process.running())
        self.assertEqual(sum(n["role"] == "worker" for n in cluster.nodes()["nodes"]), 2)

    def test_a_router_with_an_empty_folder_joins_again_by_its_token(self):
        text = self.answer(self.start_router())
        for _ in range(2):
            self.cluster.routers["router"].kill()
            self.assertEqual(self.answer(self.start_router()), text)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
