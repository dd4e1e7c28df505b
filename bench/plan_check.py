"""Holds `shoal plan` against `shoal bench --workers N` on boxes that cgroups make of this machine.

    bench/plan_check.py SHOAL_BINARY MODEL [--shares 0.4,0.4,0.4,0.4] [--up-to 4]

A box is a process held to a share of one core by a CPU quota, on that core, since Linux hands out a
quota core by core; the router has the first one's share. For each N the boxes' speeds are measured inside their groups (`shoal plan` with `read_gb_per_s: measure`
says what it found) and the bench runs, in turns; the plan for the medians of those speeds and the median
of the bench are printed beside each other. Needs root and a
cgroup hierarchy for `cpu`, version 1 or 2. Prints a table for docs/performance.md.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

QUOTA_US = 1_000  # The shortest that Linux takes: a slower box has longer periods.


class Box:
    """A CPU group of some share of one core."""

    def __init__(self, name, share, cpu=0):
        self.cpu = cpu
        for root in (pathlib.Path("/sys/fs/cgroup/cpu"), pathlib.Path("/sys/fs/cgroup")):
            if (root / "cgroup.procs").exists():
                break
        else:
            raise SystemExit("no cgroup hierarchy for cpu under /sys/fs/cgroup")
        self.path = root / f"shoal-plan-{os.getpid()}-{name}"
        self.path.mkdir()
        period = round(QUOTA_US / share)
        if (self.path / "cpu.max").exists():
            (self.path / "cpu.max").write_text(f"{QUOTA_US} {period}")
        else:
            (self.path / "cpu.cfs_period_us").write_text(str(period))
            (self.path / "cpu.cfs_quota_us").write_text(str(QUOTA_US))

    def add(self, pid):
        (self.path / "cgroup.procs").write_text(str(pid))
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {self.cpu})

    def remove(self):
        try:
            self.path.rmdir()
        except OSError:
            pass


def children_of(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found


def plan(shoal, model, nodes, box=None):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump({"nodes": nodes}, file)  # JSON is YAML.
        file.flush()
        into = (lambda: box.add(os.getpid())) if box else None
        done = subprocess.run([shoal, "plan", model, "--nodes", file.name, "--replicas", "1",
                               "--depth", "32", "--prompt", "512", "--json"],
                              capture_output=True, text=True, preexec_fn=into)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def node(name, read, **more):
    return {"name": name, "memory": "64GiB", "read_gb_per_s": read, "round_trip_ms": 0,
            "link_gbit_per_s": 100, **more}


def measured_speeds(shoal, model, shares):
    """What each share of a core reads, GB/s; a moment each."""
    speeds = {}
    for share in set(shares):
        box = Box("measure", share)
        try:
            speeds[share] = plan(shoal, model, [node("a", "measure")], box)["nodes"][0]["read_gb_per_s"]
        finally:
            box.remove()
    return speeds


def cores_for(shares):
    """One for each share: the one with the least on it so far."""
    load = [0.0] * os.cpu_count()
    cores = []
    for share in shares:
        cores.append(load.index(min(load)))
        load[cores[-1]] += share
    return cores


def bench(shoal, model, shares, prompt):
    """The bench's own report, its router in a box of the first share and worker i in box i."""
    *cores, router_core = cores_for([*shares, shares[0]])
    boxes = [Box(f"worker{i}", share, core) for i, (share, core) in enumerate(zip(shares, cores))]
    router = Box("router", shares[0], router_core)
    process = subprocess.Popen([shoal, "bench", model, "--workers", str(len(shares)), "--threads", "1",
                                "--prompt", str(prompt), "--gen", "32", "--runs", "3", "--json"],
                               stdout=subprocess.PIPE, text=True)
    try:
        while len(children := children_of(process.pid)) < len(shares) and process.poll() is None:
            time.sleep(0.05)
        for box, pid in zip(boxes, children):
            box.add(pid)
        router.add(process.pid)
        return json.loads(process.communicate()[0])
    finally:
        process.wait()
        for box in [*boxes, router]:
            box.remove()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shoal")
    parser.add_argument("model")
    parser.add_argument("--shares", default="0.4,0.4,0.4,0.4")
    parser.add_argument("--up-to", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    shares = [float(word) for word in args.shares.split(",")]
    print("| boxes | shares of a core | GB/s | planned tokens/s | measured | planned / measured |")
    print("| --- | --- | --- | --- | --- | --- |")
    held = True
    for n in range(1, args.up_to + 1):
        some = shares[:n]
        measured, moments = [], []
        for _ in range(args.runs):  # In turns: the machine's own speed drifts.
            moments.append(measured_speeds(args.shoal, args.model, some))
            measured.append(bench(args.shoal, args.model, some, args.prompt)["decode_tokens_per_s"]["median"])
        measured = statistics.median(measured)
        speeds = {share: statistics.median(moment[share] for moment in moments) for share in some}
        nodes = [node(f"worker{i}", speeds[share]) for i, share in enumerate(some)]
        nodes.append(node("router", speeds[shares[0]], router=True, worker=False))
        planned = plan(args.shoal, args.model, nodes)["decode_tokens_per_s"]
        held &= 0.75 <= planned / measured <= 1.25
        print(f"| {n} | {', '.join(f'{s:g}' for s in some)} | "
              f"{', '.join(f'{speeds[s]:.1f}' for s in some)} | {planned:.2f} | {measured:.2f} | "
              f"{planned / measured:.2f} |", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
