"""F16: the coordinator's disk is lost, and an older copy of it takes its place.

    lost_disk_test.py SHOAL_BINARY

As docs/operations.md says: nodes serve on meanwhile, take no snapshot older than theirs, and follow again
once the restored coordinator, started often enough, is ahead of them. A new worker then joins.
"""
import shutil
import sys
import tempfile
import unittest

from cluster import Cluster, Stream, wait_for

MODEL = "models/tales-moe-11m-q8_0.gguf"
SHOAL = sys.argv[1]


class LostDiskTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="shoal-lost-disk-")
        self.addCleanup(folder.cleanup)
        self.cluster = Cluster(SHOAL, folder.name, replicas=1)
        self.addCleanup(self.cluster.kill_all)
        self.address = self.cluster.bring_up(1, "--model", self.cluster.import_model(MODEL))

    def active(self):
        return sum(n["state"] == "active" for n in self.cluster.nodes()["nodes"])

    def answers(self):
        return Stream(self.address, "tales-moe", "Once upon a time", 20, seed=7).run().error is None

    def test_an_older_copy_is_followed_once_its_epoch_is_ahead(self):
        cluster, home = self.cluster, self.cluster.coordinator_dir
        copy = f"{cluster.root}/copy"
        cluster.coordinator.stop()
        shutil.copytree(home, copy)
        for _ in range(2):  # Each start raises the epoch beyond the copy's.
            cluster.start_coordinator()
            wait_for("both nodes", lambda: self.active() == 2)
            newest = cluster.nodes()["epoch"]
            cluster.coordinator.stop()
        shutil.rmtree(home)
        self.assertTrue(self.answers())
        shutil.copytree(copy, home)
        cluster.start_coordinator()
        self.assertLess(cluster.nodes()["epoch"], newest)
        while cluster.nodes()["epoch"] <= newest:
            cluster.coordinator.stop()
            cluster.start_coordinator()
        wait_for("both nodes", lambda: self.active() == 2)
        cluster.start_worker("worker-1", "--threads", "1")
        wait_for("the new worker's experts", lambda: cluster.is_ready("worker-1"))
        wait_for("experts on both", lambda: all(
            n["assigned"] > 0 for n in cluster.nodes()["nodes"] if n["role"] == "worker"))
        self.assertTrue(self.answers())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
