"""Bare Debian roots for tests."""
import pathlib
import shutil
import subprocess


def make_root(folder, archive=None):
    """A minimal Debian 12 with this machine's package sources, by debootstrap or from an archive."""
    sources = list(pathlib.Path("/etc/apt").rglob("*.sources"))
    if archive:
        subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    else:
        text = "".join(path.read_text() for path in sources)
        mirror = [text.split("URIs: ")[1].split()[0]] if "URIs: " in text else []
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", folder, *mirror], check=True,
                       stdout=subprocess.DEVNULL)
    if sources:
        pathlib.Path(folder, "etc/apt/sources.list").write_text("")
    for path in sources:
        shutil.copy(path, pathlib.Path(folder, "etc/apt/sources.list.d"))


def run_in(folder, *args):
    """What a command inside says."""
    done = subprocess.run(["chroot", folder, "env", "DEBIAN_FRONTEND=noninteractive", *args],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{args}: {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout
