"""F13: every process is killed at once, at a random moment, and the cluster comes up by itself.

    kill_all_test.py SHOAL_BINARY [--runs 50] [--model FILE]

The moments lie in an import, in the workers' fetching of shards, and in a change of placement (a
worker joins). After each kill everything is started again with the same commands; nobody helps.
Then the same prompt must give the same answer as ever, and every shard on every disk must be whole.
"""
import argparse
import random
import shutil
import sys
import tempfile
import threading
import time

from cluster import Cluster, Process, Stream

MODEL = "models/tales-moe-11m-q8_0.gguf"
PROMPT = "Once upon a time there was a fox"


def bring_up(cluster, model_file, n_workers):
    """Everything from nothing or from what is on disk, until it answers."""
    return cluster.bring_up(n_workers, "--model", cluster.import_model(model_file))


def answer(cluster, address):
    stream = Stream(address, cluster.nodes()["model_name"], PROMPT, 40, seed=3).run()
    assert stream.error is None, stream.error
    return stream.text


def all_shards_whole(cluster, n_workers):
    cluster.kill_all()
    for name in ["coordinator", "router", *(f"worker-{i}" for i in range(n_workers))]:
        cluster.run("shards", "verify", "--data-dir", str(cluster.root / name))


def kill_in_import(cluster, rng, args):
    process = Process([args.shoal, "import", args.model, "--data-dir", cluster.coordinator_dir],
                      cluster.root / "import.log")
    threading.Event().wait(rng.uniform(0, args.import_seconds))
    process.kill()


def kill_in_start(cluster, rng, args, n_workers):
    """While nodes join, fetch and load."""
    cluster.start_coordinator("--model", cluster.import_model(args.model))
    started = threading.Event()

    def start_nodes():
        try:
            for i in range(n_workers):
                cluster.start_worker(f"worker-{i}", "--threads", "1")
            cluster.start_router("router", "--threads", "1")
        except (OSError, RuntimeError, ValueError):
            pass  # It was killed meanwhile, which is the point.
        started.set()

    thread = threading.Thread(target=start_nodes, daemon=True)
    thread.start()
    started.wait(rng.uniform(0, args.start_seconds))
    for process in cluster.processes():
        if process.running():
            process.popen.kill()
    thread.join()
    cluster.kill_all()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shoal")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--model", default=MODEL)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-kill-all-") as root:
        with Cluster(args.shoal, f"{root}/whole") as cluster:
            begin = time.monotonic()
            cluster.import_model(args.model)
            args.import_seconds = time.monotonic() - begin
            begin = time.monotonic()
            expected = answer(cluster, bring_up(cluster, args.model, 2))
            args.start_seconds = time.monotonic() - begin
        print(f"import {args.import_seconds:.2f} s, start {args.start_seconds:.2f} s")
        for run in range(args.runs):
            rng = random.Random(run)
            home = f"{root}/run"
            with Cluster(args.shoal, home) as cluster:
                phase = ("import", "fetch", "placement")[run % 3]
                n_workers = 2
                if phase == "import":
                    kill_in_import(cluster, rng, args)
                elif phase == "fetch":
                    kill_in_start(cluster, rng, args, n_workers)
                else:
                    bring_up(cluster, args.model, 2)
                    cluster.kill_all()
                    n_workers = 3
                    kill_in_start(cluster, rng, args, n_workers)
                begin = time.monotonic()
                got = answer(cluster, bring_up(cluster, args.model, n_workers))
                seconds = time.monotonic() - begin
                assert got == expected, f"run {run}: another answer"
                all_shards_whole(cluster, n_workers)
                print(f"run {run:3} killed in {phase:9} up again in {seconds:5.2f} s", flush=True)
            shutil.rmtree(home)
    print(f"{args.runs} runs held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
