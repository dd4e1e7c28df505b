"""What tests that stop, kill and starve processes need: clusters of real processes on loopback, and
clients that note when each piece of an answer came. Standard library only.
"""
import http.client
import json
import pathlib
import random
import re
import signal
import socket
import subprocess
import tempfile
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


def read_metrics(address):
    """Every sample by name with labels, and summed by name alone."""
    _, text = http_get(address, "/metrics")
    samples = {}
    for line in text.splitlines():
        match = re.match(r"([a-z0-9_]+)(\{.*\})? (\S+)$", line)
        if match is None:
            continue
        family, labels, value = match[1], match[2] or "", float(match[3])
        samples[family + labels] = value
        if labels:
            samples[family] = samples.get(family, 0) + value
    return samples


def free_ports(n):
    """The first of n ports in a row that nobody listens on."""
    for _ in range(500):
        base = random.randrange(21000, 31000)
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


class Probes:
    """What processes say on their --ops-listen; `ops` has the addresses by name."""

    def metrics(self, name):
        return read_metrics(self.ops[name])

    def is_ready(self, name):
        try:
            return http_get(self.ops[name], "/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False


class Up(Probes):
    """A running `shoal up`: a coordinator, a router and workers, and ports for their probes."""

    def __init__(self, shoal, model_file, n_workers, replicas, *options):
        base = free_ports(n_workers + 2)
        self.n_workers = n_workers
        self.ops = {"coordinator": f"127.0.0.1:{base}", "router": f"127.0.0.1:{base + 1}"}
        for i in range(n_workers):
            self.ops[i] = f"127.0.0.1:{base + 2 + i}"
        self.home = tempfile.TemporaryDirectory(prefix="shoal-up-")
        self.process = subprocess.Popen(
            [shoal, "up", model_file, "--workers", str(n_workers), "--replicas", str(replicas),
             "--data-dir", self.home.name, "--listen", "127.0.0.1:0",
             "--ops-listen", self.ops["coordinator"], *options],
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("listening on http://"), line
        self.address = line.split()[-1].removeprefix("http://")
        self.model = self.process.stdout.readline().removeprefix("serving ").strip()
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def pid(self, name):
        """Of "coordinator", "router" or "worker-1", as it runs now."""
        role = name.split("-")[0]
        home = self.home.name if role == "coordinator" else f"{self.home.name}/nodes/{name}"
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if words[1:2] == [role.encode()] and home.encode() in words:
                    return int(pid)
        return None

    def worker_pid(self, worker):
        return self.pid(f"worker-{worker}")

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
        self.home.cleanup()


class Process:
    """One `shoal` process: its standard output by lines, its log in a file."""

    def __init__(self, args, log, stdin=None, prefix=()):
        self.args, self.log, self.prefix = args, log, prefix
        with open(log, "ab") as sink:
            self.popen = subprocess.Popen([*prefix, *args], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=sink, text=True)
        if stdin is not None:
            self.popen.stdin.write(stdin + "\n")
            self.popen.stdin.flush()
        self.pid = self.popen.pid

    def line(self, timeout=120):
        """The next line of standard output; fails with the log's end if the process has ended."""
        result = []
        reader = threading.Thread(target=lambda: result.append(self.popen.stdout.readline()),
                                  daemon=True)
        reader.start()
        reader.join(timeout)
        if not result or not result[0]:
            tail = pathlib.Path(self.log).read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(self.args[1:3])} said nothing; its log ends:\n{tail}")
        return result[0].rstrip("\n")

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        if self.running():
            self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()
        self.popen.stdin.close()
        self.popen.stdout.close()

    def stop(self, timeout=60):
        """SIGTERM, and the exit status."""
        if self.running():
            self.popen.send_signal(signal.SIGCONT)
            self.popen.send_signal(signal.SIGTERM)
        try:
            code = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.popen.stdin.close()
        self.popen.stdout.close()
        return code


class Cluster(Probes):
    """A coordinator, routers and workers under one folder. Nothing is started by itself."""

    def __init__(self, shoal, root, replicas=2):
        self.shoal, self.root, self.replicas = shoal, pathlib.Path(root), replicas
        self.root.mkdir(parents=True, exist_ok=True)
        self.coordinator = None
        self.coordinator_at = "127.0.0.1:0"
        self.routers, self.workers = {}, {}
        self.ops, self.listen = {}, {}

    # --- The operator's commands.
    def run(self, *args, timeout=600):
        done = subprocess.run([self.shoal, *args], capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"shoal {' '.join(args)}: {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    @property
    def coordinator_dir(self):
        return str(self.root / "coordinator")

    def import_model(self, file):
        return self.run("import", file, "--data-dir", self.coordinator_dir).splitlines()[-1]

    def token(self, role):
        return self.run("token", "create", "--role", role, "--uses", "1", "--ttl", "10m",
                        "--data-dir", self.coordinator_dir)

    def nodes(self):
        return json.loads(self.run("node", "list", "--json", "--data-dir", self.coordinator_dir))

    # --- Processes.
    def start_coordinator(self, *options):
        process = Process([self.shoal, "coordinator", "--data-dir", self.coordinator_dir,
                           "--peer-listen", self.coordinator_at, "--replicas", str(self.replicas),
                           *options], self.root / "coordinator.log")
        self.coordinator_at = json.loads(process.line())["peer_listen"]
        self.coordinator = process
        return process

    def _start(self, role, name, options, prefix, shoal=None):
        home = self.root / name
        joined = (home / "node" / "credentials").exists()
        self.ops.setdefault(name, f"127.0.0.1:{free_ports(1)}")
        args = [shoal or self.shoal, role, "--data-dir", str(home), "--coordinator", self.coordinator_at,
                "--ops-listen", self.ops[name], *options]
        token = None
        if not joined:
            token = self.token(role)
            args += ["--join-token-file", "-"]
        return Process(args, self.root / f"{name}.log", token, prefix)

    def start_worker(self, name, *options, prefix=(), shoal=None):
        """`prefix` comes before the command line; `shoal` is another binary than the cluster's."""
        process = self._start("worker", name, options, prefix, shoal)
        self.workers[name] = process
        process.line()  # It listens.
        return process

    def start_router(self, name="router", *options, prefix=()):
        listen = self.listen.get(name, "127.0.0.1:0")
        process = self._start("router", name, ["--listen", listen, *options], prefix)
        self.routers[name] = process
        return process

    def router_ready(self, name="router", timeout=300):
        """Waits until it answers, and returns its address."""
        process = self.routers[name]
        said = {}
        while "serving" not in said:
            line = process.line(timeout)
            for key, prefix in (("listen", "listening on http://"), ("serving", "serving ")):
                if line.startswith(prefix):
                    said[key] = line.removeprefix(prefix)
        self.listen[name] = said["listen"]
        return said["listen"]

    def bring_up(self, n_workers, *coordinator_options, routers=("router",)):
        """Starts everybody, new or from his disk; the router's address once all experts are there."""
        self.start_coordinator(*coordinator_options)
        for i in range(n_workers):
            self.start_worker(f"worker-{i}", "--threads", "1")
        for name in routers:
            self.start_router(name, "--threads", "1")
            self.router_ready(name)
        for name in list(self.workers):
            wait_for(f"{name}'s experts", lambda n=name: self.is_ready(n))
        return self.listen[routers[0]]

    def node_id(self, name):
        """As its log has it once it knows: "info worker-0123456789abcdef ..."."""
        log = (self.root / f"{name}.log").read_text(errors="replace")
        return re.search(r" (?:worker|router)-([0-9a-f]{16}) ", log)[1]

    def processes(self):
        all_processes = [*self.workers.values(), *self.routers.values()]
        return all_processes + ([self.coordinator] if self.coordinator else [])

    def kill_all(self):
        running = [p for p in self.processes() if p.running()]
        for process in running:
            process.signal(signal.SIGKILL)
        for process in self.processes():
            process.kill()
        self.workers, self.routers, self.coordinator = {}, {}, None

    def stop_all(self):
        for process in self.processes():
            try:
                process.stop()
            except subprocess.TimeoutExpired:
                pass
        self.workers, self.routers, self.coordinator = {}, {}, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill_all()


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


class Load:
    """Clients that ask one thing after another until told to stop, and what became of it."""

    def __init__(self, address, model, n_clients=2, n_tokens=100):
        self.address, self.model, self.n_tokens = address, model, n_tokens
        self.stopping, self.lock = threading.Event(), threading.Lock()
        self.failures, self.gaps, self.n_answers = [], [], 0
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True)
                        for i in range(n_clients)]
        for thread in self.threads:
            thread.start()

    def _run(self, client):
        seed = client * 100000
        while not self.stopping.is_set():
            seed += 1
            stream = Stream(self.address, self.model, f"Once upon a time {seed}", self.n_tokens,
                            seed).run()
            with self.lock:
                self.n_answers += 1
                if stream.error:
                    self.failures.append(stream.error)
                self.gaps += [(t, gap) for t, gap in zip(stream.times[1:], stream.gaps())]

    def gaps_between(self, begin, end):
        with self.lock:
            return [gap for t, gap in self.gaps if begin <= t <= end]

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(p / 100 * len(ordered)))]
