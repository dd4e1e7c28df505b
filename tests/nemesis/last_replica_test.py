"""F02: what happens when the last holder of an expert goes.

    last_replica_test.py SHOAL_BINARY [--model FILE]

One replica of everything, and a holder that is killed for good: the stream ends with an error event
that says expert_unavailable, or goes on with the right tokens because a survivor has loaded what
was lost; never anything else. Two replicas, and two of three workers killed: the third loads what
it lacks and the stream goes on, equal to its undisturbed twin.
"""
import argparse
import sys
import tempfile
import time

from cluster import Cluster, Stream, start_in_background

MODEL = "models/tales-moe-11m-q8_0.gguf"
PROMPT = "Once upon a time there was a fox"


def start(shoal, root, replicas, n_workers, model_file):
    cluster = Cluster(shoal, root, replicas)
    address = cluster.bring_up(n_workers, "--model", cluster.import_model(model_file))
    return cluster, address, cluster.nodes()["model_name"]


def disturbed(cluster, address, model, victims, n_tokens=400):
    """The undisturbed stream, and the one whose victims die at its 50th piece."""
    calm = Stream(address, model, PROMPT, n_tokens, seed=5).run()
    assert calm.error is None, calm.error

    def strike(n_pieces):
        if n_pieces == 50:
            for name in victims:
                cluster.workers[name].kill()

    shaken = Stream(address, model, PROMPT, n_tokens, seed=5, on_piece=strike)
    begin = time.monotonic()
    thread = start_in_background(shaken)
    thread.join(120)
    assert not thread.is_alive(), "the stream hangs"
    gap = max(shaken.gaps(), default=0)
    print(f"  {len(shaken.pieces)} of {len(calm.pieces)} pieces in {time.monotonic() - begin:.1f} s, "
          f"longest gap {gap:.2f} s, error: {shaken.error}")
    return calm, shaken


def only_holder(shoal, model_file, n_workers):
    with tempfile.TemporaryDirectory(prefix="shoal-last-replica-") as root:
        cluster, address, model = start(shoal, root, 1, n_workers, model_file)
        with cluster:
            calm, shaken = disturbed(cluster, address, model, ["worker-0"])
            right = calm.text.startswith(shaken.text)
            if shaken.error is None:
                return right and shaken.text == calm.text
            return right and "expert_unavailable" in shaken.error


def two_of_three(shoal, model_file):
    with tempfile.TemporaryDirectory(prefix="shoal-last-replica-") as root:
        cluster, address, model = start(shoal, root, 2, 3, model_file)
        with cluster:
            calm, shaken = disturbed(cluster, address, model, ["worker-0", "worker-1"])
            again = Stream(address, model, PROMPT, 100, seed=6).run()
            return shaken.error is None and shaken.text == calm.text and again.error is None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shoal")
    parser.add_argument("--model", default=MODEL)
    args = parser.parse_args()
    held = True
    for what, test in (("R = 1, one worker and it dies", lambda: only_holder(args.shoal, args.model, 1)),
                       ("R = 1, one worker of two dies", lambda: only_holder(args.shoal, args.model, 2)),
                       ("R = 2, two workers of three die", lambda: two_of_three(args.shoal, args.model))):
        print(what)
        good = test()
        print("  held" if good else "  FAILED")
        held &= good
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
