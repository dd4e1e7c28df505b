"""The Debian package on a bare Debian 12: it installs, keeps what is the operator's, and goes.

    package_test.py SHOAL_PACKAGE.deb [--root DEBIAN.tar]

The bare root comes from debootstrap, or is unpacked from an archive. Needs root, and apt's servers.
"""
import argparse
import pathlib
import sys
import tempfile
import unittest

from debian_root import make_root, run_in

ROLES = ("coordinator", "router", "worker")


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="shoal-package-")
        cls.addClassCleanup(folder.cleanup)
        cls.root = pathlib.Path(folder.name)
        make_root(folder.name, ARGS.root)
        pathlib.Path(cls.root, "tmp/shoal.deb").write_bytes(pathlib.Path(ARGS.package).read_bytes())

    def run_in(self, *args):
        return run_in(self.root, *args)

    def test_1_it_installs_with_what_it_needs(self):
        self.run_in("apt-get", "update")
        self.run_in("apt-get", "install", "-y", "--no-install-recommends", "/tmp/shoal.deb")
        self.assertIn("shoal 0.1.0", self.run_in("shoal", "version"))
        self.assertIn("/var/lib/shoal", self.run_in("getent", "passwd", "shoal"))
        said = self.run_in("stat", "-c", "%a %U", "/var/lib/shoal", "/etc/shoal").split()
        self.assertEqual(said, ["700", "shoal", "700", "root"])
        for role in ROLES:
            self.assertTrue((self.root / f"usr/lib/systemd/system/shoal-{role}.service").exists())
            self.assertTrue((self.root / f"etc/default/shoal-{role}").exists())
        self.assertTrue((self.root / "usr/share/doc/shoal/docs/operations.md").exists())

    def test_2_an_upgrade_keeps_what_the_operator_wrote(self):
        environment = self.root / "etc/default/shoal-worker"
        environment.write_text(environment.read_text() + "SHOAL_THREADS=3\n")
        (self.root / "var/lib/shoal/worker").mkdir()
        self.run_in("dpkg", "-i", "/tmp/shoal.deb")
        self.assertIn("SHOAL_THREADS=3", environment.read_text())
        self.assertTrue((self.root / "var/lib/shoal/worker").exists())

    def test_3_removing_keeps_state_and_purging_keeps_nothing(self):
        (self.root / "etc/shoal/worker.token").write_text("secret")
        self.run_in("dpkg", "--remove", "shoal")
        self.assertFalse((self.root / "usr/bin/shoal").exists())
        self.assertTrue((self.root / "var/lib/shoal/worker").exists())
        self.run_in("dpkg", "--purge", "shoal")
        left = self.run_in("find", "/", "-xdev", "-name", "*shoal*", "-not", "-path", "/tmp/*", "-not", "-path",
                           "/var/cache/*").split()
        self.assertEqual(left, [])
        self.assertEqual([line for line in (self.root / "etc/passwd").read_text().splitlines()
                          if line.startswith("shoal:")], [])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("package")
    parser.add_argument("--root")
    ARGS = parser.parse_args()
    unittest.main(argv=sys.argv[:1], verbosity=2)
