"""What tests that stop and kill processes need: `shoal up` on loopback, and clients that note when
each piece of an answer came. Standard library only.
"""
import http.client
import json
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time


def wait_for(what, condition, timeout=60, period=0.02):
    """Asks until `condition` gives something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(period)


def http_get(address, path, timeout=10):
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


class Up:
    """A running `shoal up` with worker processes, and ports for probes."""

    def __init__(self, shoal, model_file, n_workers, replicas, *options):
        base = free_ports(n_workers + 1)
        self.n_workers = n_workers
        self.ops = {"router": f"127.0.0.1:{base}"}
        for i in range(n_workers):
            self.ops[i] = f"127.0.0.1:{base + 1 + i}"
        self.process = subprocess.Popen(
            [shoal, "up", model_file, "--workers", str(n_workers), "--replicas", str(replicas),
             "--listen", "127.0.0.1:0", "--ops-listen", self.ops["router"], *options],
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("listening on http://"), line
        self.address = line.split()[-1].removeprefix("http://")
        self.model = self.process.stdout.readline().removeprefix("serving ").strip()
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def worker_pid(self, worker):
        """The process that holds that part now."""
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"worker" in words and words[words.index(b"--part") + 1] == b"%d" % worker:
                    return int(pid)
        return None

    def metrics(self, name):
        """Every sample of a process by name with labels, and summed by name alone."""
        _, text = http_get(self.ops[name], "/metrics")
        samples = {}
        for line in text.splitlines():
            match = re.match(r"([a-z_]+)(\{.*\})? (\S+)$", line)
            if match is None:
                continue
            family, labels, value = match[1], match[2] or "", float(match[3])
            samples[family + labels] = value
            if labels:
                samples[family] = samples.get(family, 0) + value
        return samples

    def rows(self, worker):
        try:
            return self.metrics(worker)["shoal_worker_rows_total"]
        except (OSError, http.client.HTTPException):
            return 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)


def free_ports(n):
    """The first of n ports in a row that nobody listens on."""
    for base in range(21000, 31000, 16):
        probes = [socket.socket() for _ in range(n)]
        try:
            for i, probe in enumerate(probes):
                probe.bind(("127.0.0.1", base + i))
            return base
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise RuntimeError("no free ports")


class Stream:
    """One streamed completion: every piece of text with the time it came."""

    def __init__(self, address, model, prompt, n_tokens, seed, temperature=0.8, on_piece=None,
                 timeout=120):
        self.pieces, self.times, self.error, self.done = [], [], None, False
        self.request = {"model": model, "prompt": prompt, "max_tokens": n_tokens, "seed": seed,
                        "temperature": temperature, "stream": True, "ignore_eos": True}
        self.address, self.on_piece, self.timeout = address, on_piece, timeout
        self.status = None

    def run(self):
        connection = http.client.HTTPConnection(self.address, timeout=self.timeout)
        try:
            connection.request("POST", "/v1/completions", json.dumps(self.request),
                               {"content-type": "application/json"})
            reply = connection.getresponse()
            self.status = reply.status
            if reply.status != 200:
                self.error = reply.read().decode()
                return self
            for raw in reply:
                self._line(raw.decode().rstrip("\r\n"))
                if self.done or self.error:
                    break
        except (OSError, http.client.HTTPException) as error:
            self.error = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        if not self.done and self.error is None:
            self.error = "the stream ended without [DONE]"
        return self

    def _line(self, line):
        if line.startswith("event: error"):
            self.error = "error event"
            return
        if not line.startswith("data: "):
            return
        data = line.removeprefix("data: ")
        if data == "[DONE]":
            self.done = True
            return
        event = json.loads(data)
        if "error" in event:
            self.error = json.dumps(event["error"])
            return
        text = event["choices"][0]["text"] if event["choices"] else ""
        if text:
            self.pieces.append(text)
            self.times.append(time.monotonic())
            if self.on_piece:
                self.on_piece(len(self.pieces))

    @property
    def text(self):
        return "".join(self.pieces)

    def gaps(self):
        return [b - a for a, b in zip(self.times, self.times[1:])]


def start_in_background(stream):
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    return thread

