#!/usr/bin/env python3
"""Writes the seeds of gguf_fuzz: a sound model of a few kilobytes, and pieces of a real file's header.

  python3 tests/data/fuzz/make_gguf_seeds.py      (from the repository's root)
"""
import pathlib
import struct

from make_tokenizer_file_seeds import MARK, UNITS

HERE = pathlib.Path(__file__).parent
REAL = HERE.parent / "models/qwen3_moe/model.gguf"
FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9


def text(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def u32(name, value):
    return text(name) + struct.pack("<II", 4, value)


def u16(name, value):
    return text(name) + struct.pack("<IH", 2, value)


def i32(name, value):
    return text(name) + struct.pack("<Ii", 5, value)


def f32(name, value):
    return text(name) + struct.pack("<If", 6, value)


def string(name, value):
    return text(name) + struct.pack("<I", STRING) + text(value)


def strings(name, values):
    return text(name) + struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(text, values))


def i32s(name, values):
    return text(name) + struct.pack(f"<IIQ{len(values)}i", ARRAY, 5, len(values), *values)


def f32s(name, values):
    return text(name) + struct.pack(f"<IIQ{len(values)}f", ARRAY, 6, len(values), *values)


def container(keys, tensors, version=3, align=32):
    """tensors: (name, ggml type, dims innermost first, bytes)."""
    head = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(keys)) + b"".join(keys)
    data = b""
    for name, kind, dims, raw in tensors:
        head += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        data += raw + b"\0" * (-len(raw) % align)
    return head + b"\0" * (-len(head) % align if tensors else 0) + data


def tiny_keys():
    a = "qwen3moe."
    return [
        string("general.architecture", "qwen3moe"), string("general.name", "Tiny"),
        u32(a + "block_count", 1), u32(a + "context_length", 64), u32(a + "embedding_length", 32),
        u32(a + "attention.head_count", 2), u32(a + "attention.head_count_kv", 1),
        u32(a + "attention.key_length", 16), u32(a + "attention.value_length", 16),
        u32(a + "expert_count", 2), u32(a + "expert_used_count", 1),
        u32(a + "expert_feed_forward_length", 32), f32(a + "rope.freq_base", 1e4),
        f32(a + "attention.layer_norm_rms_epsilon", 1e-6),
        string("tokenizer.ggml.model", "gpt2"), string("tokenizer.ggml.pre", "qwen2"),
        strings("tokenizer.ggml.tokens", ["a", "b", "ab", "<|end|>"]),
        i32s("tokenizer.ggml.token_type", [1, 1, 1, 3]), strings("tokenizer.ggml.merges", ["a b"]),
        u32("tokenizer.ggml.eos_token_id", 3),
        flag("tokenizer.ggml.add_bos_token", 0),
        string("tokenizer.chat_template", "{{ messages[0].content }}"),
    ]


def pieces(model, *keys):
    """A SentencePiece vocabulary, with bytes."""
    key = "tokenizer.ggml."
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    tokens = ["<unk>", "<s>", "</s>", *bytes_, "a", "b", MARK, "ab", MARK + "a", "\u00e9"]
    n_texts = len(tokens) - 259
    return [string(key + "model", model), string(key + "pre", "default"), strings(key + "tokens", tokens),
            i32s(key + "token_type", [2, 3, 3] + [6] * 256 + [1] * n_texts),
            f32s(key + "scores", [0.0] * 259 + [-float(i) for i in range(n_texts)]),
            u32(key + "bos_token_id", 1), u32(key + "eos_token_id", 2), u32(key + "unknown_token_id", 0), *keys]


def flag(name, value):
    return text(name) + struct.pack("<IB", 7, value)


