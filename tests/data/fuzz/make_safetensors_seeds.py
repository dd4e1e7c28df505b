#!/usr/bin/env python3
"""Writes the seeds of safetensors_fuzz into safetensors/: small sound files and nearly sound ones."""
import json
import pathlib
import struct

FOLDER = pathlib.Path(__file__).parent / "safetensors"


def write(name, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (FOLDER / name).write_bytes(struct.pack("<Q", len(text)) + text + data)


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


FOLDER.mkdir(exist_ok=True)
write("empty", {})
write("one", {"a": tensor("F32", [2, 3], 0, 24)}, bytes(24))
write("scalar", {"__metadata__": {"format": "pt"}, "s": tensor("I64", [], 0, 8)}, bytes(8))
write("types", {"b": tensor("BF16", [4], 4, 12), "q": tensor("F8_E4M3", [2, 2], 0, 4)}, bytes(12))
write("padded", b'{"u": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}   ', b"x")
write("packed", {"e_blocks": tensor("U8", [2, 1, 16], 0, 32), "e_scales": tensor("U8", [2, 1], 32, 34)},
      bytes(34))
write("stack", {"e": tensor("BF16", [2, 2, 4], 0, 32), "b": tensor("F8_E4M3", [3, 1], 32, 35)}, bytes(35))
write("overlap", {"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [4], 2, 6)}, bytes(6))
write("cut", {"a": tensor("F32", [1 << 30], 0, 1 << 32)}, bytes(8))
