"""What deploy/monitoring asks Prometheus, held against the metrics that there are.

    monitoring_test.py PROMTOOL

promtool reads the configurations, the rules and every query of the dashboard, and plays the rules'
tests. Each metric that a query names stands in docs/metrics.md, each label too; each alert has its
tests and its paragraph in docs/operations.md.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

PROMTOOL = sys.argv[1]
FOLDER = pathlib.Path("deploy/monitoring")
ADDED_LABELS = {"instance", "job", "le"}  # By Prometheus, and by histograms.


def promtool(*args):
    done = subprocess.run([PROMTOOL, *map(str, args)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def metric_labels():
    """Labels by name of metric, of histograms under the names of their series."""
    found = {"up": set()}
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", pathlib.Path("docs/metrics.md").read_text(), re.MULTILINE)
    for name, kind, labels in rows:
        own = {label.strip() for label in labels.split(",") if label.strip()}
        for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            found[name + suffix] = own
    return found


def alerts():
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def panel_queries():
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]


class MonitoringTest(unittest.TestCase):
    def test_the_configurations_are_prometheus_own(self):
        code, text = promtool("check", "config", FOLDER / "prometheus.yml")
        self.assertEqual(code, 0, text)
        config = yaml.safe_load((FOLDER / "prometheus-k8s.yml").read_text())
        for scrape in config["scrape_configs"]:
            del scrape["kubernetes_sd_configs"]  # Debian's promtool is built without it.
        config["rule_files"] = [str((FOLDER / "alerts.yml").resolve())]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump(config, file)
            file.flush()
            code, text = promtool("check", "config", file.name)
        self.assertEqual(code, 0, text)

    def test_every_alert_comes_when_it_should(self):
        code, text = promtool("test", "rules", FOLDER / "alerts_test.yml")
        self.assertEqual(code, 0, text)
        cases = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
        tested = {check["alertname"] for case in cases for check in case.get("alert_rule_test", [])
                  if check["exp_alerts"]}
        self.assertEqual(tested, set(alerts()))

    def test_every_query_names_metrics_and_labels_that_exist(self):
        known = metric_labels()
        queries = [*panel_queries(), *((name, rule["expr"]) for name, rule in alerts().items())]
        self.assertGreater(len(queries), 40)
        for where, query in queries:
            bare = re.sub(r'"[^"]*"', '""', query)
            names = set(re.findall(r"\b(?:shoal|process)_\w+|\bup\b", bare))
            self.assertTrue(names, where)
            self.assertLessEqual(names, set(known), where)
            listed = re.findall(r"(?:by|on|ignoring) \(([^)]*)\)", bare)
            labels = {label.strip() for group in listed for label in group.split(",")}
            labels |= set(re.findall(r"[{,]\s*(\w+)\s*=", bare))
            self.assertLessEqual(labels - ADDED_LABELS, set().union(*(known[n] for n in names)), where)

    def test_every_query_of_the_dashboard_can_be_read(self):
        rules = [{"record": f"panel:{i}", "expr": query} for i, (_, query) in enumerate(panel_queries())]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}, file)
            file.flush()
            code, text = promtool("check", "rules", file.name)
        self.assertEqual(code, 0, text)

    def test_every_alert_says_what_to_do(self):
        page = pathlib.Path("docs/operations.md").read_text()
        for name, rule in alerts().items():
            self.assertIn(f"**{name}**", page)
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
