"""F16: the coordinator is away and nothing stops.

    coordinator_down_test.py SHOAL_BINARY [--seconds 60] [--model FILE]

Under a steady load of streams the coordinator is killed and stays down. Meanwhile a worker is
killed and started again, and so is a second router: both come back from their own disks, the worker
without fetching a byte. No request fails on the router that stays. Then the coordinator returns,
and a new worker joins.
"""
import argparse
import sys
import tempfile
import time

from cluster import Cluster, Load, Stream, wait_for

MODEL = "models/tales-moe-11m-q8_0.gguf"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shoal")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model", default=MODEL)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-coordinator-down-") as root, \
            Cluster(args.shoal, root) as cluster:
        cluster.bring_up(3, "--model", cluster.import_model(args.model),
                         routers=("router", "router-2"))
        model = cluster.nodes()["model_name"]
        load = Load(cluster.listen["router"], model, n_tokens=60)
        wait_for("an answer", lambda: load.n_answers > 0)

        cluster.coordinator.kill()
        down_since = time.monotonic()
        print("coordinator killed")

        cluster.workers["worker-1"].kill()
        cluster.start_worker("worker-1", "--threads", "1")
        wait_for("worker-1 serving from its disk", lambda: cluster.is_ready("worker-1"))
        wait_for("rows from worker-1",
                 lambda: cluster.metrics("worker-1").get("shoal_worker_rows_total", 0) > 0)
        fetched = cluster.metrics("worker-1")["shoal_node_fetched_bytes_total"]
        print(f"worker-1 back after {time.monotonic() - down_since:.1f} s, {fetched:.0f} bytes fetched")

        cluster.routers["router-2"].kill()
        cluster.start_router("router-2", "--threads", "1")
        second = Stream(cluster.router_ready("router-2"), model, "Once", 20, seed=1).run()
        print(f"router-2 back after {time.monotonic() - down_since:.1f} s")

        # The outage lasts as long as was asked for, whatever has been shown meanwhile.
        load.stopping.wait(max(0.0, args.seconds - (time.monotonic() - down_since)))
        n_before = load.n_answers
        cluster.start_coordinator()
        print(f"coordinator back after {time.monotonic() - down_since:.1f} s, "
              f"{n_before} answers so far")
        cluster.start_worker("worker-3", "--threads", "1")
        wait_for("the new worker among the nodes",
                 lambda: sum(n["role"] == "worker" and n["state"] == "active"
                             for n in cluster.nodes()["nodes"]) == 4)
        load.stop()
        print(f"{load.n_answers} answers, {len(load.failures)} failed {load.failures[:3]}")
        held = not load.failures and second.error is None and fetched == 0
        print("held" if held else "FAILED")
        return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
