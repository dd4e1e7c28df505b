"""S24 and S25: the systemd units are as closed as the rules ask.

    units_test.py SYSTEMD_ANALYZE

Each unit's exposure, as systemd-analyze counts it without a running system, is at most 2.0, and what
section 6.7 names one by one is there.
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

UNITS = sorted(pathlib.Path("deploy/systemd").glob("shoal-*.service"))
MUST = {"NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict",
        "MemoryDenyWriteExecute": "yes", "LimitCORE": "0", "User": "shoal"}
GRACE = {"shoal-coordinator": "30", "shoal-worker": "30", "shoal-router": "330"}
MAX_EXPOSURE = 2.0


class UnitsTest(unittest.TestCase):
    def test_s25_exposure_is_at_most_two(self):
        self.assertEqual({unit.stem for unit in UNITS}, set(GRACE))
        for unit in UNITS:
            done = subprocess.run([sys.argv[1], "security", "--offline=yes", unit.resolve()],
                                  capture_output=True, text=True)
            score = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)[1])
            print(unit.name, score, flush=True)
            self.assertLessEqual(score, MAX_EXPOSURE, unit.name)

    def test_systemd_understands_every_line(self):
        with tempfile.TemporaryDirectory(prefix="shoal-units-") as folder:
            for unit in UNITS:  # Where the binary is not installed, another command stands in.
                text = unit.read_text().replace("ExecStart=/usr/bin/shoal", "ExecStart=/bin/true")
                pathlib.Path(folder, unit.name).write_text(text)
                done = subprocess.run([sys.argv[1], "verify", f"{folder}/{unit.name}"], capture_output=True,
                                      text=True)
                self.assertNotIn(unit.name, done.stdout + done.stderr)

    def test_s24_what_the_rule_names_is_there(self):
        for unit in UNITS:
            said = dict(line.split("=", 1) for line in unit.read_text().splitlines()
                        if "=" in line and not line.startswith("#"))
            self.assertEqual({key: said.get(key) for key in MUST}, MUST, unit.name)
            self.assertEqual(said["TimeoutStopSec"], GRACE[unit.stem])
            denied = re.findall(r"^SystemCallFilter=~(.*)$", unit.read_text(), re.MULTILINE)
            self.assertLessEqual({"@debug", "io_uring_setup"}, set(" ".join(denied).split()))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
