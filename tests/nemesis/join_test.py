"""Five workers of different size join one by one while clients stream.

    join_test.py SHOAL_BINARY [--model FILE] [--streams 2]

Each worker runs under a CPU quota and a memory limit of its own (cgroup v1, needs root). No request
fails, at the end the experts are spread as the measured speeds say, within 15 %, and while shards
move the 99th percentile of the time between two tokens stays within 1.5 times that of the same load
at rest.
"""
import argparse
import os
import pathlib
import sys
import tempfile
import time

from cluster import Cluster, Load, percentile, wait_for

MODEL = "models/tales-moe-11m-q8_0.gguf"
SIZES = ((0.6, 1024), (0.3, 512), (0.45, 768), (0.2, 512), (0.6, 1024))  # Cores, MiB.
ASK_PERIOD = 0.5  # Seconds.
GROUPS = pathlib.Path("/sys/fs/cgroup")


def size_prefix(name, cores, mebibytes):
    """Control groups, and a command that puts what follows it into them."""
    cpu, memory = (GROUPS / kind / f"shoal-join-{os.getpid()}-{name}" for kind in ("cpu", "memory"))
    for group in (cpu, memory):
        group.mkdir()
    (cpu / "cpu.cfs_period_us").write_text("20000")
    (cpu / "cpu.cfs_quota_us").write_text(str(int(cores * 20000)))
    (memory / "memory.limit_in_bytes").write_text(str(mebibytes << 20))
    enter = "; ".join(f"echo $$ > {group}/cgroup.procs" for group in (cpu, memory))
    return [cpu, memory], ["sh", "-c", f'{enter}; exec "$@"', "sh"]


def settled(cluster, n_workers=0):
    """The workers, once there are so many and each holds what it shall hold."""
    said = cluster.nodes()
    nodes = [n for n in said["nodes"] if n["role"] == "worker" and n["state"] == "active"]
    held = said["settled"] and all(n["resident"] == n["assigned"] > 0 for n in nodes)
    return nodes if held and len(nodes) >= n_workers else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shoal")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--streams", type=int, default=2)
    args = parser.parse_args()
    groups, held = [], True
    with tempfile.TemporaryDirectory(prefix="shoal-join-") as root, \
            Cluster(args.shoal, root, replicas=1) as cluster:
        cluster.start_coordinator("--model", cluster.import_model(args.model))

        def join(i):
            own, prefix = size_prefix(str(i), *SIZES[i])
            groups.extend(own)
            cluster.start_worker(f"worker-{i}", "--threads", "1", prefix=prefix)

        join(0)
        cluster.start_router("router", "--threads", "1")
        address = cluster.router_ready()
        model = cluster.nodes()["model_name"]
        load = Load(address, model, args.streams)
        for i in range(1, len(SIZES)):
            at_rest = time.monotonic()
            while time.monotonic() < at_rest + 5:
                settled(cluster)  # Asking costs something on a small machine, then and now.
                load.stopping.wait(ASK_PERIOD)
            end_of_rest = time.monotonic()
            join(i)
            begin = time.monotonic()  # It has joined; from now on shards move.
            nodes = wait_for("placement to settle", lambda: settled(cluster, i + 1), timeout=120,
                             period=ASK_PERIOD)
            end = time.monotonic()
            rest = percentile(load.gaps_between(at_rest, end_of_rest), 99)
            moving = percentile(load.gaps_between(begin, end) or [0], 99)
            good = moving <= 1.5 * rest
            held &= good
            print(f"worker {i} joined in {end - begin:.1f} s: p99 {rest * 1000:.1f} ms at rest, "
                  f"{moving * 1000:.1f} ms while shards moved{'' if good else '  OVER 1.5x'}",
                  flush=True)
        load.stop()
        speed = sum(n["read_gb_per_s"] for n in nodes)
        n_experts = sum(n["assigned"] for n in nodes)
        for n in nodes:
            share, wanted = n["assigned"] / n_experts, n["read_gb_per_s"] / speed
            good = abs(share / wanted - 1) <= 0.15
            held &= good
            print(f"{n['node_id']} {n['read_gb_per_s']:6.2f} GB/s ({wanted:.1%}) holds "
                  f"{n['assigned']} experts ({share:.1%}){'' if good else '  OFF by over 15 %'}")
        print(f"{load.n_answers} answers, {len(load.failures)} failed {load.failures[:3]}")
        held &= not load.failures
        cluster.stop_all()
    for group in groups:
        group.rmdir()
    print("held" if held else "FAILED")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
