"""F16 and S05: a cluster of separate processes, as on several machines, from the first token on.

    cluster_test.py SHOAL_BINARY

Two workers and a router join by token and answer as a single process does; a spent token, another
role's and a changed one join nobody; the cluster's model changes and the router follows; a revoked
worker is asked no more; and without a coordinator everybody starts again from his own disk.
"""
import http.client
import json
import subprocess
import sys
import tempfile
import unittest

from cluster import Cluster, Stream, http_get, wait_for

MODEL = "models/tales-moe-11m-q8_0.gguf"
PROMPT = "Once upon a time there was a fox"
SHOAL = sys.argv[1]


def answer(address, model, n_tokens=60):
    stream = Stream(address, model, PROMPT, n_tokens, seed=7).run()
    assert stream.error is None, stream.error
    return stream.text


def answer_of_one_process():
    process = subprocess.Popen([SHOAL, "up", MODEL, "--workers", "0", "--listen", "127.0.0.1:0"],
                               stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().split()[-1].removeprefix("http://")
        return answer(address, process.stdout.readline().split()[-1])
    finally:
        process.terminate()
        process.communicate()


class ClusterTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.TemporaryDirectory(prefix="shoal-cluster-")
        cls.cluster = cluster = Cluster(SHOAL, cls.home.name)
        cls.model_id = cluster.import_model(MODEL)
        cluster.start_coordinator()
        for name in ("worker-0", "worker-1"):
            cluster.start_worker(name, "--threads", "1")
        cluster.start_router("router", "--threads", "1")
        cluster.run("model", "set", cls.model_id, "--data-dir", cluster.coordinator_dir)
        cls.address = cluster.router_ready()
        cls.wait_for_experts()
        cls.expected = answer_of_one_process()

    # A worker is ready when it serves what it has been assigned, which may be nothing at first. A
    # token that was used for another role leaves a worker of which nothing is heard.
    @classmethod
    def wait_for_experts(cls):
        wait_for("every expert on both workers", lambda: [
            n["resident"] for n in cls.cluster.nodes()["nodes"]
            if n["role"] == "worker" and n["state"] == "active"] == [96, 96])
        for name in cls.cluster.workers:
            wait_for(f"{name}'s experts", lambda n=name: cls.cluster.is_ready(n))

    @classmethod
    def tearDownClass(cls):
        cls.cluster.kill_all()
        cls.home.cleanup()

    def join(self, role, token):
        """What a node with that token says before it gives up."""
        with tempfile.TemporaryDirectory(prefix="shoal-node-") as home:
            done = subprocess.run(
                [SHOAL, role, "--data-dir", home, "--coordinator", self.cluster.coordinator_at,
                 "--join-token-file", "-"],
                input=token + "\n", capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stderr

    def test_1_answers_as_one_process_does(self):
        self.assertEqual(answer(self.address, "tales-moe"), self.expected)

    def test_2_each_expert_is_on_both_workers(self):
        nodes = self.cluster.nodes()
        self.assertEqual(nodes["model_id"], self.model_id)
        workers = [n for n in nodes["nodes"] if n["role"] == "worker"]
        self.assertEqual([n["resident"] for n in workers], [96, 96])
        self.assertTrue(all(n["read_gb_per_s"] > 0 and n["memory_bytes"] > 0 for n in workers))
        self.assertEqual([n["state"] for n in nodes["nodes"]], ["active"] * 3)
        wait_for("round trips", lambda: all(
            0 < n["round_trip_us"] < 1e6 for n in self.cluster.nodes()["nodes"]
            if n["role"] == "worker"))

    def test_3_bad_tokens_join_nobody(self):
        token = self.cluster.token("worker")
        changed = token[:-1] + ("0" if token[-1] != "0" else "1")
        self.assertRegex(self.join("worker", changed), "no such join token")
        self.assertIn("for a worker, not for a router", self.join("router", token))
        self.assertRegex(self.join("worker", token), "used up")

    def test_4_the_router_follows_when_the_model_changes(self):
        other = self.cluster.run("import", MODEL, "--model-name", "other-tales", "--data-dir",
                                 self.cluster.coordinator_dir).splitlines()[-1]
        self.assertNotEqual(other, self.model_id)
        self.cluster.run("model", "set", other, "--data-dir", self.cluster.coordinator_dir)

        def served():
            try:
                return json.loads(http_get(self.address, "/v1/models")[1])["data"][0]["id"]
            except (OSError, http.client.HTTPException):
                return None
        wait_for("the other model", lambda: served() == "other-tales")
        self.assertEqual(answer(self.address, "other-tales"), self.expected)
        self.wait_for_experts()

    def test_5_everybody_starts_without_a_coordinator(self):
        self.cluster.kill_all()
        for name in ("worker-0", "worker-1"):
            self.cluster.start_worker(name, "--threads", "1")
        self.cluster.start_router("router", "--threads", "1")
        self.assertEqual(self.cluster.router_ready(), self.address)
        self.assertEqual(answer(self.address, "other-tales"), self.expected)
        for name in self.cluster.workers:
            self.assertEqual(self.cluster.metrics(name)["shoal_node_fetched_bytes_total"], 0)

    def test_6_a_revoked_worker_is_asked_no_more(self):
        self.cluster.start_coordinator()
        nodes = wait_for("the workers", lambda: [
            n for n in self.cluster.nodes()["nodes"]
            if n["role"] == "worker" and n["state"] == "active"])
        self.cluster.run("node", "revoke", nodes[0]["node_id"], "--data-dir",
                         self.cluster.coordinator_dir)
        by_id = {self.cluster.node_id(name): name for name in self.cluster.workers}
        revoked = by_id.pop(nodes[0]["node_id"])
        (other,) = by_id.values()

        def rows_of_one_answer():
            before = {n: self.cluster.metrics(n)["shoal_worker_rows_total"] for n in (revoked, other)}
            self.assertEqual(answer(self.address, "other-tales"), self.expected)
            return [self.cluster.metrics(n)["shoal_worker_rows_total"] - before[n]
                    for n in (revoked, other)]
        wait_for("no rows for the revoked", lambda: rows_of_one_answer()[0] == 0)
        self.assertGreater(rows_of_one_answer()[1], 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
