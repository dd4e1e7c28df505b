"""S24: docs/operations.md, followed word by word, gives a cluster of two boxes.

    site_test.py SHOAL_PACKAGE.deb [--root DEBIAN.tar]

Each box is a bare Debian with systemd, in a container with a network of its own; a wire of 1 Gbit/s
and 0.3 ms round trip joins the two (netwire.cc). The page's commands run there as they stand, the units
as systemd confines them; only scp is played. Needs root, podman, runc, g++, /dev/net/tun and apt's
servers. The bare root comes from debootstrap, or is unpacked from an archive.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from debian_root import make_root, run_in

PAGE = pathlib.Path("docs/operations.md")
MODEL = pathlib.Path("models/tales-moe-11m-q8_0.gguf")
BOXES = {"10.0.0.1": "shoal-a", "10.0.0.2": "shoal-b"}
SERVICES = {"shoal-a": ("coordinator", "worker", "router"), "shoal-b": ("worker",)}
CONFINED = {"CapEff": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2"}
SCP = """#!/bin/sh
set -eu
install -m 600 "$1" "/peer/${2#*:}"
"""


def run(*args, **options):
    return subprocess.run(args, check=True, **options)


def commands():
    """(box or "both", script) for each block of the page, in order."""
    return re.findall(r"^```sh (\S+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


class Site:
    def __init__(self, package, folder):
        self.package, self.folder, self.wire = package, pathlib.Path(folder), None

    def build(self, archive):
        run("mount", "-t", "tmpfs", "tmpfs", self.folder)  # An overlay cannot lie on an overlay.
        base = self.folder / "base"
        base.mkdir()
        make_root(base, archive)
        shutil.copy(self.package, base / "root")
        run_in(base, "apt-get", "update")
        # What the package needs is fetched here: boxes have no way out.
        run_in(base, "apt-get", "install", "-y", "--no-install-recommends", "systemd", "systemd-sysv", "curl",
               f"/root/{pathlib.Path(self.package).name}")
        run_in(base, "dpkg", "--purge", "shoal")
        (base / "usr/local/bin/scp").write_text(SCP)
        (base / "usr/local/bin/scp").chmod(0o755)
        (base / "srv/shoal").mkdir()
        shutil.copy(MODEL, base / "srv/shoal/model.gguf")
        run("g++", "-O2", "-std=c++20", "tests/deploy/netwire.cc", "-o", self.folder / "netwire")
        for box in BOXES.values():
            run("ip", "netns", "add", box)
            layers = [self.folder / box / name for name in ("upper", "work", "root")]
            for layer in layers:
                layer.mkdir(parents=True)
            run("mount", "-t", "overlay", "overlay", "-o",
                f"lowerdir={base},upperdir={layers[0]},workdir={layers[1]}", layers[2])
        self.join_boxes()
        for box in BOXES.values():
            self.boot(box)

    def join_boxes(self):
        self.wire = subprocess.Popen([self.folder / "netwire", *BOXES.values(), "0.15", "1000", "0"],
                                     stdout=subprocess.PIPE, text=True)
        assert self.wire.stdout.readline() == "up\n"
        for address, box in BOXES.items():
            run("ip", "-n", box, "addr", "add", f"{address}/24", "dev", "w0")
            for device in ("w0", "lo"):
                run("ip", "-n", box, "link", "set", device, "up")

    def boot(self, box):
        peer = next(other for other in BOXES.values() if other != box)
        run("podman", "run", "-d", "--name", box, "--privileged", "--systemd=always", "--network",
            f"ns:/run/netns/{box}", "-v", f"{self.folder}/{peer}/root:/peer", "--rootfs",
            self.folder / box / "root", "/lib/systemd/systemd", stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while subprocess.run(["podman", "exec", box, "systemctl", "is-system-running"],
                             capture_output=True, text=True).stdout.strip() not in ("running", "degraded"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{box} has not booted within 60 s")
            time.sleep(0.5)
        # As on a machine; a container's mounts are private, and units would not see their secrets.
        run("podman", "exec", box, "mount", "--make-rshared", "/")

    def run_on(self, box, script):
        done = run("podman", "exec", "-e", "DEBIAN_FRONTEND=noninteractive", "-w", "/root", box, "bash", "-ec",
                   script, stdout=subprocess.PIPE, text=True, timeout=300)
        return done.stdout

    def logs(self):
        for box, roles in SERVICES.items():
            for role in roles:
                subprocess.run(["podman", "exec", box, "journalctl", "--no-pager", "-n", "20", "-u",
                                f"shoal-{role}"])

    def remove(self):
        for box in BOXES.values():
            subprocess.run(["podman", "rm", "--force", "--time", "2", "--ignore", box], capture_output=True)
        if self.wire is not None:
            self.wire.kill()
            self.wire.wait()
        for box in BOXES.values():
            subprocess.run(["ip", "netns", "del", box], capture_output=True)
        subprocess.run(["umount", "--recursive", "--lazy", self.folder], capture_output=True)


def follow(site, blocks):
    """Runs the page's blocks; the last one's output."""
    for where, script in blocks:
        for address in BOXES if where == "both" else [where]:
            print(f"--- {address}\n{script}", flush=True)
            said = site.run_on(BOXES[address], script)
            print(said, flush=True)
    return said


def check_units(site):
    """Whether every service runs as confined as its unit says."""
    held = True
    for box, roles in SERVICES.items():
        for role in roles:
            status = dict(re.findall(r"^(\w+):\s+(\S+)", site.run_on(
                box, f"cat /proc/$(systemctl show -p MainPID --value shoal-{role})/status"), re.MULTILINE))
            found = {key: status[key] for key in CONFINED}
            held &= found == CONFINED and status["Uid"] != "0"
            print(box, role, found)
    return held


def check_nodes(site):
    nodes = json.loads(site.run_on("shoal-a", "runuser -u shoal -- shoal node list --json --data-dir "
                                   "/var/lib/shoal/coordinator"))["nodes"]
    workers = sorted((n["peer_address"], n["state"]) for n in nodes if n["role"] == "worker")
    print(workers)
    return workers == [("10.0.0.1:7701", "active"), ("10.0.0.2:7701", "active")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("package")
    parser.add_argument("--root")
    args = parser.parse_args()
    os.environ["CONTAINERS_CONF"] = str(pathlib.Path("tests/deploy/containers.conf").resolve())
    blocks = commands()
    assert len(blocks) >= 6, f"{PAGE} has lost its blocks"
    folder = tempfile.mkdtemp(prefix="shoal-site-")
    site, held = Site(args.package, folder), False
    try:
        site.remove()
        site.build(args.root)
        begin = time.monotonic()
        answer = follow(site, blocks)
        print(f"from the package to an answer: {time.monotonic() - begin:.0f} s")
        held = "fox" in answer and "kite" in answer and check_nodes(site) and check_units(site)
    finally:
        if not held:
            site.logs()
        site.remove()
        shutil.rmtree(folder, ignore_errors=True)
    print("held" if held else "FAILED")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
