#!/usr/bin/env python3
"""Writes the seeds of tokenizer_shard_fuzz: small tokenizer shards, sound and nearly so."""
import pathlib
import struct


def text(value):
    raw = value.encode()
    return struct.pack("<I", len(raw)) + raw


def texts(values):
    return struct.pack("<I", len(values)) + b"".join(text(v) for v in values)


def shard(tokens, types, merges, ids, add_bos, template, version=3, scores=(), strips=(),
          charsmap=""):
    """One shard's data; ids are bos, eos, eot, unk, pad, -1 for none."""
    return (b"SHOALTOK" + struct.pack("<I", version) + text("gpt2") + text("qwen2") + texts(tokens)
            + bytes(types) + texts(merges) + struct.pack("<5I", *(i + 1 for i in ids))
            + bytes([add_bos, 0, 0, 1, 0, 0, 0, 0, 0]) + text(charsmap)
            + struct.pack(f"<I{len(scores)}d", len(scores), *scores)
            + struct.pack("<I", len(strips)) + bytes(strips) + text(template))


NONE = [-1] * 5
SEEDS = {
    "empty": shard([], [], [], NONE, 0, ""),
    "merges": shard(["a", "b", "ab"], [1, 1, 1], ["a b"], NONE, 0, ""),
    "special": shard(["a", "<s>", "</s>"], [1, 3, 3], [], [1, 2, -1, 0, 2], 1, "{{ messages }}"),
    "bad_type": shard(["a"], [7], [], NONE, 0, ""),
    "bad_merge": shard(["a"], [1], [" a"], NONE, 0, ""),
    "bad_id": shard(["a"], [1], [], [5, -1, -1, -1, -1], 0, ""),
    "bad_version": shard([], [], [], NONE, 0, "", version=1),
    "scores": shard(["a", "<s>"], [1, 3], [], NONE, 0, "", scores=[-1, 0], strips=[0, 2]),
    "charsmap": shard(["a"], [1], [], NONE, 0, "", scores=[-1], charsmap="map"),
    "bad_score": shard(["a"], [1], [], NONE, 0, "", scores=[float("nan")]),
}

for name, data in SEEDS.items():
    (pathlib.Path(__file__).parent / "tokenizer_shard" / name).write_bytes(data)
