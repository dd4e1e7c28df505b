"""S16: the processes of a cluster listen where docs/wire_protocol.md says, and nowhere else.

    open_ports_test.py SHOAL_BINARY

Counts the listening sockets of every process of a running `shoal up` and holds them against the
table under "Ports". None may be reachable from another machine.
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "nemesis"))
from cluster import Up  # noqa: E402

MODEL = "models/tales-moe-11m-q8_0.gguf"
PAGE = "docs/wire_protocol.md"
LISTENS, LOOPBACK = "0A", "0100007F"  # As /proc/net/tcp says it.


def documented_ports():
    """Options that open a port, by role."""
    page = pathlib.Path(PAGE).read_text()
    rows = re.findall(r"^\| `shoal (\w+)` \|([^|]*)\|", page.split("## Ports")[1], re.MULTILINE)
    return {role: re.findall(r"`(--[a-z-]+)`", options) for role, options in rows}


def sockets_of(pid):
    """Inodes of its sockets."""
    links = [link.readlink() for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
    return {match[1] for link in links if (match := re.match(r"socket:\[(\d+)\]", str(link)))}


def listening(pid):
    """Local addresses, as /proc/net shows them, where it listens: TCP, and UDP of any state."""
    own, found = sockets_of(pid), []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in own and (table.startswith("udp") or fields[3] == LISTENS):
                found.append(fields[1].removeprefix("0000000000000000FFFF0000"))  # As IPv4.
    return found


def main():
    documented, held = documented_ports(), True
    with Up(sys.argv[1], MODEL, 2, 1) as cluster:
        for name in ("coordinator", "router", "worker-0", "worker-1"):
            ports = listening(cluster.pid(name))
            expected = documented[name.split("-")[0]]
            loopback = all(address.startswith(LOOPBACK) for address in ports)
            good = len(ports) == len(expected) and loopback
            held &= good
            print(f"{name}: {len(ports)} ports {ports}, documented {expected}"
                  f"{'' if good else '  DIFFERS'}")
        ports = listening(cluster.process.pid)
        held &= ports == []
        print(f"shoal up itself: {ports}")
    print("held" if held else "FAILED")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
