"""S06 and S32: what every role of a cluster under load answers on its --ops-listen.

    metrics_test.py SHOAL_BINARY

Holds each role's metrics against the format that Prometheus reads (with promtool, where that is
installed), against docs/metrics.md, and against a count of its own: requests, tokens and rows, as
the API's answers say them.
"""
import http.client
import json
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "nemesis"))
from cluster import Stream, Up, http_get, wait_for  # noqa: E402

MODEL = "models/tales-moe-11m-q8_0.gguf"
N_LAYERS, TOP_K = 6, 4  # Of that model.
N_WORKERS, N_ANSWERS = 2, 12
MAX_SERIES = 1000
LEAST_SERIES = {"coordinator": 30, "router": 30, "worker": 20}
SHOAL = sys.argv[1]
PAGE = pathlib.Path("docs/metrics.md")
NAME = re.compile(r"[a-z][a-z0-9_]*$")
SAMPLE = re.compile(r'([a-z][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? ([^ ]+)$')


def documented(role):
    """Names and kinds that the page gives a role."""
    found = {}
    for section in PAGE.read_text().split("\n## ")[1:]:
        heading = section.splitlines()[0]
        if not (heading == "Every process" or role in heading.lower()):
            continue
        found.update(re.findall(r"^\| `([a-z0-9_]+)` \| (\w+) \|", section, re.MULTILINE))
    return found


def parse(text):
    """Families by name: their kind, and their samples by series. ValueError where it is no text of
    that format."""
    families, family = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ", 3)[2]
            if family in families or not NAME.match(family):
                raise ValueError(f"a second or a bad family: {line}")
            families[family] = [None, {}]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if name != family or families[family][0] is not None:
                raise ValueError(f"a type out of place: {line}")
            families[family][0] = kind
        else:
            match = SAMPLE.match(line)
            if match is None:
                raise ValueError(f"no sample: {line}")
            name = match[1]
            if families[family][0] == "histogram":
                name = re.sub(r"_(bucket|sum|count)$", "", name)
            series = (match[1], match[2] or "")
            if name != family or series in families[family][1]:
                raise ValueError(f"a sample out of place, or twice: {line}")
            families[family][1][series] = float(match[3])
    return families


def post(address, path, body):
    connection = http.client.HTTPConnection(address, timeout=120)
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, json.loads(text)


class MetricsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Up(SHOAL, MODEL, N_WORKERS, 2, "--threads", "2")
        cls.roles = {"coordinator": "coordinator", "router": "router", "worker": 0}

    @classmethod
    def tearDownClass(cls):
        cls.cluster.__exit__()

    def read(self, role):
        status, text = http_get(self.cluster.ops[self.roles[role]], "/metrics")
        self.assertEqual(status, 200)
        return text

    def total(self, role, name, **labels):
        """The sum of a family's samples that have these labels."""
        samples = parse(self.read(role))[re.sub(r"_(sum|count)$", "", name)][1]
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(value for (series, text), value in samples.items()
                   if series == name and all(label in text for label in wanted))

    def test_a_counters_agree_with_the_answers(self):
        usages, reasons = [], []

        def ask(i):
            status, reply = post(self.cluster.address, "/v1/completions",
                                 {"model": self.cluster.model, "prompt": "Once upon a time " * (i + 1),
                                  "max_tokens": 10 + i, "seed": i, "ignore_eos": i % 2 == 0})
            assert status == 200, reply
            usages.append(reply["usage"])
            reasons.append(reply["choices"][0]["finish_reason"])

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(N_ANSWERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(3):
            status, _ = post(self.cluster.address, "/v1/completions", {"model": "no such model"})
            self.assertEqual(status, 404 if status == 404 else 400)
        self.assertEqual(len(usages), N_ANSWERS)
        prompt = sum(usage["prompt_tokens"] for usage in usages)
        answer = sum(usage["completion_tokens"] for usage in usages)
        rows = prompt + answer - N_ANSWERS  # An answer's last token is not fed to the model again.

        self.assertEqual(self.total("router", "shoal_router_prompt_tokens_total"), prompt)
        self.assertEqual(self.total("router", "shoal_router_generation_tokens_total"), answer)
        for reason in ("stop", "length"):
            self.assertEqual(self.total("router", "shoal_router_requests_total",
                                        finished_reason=reason), reasons.count(reason))
        ok = self.total("router", "shoal_router_http_responses_total", code="200")
        self.assertEqual(ok, N_ANSWERS)
        self.assertEqual(self.total("router", "shoal_router_http_responses_total") - ok, 3)
        for name, n in (("time_to_first_token_seconds", N_ANSWERS),
                        ("inter_token_latency_seconds", answer - N_ANSWERS),
                        ("request_queue_time_seconds", N_ANSWERS),
                        ("e2e_request_latency_seconds", N_ANSWERS)):
            self.assertEqual(self.total("router", f"shoal_router_{name}_count"), n, name)
        self.assertEqual(self.total("router", "shoal_router_request_prompt_tokens_sum"), prompt)
        self.assertEqual(self.total("router", "shoal_router_request_generation_tokens_sum"), answer)
        # The step that gave the last token is still being counted when its answer arrives.
        wait_for("the last step", lambda: self.total("router", "shoal_router_iteration_tokens_sum")
                 == rows)

        results = rows * N_LAYERS * TOP_K
        self.assertEqual(self.total("router", "shoal_router_expert_rows_total"), results)
        self.assertEqual(self.total("router", "shoal_router_worker_rows_total"), results)
        self.assertAlmostEqual(self.total("router", "shoal_router_expert_gate_weight_total"),
                               rows * N_LAYERS, delta=rows * N_LAYERS * 1e-5)
        workers = [http_get(self.cluster.ops[i], "/metrics")[1] for i in range(N_WORKERS)]
        for ours, theirs in (("calls", "calls"), ("rows", "rows"), ("sent_bytes", "received_bytes"),
                             ("received_bytes", "sent_bytes")):
            there = sum(sum(parse(text)[f"shoal_worker_{theirs}_total"][1].values())
                        for text in workers)
            self.assertEqual(self.total("router", f"shoal_router_worker_{ours}_total"), there, ours)
        parts = self.total("router", "shoal_router_step_seconds_total")
        self.assertGreater(parts, 0)
        for part in ("attention", "gate", "network", "experts", "head", "other"):
            self.assertGreater(self.total("router", "shoal_router_step_seconds_total", part=part), 0)

    def test_b_every_role_under_load_says_what_the_page_says(self):
        load = threading.Thread(target=Stream(self.cluster.address, self.cluster.model, "A fox", 800,
                                              seed=1).run)
        load.start()
        wait_for("the load", lambda: self.total("router", "shoal_router_requests_running") == 1)
        texts = {role: self.read(role) for role in self.roles}
        load.join()
        for role, text in texts.items():
            families = parse(text)
            kinds = {name: kind for name, (kind, _) in families.items()}
            self.assertEqual(kinds, documented(role), role)
            sizes = {name: len(samples) for name, (_, samples) in families.items()}
            self.assertLessEqual(max(sizes.values()), MAX_SERIES, role)
            self.assertGreaterEqual(sum(sizes.values()), LEAST_SERIES[role], role)
            print(f"{role}: {len(families)} metrics, {sum(sizes.values())} series")
            promtool = shutil.which("promtool")
            if promtool is None:
                continue
            checked = subprocess.run([promtool, "check", "metrics"], input=text,
                                     capture_output=True, text=True)
            print(f"promtool check metrics, {role}: exit status {checked.returncode}")
            self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""), role)

    def test_d_status_says_who_holds_what_and_what_limits_the_speed(self):
        def status(*options):
            done = subprocess.run([SHOAL, "status", *options], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        here = ("--data-dir", self.cluster.home.name)
        url = ("--url", f"http://{self.cluster.ops['coordinator']}")
        stream = Stream(self.cluster.address, self.cluster.model, "A fox", 1500, seed=2)
        load = threading.Thread(target=stream.run)
        load.start()

        def busy():
            facts = json.loads(status("--json", *url))
            running = [node["load"]["running"] for node in facts["nodes"] if node["role"] == "router"]
            return facts if facts["generation_tokens_per_s"] > 0 and running == [1] else None

        facts = wait_for("a router that says what it does", busy)
        text = status(*here)
        load.join()
        self.assertEqual(facts["model_name"], self.cluster.model)
        self.assertEqual(facts["experts_by_holders"], {"none": 0, "one": 0, "more": 96})
        workers = [node for node in facts["nodes"] if node["role"] == "worker"]
        self.assertEqual([worker["holds"] for worker in workers], [["0-15"] * N_LAYERS] * N_WORKERS)
        router = [node for node in facts["nodes"] if node["role"] == "router"][0]["load"]
        self.assertEqual(router["running"], 1)
        self.assertAlmostEqual(sum(router["step_shares"].values()), 1, delta=0.01)
        self.assertIn("of a step", router["limit"])
        self.assertEqual(len(router["hottest_experts"]), 16)
        self.assertEqual({worker["node_id"] for worker in router["slowest_workers"]},
                         {worker["node_id"] for worker in workers})
        for words in ("limit now: ", "tokens/s generated", "layers 0-5: 0-15", "hottest experts",
                      facts["cluster_id"], workers[0]["node_id"]):
            self.assertIn(words, text)
        again = json.loads(status("--json", *here))
        self.assertEqual(set(again), set(facts))
        bad = subprocess.run([SHOAL, "status", "--url", "ftp://x"], capture_output=True, text=True)
        self.assertEqual(bad.returncode, 1)
        self.assertIn("--url: 'ftp://x' is not http://HOST:PORT", bad.stderr)

    def test_c_probes_say_nothing_but_ok(self):
        for role in self.roles.values():
            for path in ("/health", "/healthz", "/ready", "/readyz"):
                self.assertEqual(http_get(self.cluster.ops[role], path), (200, "ok"), path)
            self.assertEqual(http_get(self.cluster.ops[role], "/v1/models")[0], 404)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
