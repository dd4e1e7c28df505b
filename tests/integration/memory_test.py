"""Memory of a whole cluster: all processes of `shoal up` together, at their peak, after a prompt
that fills a step and an answer, stay under the model's bytes + 20 % + 100 MB a process.

    memory_test.py SHOAL_BINARY MODEL_FILE N_WORKERS

Prints each process's peak. Works on any model; the test suite runs it on the bundled one.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import urllib.request

MB = 1_000_000


def children_of(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir()
            for child in (task / "children").read_text().split()]


def peak_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no VmHWM")


def main():
    shoal, model_file, n_workers = sys.argv[1:]
    home = tempfile.TemporaryDirectory(prefix="shoal-memory-")
    up = subprocess.Popen([shoal, "up", model_file, "--workers", n_workers, "--data-dir", home.name,
                           "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        line = up.stdout.readline()
        assert line.startswith("listening on http://"), line
        url = line.split()[-1]
        with urllib.request.urlopen(f"{url}/v1/models", timeout=60) as reply:
            model = json.load(reply)["data"][0]["id"]
        body = {"model": model, "prompt": list(range(20, 276)) * 3, "max_tokens": 16,
                "ignore_eos": True}
        request = urllib.request.Request(f"{url}/v1/completions", json.dumps(body).encode(),
                                         {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as reply:
            assert json.load(reply)["usage"]["completion_tokens"] == 16
        pids = [up.pid, *children_of(up.pid)]
        peaks = {}
        for pid in pids:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            peaks[f"{command[1].decode()} {pid}"] = peak_bytes(pid)
    finally:
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=60)
    model_bytes = os.path.getsize(model_file)
    bound = model_bytes * 1.2 + 100 * MB * len(peaks)
    for name, peak in peaks.items():
        print(f"{name}: {peak / MB:.1f} MB")
    print(f"in all {sum(peaks.values()) / MB:.1f} MB, model {model_bytes / MB:.1f} MB, "
          f"bound {bound / MB:.1f} MB")
    assert len(peaks) == 3 + int(n_workers), peaks  # And a coordinator, a router, `shoal up`.
    assert sum(peaks.values()) <= bound
    assert up.returncode == 0, up.returncode
    home.cleanup()


main()
