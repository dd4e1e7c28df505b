"""S24: docs/operations.md, followed word by word, gives a cluster of two boxes.

    site_test.py SHOAL_PACKAGE.deb [--keep]

Each box is a network namespace with a root of its own, over this machine's. A wire of 1 Gbit/s and
0.3 ms round trip joins the two (netwire.cc). The page's commands run on them as they stand. Only
systemctl and scp are played: the former reads the unit and starts its command as its user, with its
environment and credentials. Needs root, /dev/net/tun, overlayfs and g++.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

PAGE = pathlib.Path("docs/operations.md")
MODEL = pathlib.Path("models/tales-moe-11m-q8_0.gguf")
BOXES = {"10.0.0.1": "shoal-a", "10.0.0.2": "shoal-b"}
PROMPT = "Tell me a story about a fox and a kite."

SYSTEMCTL = r'''#!/bin/bash
# Starts the units that `enable --now` names; nothing else is asked of it.
set -eu
[[ $1 == enable && $2 == --now ]] || { echo "systemctl: $*" >&2; exit 1; }
unit=/lib/systemd/system/$3.service
value() { sed -n "s/^$1=//p" "$unit"; }
credentials=/run/credentials/$3.service
install -d -m 755 /run/credentials; install -d -m 500 -o shoal "$credentials"
value SetCredential | while IFS=: read -r name text; do
  install -m 400 -o shoal /dev/stdin "$credentials/$name" <<<"$text"; done
value LoadCredential | while IFS=: read -r name file; do
  [[ ! -e $file ]] || install -m 400 -o shoal "$file" "$credentials/$name"; done
state=/var/lib/$(value StateDirectory)
install -d -m 700 -o shoal -g shoal "$state"
command=$(value ExecStart); command=${command//%S/\/var\/lib}; command=${command//%d/$credentials}
set -a; . "$(value EnvironmentFile)"; set +a
setsid runuser -u "$(value User)" -- $command >"/var/log/$3.log" 2>&1 </dev/null &
'''
SCP = r'''#!/bin/bash
set -eu
install -m 600 "$1" "/peers/${2#*:}.part"; mv "/peers/${2#*:}.part" "/peers/${2#*:}"
'''


def run(*args, **options):
    return subprocess.run(args, check=True, **options)


def commands():
    """(box or "both", script) for each block of the page, in order."""
    return re.findall(r"^```sh (\S+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


class Site:
    def __init__(self, package, folder):
        self.folder, self.package, self.wire = pathlib.Path(folder), package, None

    def build(self):
        netwire = self.folder / "netwire"
        run("g++", "-O2", "-std=c++20", "tests/deploy/netwire.cc", "-o", netwire)
        run("mount", "-t", "tmpfs", "tmpfs", self.folder)  # An overlay cannot lie on an overlay.
        run("g++", "-O2", "-std=c++20", "tests/deploy/netwire.cc", "-o", netwire)
        for box in BOXES.values():
            run("ip", "netns", "add", box)
            self.make_root(box)
        self.wire = subprocess.Popen([netwire, *BOXES.values(), "0.15", "1000", "0"],
                                     stdout=subprocess.PIPE, text=True)
        assert self.wire.stdout.readline() == "up\n"
        for address, box in BOXES.items():
            run("ip", "-n", box, "addr", "add", f"{address}/24", "dev", "w0")
            for device in ("w0", "lo"):
                run("ip", "-n", box, "link", "set", device, "up")
        self.root("shoal-a", "srv/shoal").mkdir()
        shutil.copy(MODEL, self.root("shoal-a", "srv/shoal/model.gguf"))
        peers = self.root("shoal-a", "peers")
        peers.mkdir()
        run("mount", "--bind", self.root("shoal-b"), peers)

    def root(self, box, path=""):
        return self.folder / box / "root" / path

    def make_root(self, box):
        layers = {name: self.folder / box / name for name in ("upper", "work", "root")}
        for layer in layers.values():
            layer.mkdir(parents=True)
        run("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir=/,upperdir={layers['upper']},workdir={layers['work']}", layers["root"])
        run("mount", "-t", "proc", "proc", self.root(box, "proc"))
        run("mount", "--rbind", "/dev", self.root(box, "dev"))
        for name, text in (("systemctl", SYSTEMCTL), ("scp", SCP)):
            tool = self.root(box, f"usr/local/sbin/{name}")
            tool.write_text(text)
            tool.chmod(0o755)
        for path in ("etc/shoal", "var/lib/shoal"):  # As on a bare box.
            shutil.rmtree(self.root(box, path), ignore_errors=True)
        shutil.copy(self.package, self.root(box, "root"))

    def run_on(self, box, script, **options):
        return run("ip", "netns", "exec", box, "chroot", self.root(box), "env", "-i", "HOME=/root",
                   "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                   "DEBIAN_FRONTEND=noninteractive", "bash", "-ec", f"cd /root\n{script}", **options)

    def remove(self):
        for box in BOXES.values():
            pids = subprocess.run(["ip", "netns", "pids", box], capture_output=True, text=True).stdout
            for pid in pids.split():
                try:
                    os.kill(int(pid), 9)
                except ProcessLookupError:
                    pass
        if self.wire is not None:
            self.wire.kill()
            self.wire.wait()
        for box in BOXES.values():
            subprocess.run(["ip", "netns", "del", box], capture_output=True)
        subprocess.run(["umount", "--recursive", "--lazy", self.folder], capture_output=True)


def follow(site, text):
    """Runs the page's blocks; the last one's output."""
    for where, script in text:
        for address in BOXES if where == "both" else [where]:
            print(f"--- {address}\n{script}", flush=True)
            done = site.run_on(BOXES[address], script, stdout=subprocess.PIPE, text=True, timeout=300)
            print(done.stdout, flush=True)
    return done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("package")
    args = parser.parse_args()
    blocks = commands()
    assert len(blocks) >= 6, f"{PAGE} has lost its blocks"
    folder = tempfile.mkdtemp(prefix="shoal-site-")
    site = Site(args.package, folder)
    try:
        site.build()
        begin = time.monotonic()
        answer = follow(site, blocks)
        print(f"from the package to an answer: {time.monotonic() - begin:.0f} s")
        nodes = site.run_on("shoal-a", "runuser -u shoal -- shoal node list --json --data-dir "
                            "/var/lib/shoal/coordinator", stdout=subprocess.PIPE, text=True).stdout
        print(nodes)
        workers = re.findall(r'"role":"worker","state":"active","peer_address":"([^"]*)"', nodes)
        held = sorted(workers) == ["10.0.0.1:7701", "10.0.0.2:7701"] and "fox" in answer and "kite" in answer
        for role in ("coordinator", "worker", "router"):
            if not held:
                for log in site.folder.glob(f"*/root/var/log/shoal-{role}.log"):
                    print(log, log.read_text()[-2000:])
    finally:
        site.remove()
        shutil.rmtree(folder, ignore_errors=True)
    print("held" if held else "FAILED")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
