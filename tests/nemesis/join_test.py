"""Five workers of different size join one by one while clients stream.

    join_test.py SHOAL_BINARY [--model FILE] [--streams 2]

Each worker runs under a CPU quota and a memory limit of its own (cgroup v1, needs root). No request
fails, at the end the experts are spread as the measured speeds say, within 15 %, and while shards
move the 99th percentile of the time between two tokens stays within 1.5 times that of the same load
at rest: before or after, since here every worker takes from the same cores.
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
REST = 5
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


def measured(cluster, n_workers):
    return sum(n["role"] == "worker" and n["read_gb_per_s"] > 0
               for n in cluster.nodes()["nodes"]) == n_workers


def rest(cluster, load):
    """The 99th percentile of the time between two tokens while nothing moves."""
    begin = time.monotonic()
    while time.monotonic() < begin + REST:
        settled(cluster)  # Asking costs something on a small machine, then and now.
        load.stopping.wait(ASK_PERIOD)
    return percentile(load.gaps_between(begin, time.monotonic()), 99)


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
        rests, moves = [rest(cluster, load)], []
        for i in range(1, len(SIZES)):
            join(i)
            wait_for("its measures", lambda: measured(cluster, i + 1), period=ASK_PERIOD)
            begin = time.monotonic()  # From now on shards move.
            nodes = wait_for("placement to settle", lambda: settled(cluster, i + 1), timeout=120,
                             period=ASK_PERIOD)
            moves.append((begin, time.monotonic()))
            rests.append(rest(cluster, load))
        for i, (begin, end) in enumerate(moves):
            moving = percentile(load.gaps_between(begin, end) or [0], 99)
            before, after = rests[i:i + 2]
            good = moving <= 1.5 * max(before, after)
            held &= good
            print(f"worker {i + 1} joined, {end - begin:.1f} s: p99 {moving * 1000:.1f} ms while "
                  f"shards moved, at rest {before * 1000:.1f} ms before, {after * 1000:.1f} ms after"
                  f"{'' if good else '  OVER 1.5x'}", flush=True)
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
