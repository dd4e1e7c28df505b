#!/usr/bin/env python3
"""Writes the seeds of reference_logits_fuzz: small files of saved logits, whole, cut and with a wrong checksum.

  python3 tests/data/fuzz/make_reference_logits_seeds.py      (from the repository's root)
"""
import math
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "support"))
from reference_logits import sealed  # noqa: E402


def whole(vocab_size, rows, name=b"tiny", ctx_size=8, stride=0):
    """rows: lists of (id, probability), likeliest first."""
    head = b"SHOALREF" + struct.pack("<5IQ", 1, vocab_size, len(rows[0]), ctx_size, stride, len(rows))
    out = sealed(head + bytes(32) + struct.pack("<I", len(name)) + name)
    for row in rows:
        rest = max(1.0 - sum(p for _, p in row), 0.0)
        data = struct.pack("<2f", math.log(row[0][1]), rest)
        out += sealed(data + b"".join(struct.pack("<If", i, math.log(p)) for i, p in row))
    return out


def main():
    folder = HERE / "reference_logits"
    folder.mkdir(exist_ok=True)
    two = whole(4, [[(3, 0.5), (0, 0.25)], [(1, 0.75), (2, 0.125)]])
    seeds = {
        "two_rows": two,
        "all_ids": whole(2, [[(1, 0.5), (0, 0.5)]], name=b"", stride=8),
        "cut": two[:-5],
        "bad_checksum": two[:-1] + bytes([two[-1] ^ 1]),
    }
    for name, raw in seeds.items():
        (folder / name).write_bytes(raw)
        print(name, len(raw))


if __name__ == "__main__":
    main()