def tiny_tensors():
    """One layer; experts and attention in Q8_0 and Q4_0, the rest F32 and BF16."""
    def f(name, *dims):
        n = 1
        for d in dims:
            n *= d
        return (name, 0, dims, struct.pack(f"<{n}f", *[1.0] * n))

    def blocks(name, kind, size, *dims):
        n = 1
        for d in dims:
            n *= d
        return (name, kind, dims, bytes(n // 32 * size))

    b = "blk.0."
    return [
        blocks("token_embd.weight", 30, 64, 32, 4), f(b + "attn_norm.weight", 32),
        blocks(b + "attn_q.weight", 8, 34, 32, 32), blocks(b + "attn_k.weight", 8, 34, 32, 16),
        blocks(b + "attn_v.weight", 2, 18, 32, 16), blocks(b + "attn_output.weight", 1, 64, 32, 32),
        f(b + "attn_q_norm.weight", 16), f(b + "attn_k_norm.weight", 16),
        f(b + "ffn_norm.weight", 32), f(b + "ffn_gate_inp.weight", 32, 2),
        blocks(b + "ffn_gate_exps.weight", 2, 18, 32, 32, 2),
        blocks(b + "ffn_up_exps.weight", 2, 18, 32, 32, 2),
        blocks(b + "ffn_down_exps.weight", 8, 34, 32, 32, 2), f("output_norm.weight", 32),
    ]


# Elements and bytes of a block, by GGML's number of its type.
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
          11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 16: (256, 66), 17: (256, 74), 18: (256, 98),
          19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 29: (256, 56), 30: (1, 2),
          34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18), 42: (64, 18)}


def block_tensors():
    """A row of 256 in every type of weights; rows that are not whole blocks are the fuzzer's to find."""
    return [(f"w{kind}", kind, (256,), (bytes(range(256)) * 4)[:256 // n * size]) for kind, (n, size) in BLOCKS.items()]


def real_pieces():
    """The real file's header alone, and its keys as a file without tensors."""
    raw = REAL.read_bytes()
    n_tensors, n_keys = struct.unpack_from("<QQ", raw, 8)
    at = 24

    def skip_text():
        nonlocal at
        at += 8 + struct.unpack_from("<Q", raw, at)[0]

    for _ in range(n_keys):
        skip_text()
        kind, = struct.unpack_from("<I", raw, at)
        at += 4
        count = 1
        if kind == ARRAY:
            kind, count = struct.unpack_from("<IQ", raw, at)
            at += 12
        for _ in range(count):
            if kind == STRING:
                skip_text()
            else:
                at += FIXED[kind]
    keys_end = at
    for _ in range(n_tensors):
        skip_text()
        at += 4 + 8 * struct.unpack_from("<I", raw, at)[0] + 12
    return raw[:at], raw[:8] + struct.pack("<Q", 0) + raw[16:keys_end]


def main():
    out = HERE / "gguf"
    out.mkdir(exist_ok=True)
    header, vocabulary = real_pieces()
    typed = [text(f"t{k}") + struct.pack("<I", k) + bytes(size) for k, size in FIXED.items()]
    arrays = [text(f"a{k}") + struct.pack("<IIQ", ARRAY, k, 2) + bytes(2 * size) for k, size in FIXED.items()]
    seeds = {
        "model_v3": container(tiny_keys(), tiny_tensors()),
        "model_v2": container(tiny_keys(), tiny_tensors(), version=2),
        "model_align64": container(tiny_keys() + [u32("general.alignment", 64)], tiny_tensors(), align=64),
        "every_type": container(typed + arrays, []),
        "every_block": container([], block_tensors()),
        "two_files": container([u16("split.no", 0), u16("split.count", 2), i32("split.tensors.count", 2)],
                               [("w", 12, (256, 1), bytes(144))]),
        "real_header": header,
        "real_vocabulary": vocabulary,
        "vocabulary_llama": container(pieces("llama", flag("tokenizer.ggml.add_space_prefix", 0)), []),
        "vocabulary_t5": container(
            pieces("t5", flag("tokenizer.ggml.remove_extra_whitespaces", 1),
                   text("tokenizer.ggml.precompiled_charsmap")
                   + struct.pack("<IIQ", ARRAY, 0, len(UNITS)) + UNITS), []),
        "one_tensor": container([], [("w", 0, (8,), bytes(32))]),
        "two_tensors": container([], [("w", 0, (8,), bytes(32)), ("v", 8, (32, 1), bytes(34))]),
        "empty_container": container([], []),
    }
    for name, raw in seeds.items():
        (out / name).write_bytes(raw)
        print(name, len(raw))


if __name__ == "__main__":
    main()
