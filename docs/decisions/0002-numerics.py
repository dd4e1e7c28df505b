#!/usr/bin/env python3
"""Measures what block length, key tile and f16 rows cost: the figures of 0002-numerics.md.

Runs the demonstration model (its weights as they are, everything else in double) over a text and
looks at what reaches its products: needs numpy alone.

  python3 docs/decisions/0002-numerics.py models/tales-moe-11m-q8_0.gguf
"""
import struct
import sys

import numpy as np

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}


def read_gguf(path):
    """Metadata and tensors (F32 and Q8_0, as float64 [rows..., cols]) of a GGUF file."""
    data = open(path, "rb").read()
    at = 24

    def number(kind):
        nonlocal at
        value = struct.unpack_from("<" + FORMATS[kind], data, at)[0]
        at += SIZES[kind]
        return value

    def string():
        nonlocal at
        n = number(10)
        at += n
        return data[at - n:at].decode("utf-8", "replace")

    def value(kind):
        if kind == 8:
            return string()
        if kind == 9:
            inner, n = number(4), number(10)
            return [value(inner) for _ in range(n)]
        return number(kind)

    n_tensors, n_keys = struct.unpack_from("<QQ", data, 8)
    keys = {}
    for _ in range(n_keys):
        name = string()
        keys[name] = value(number(4))
    infos = []
    for _ in range(n_tensors):
        name = string()
        dims = [number(10) for _ in range(number(4))]
        kind, offset = number(4), number(10)
        infos.append((name, dims[::-1], kind, offset))
    align = keys.get("general.alignment", 32)
    base = (at + align - 1) // align * align
    tensors = {}
    for name, shape, kind, offset in infos:
        n = int(np.prod(shape))
        if kind == 0:
            flat = np.frombuffer(data, "<f4", n, base + offset).astype(np.float64)
        else:
            assert kind == 8, f"{name}: type {kind}"
            raw = np.frombuffer(data, np.uint8, n // 32 * 34, base + offset).reshape(-1, 34)
            d = raw[:, :2].copy().view("<f2").astype(np.float64)
            flat = (d * raw[:, 2:].view(np.int8)).ravel()
        tensors[name] = flat.reshape(shape)
    return keys, tensors


def quantize(x, block, levels=127.0):
    """x rounded to int8 in blocks, in float32 as the contract has it."""
    rows, cols = x.shape
    padded = np.zeros((rows, -(-cols // block) * block), np.float32)
    padded[:, :cols] = x
    b = padded.reshape(rows, -1, block)
    amax = np.abs(b).max(-1, keepdims=True)
    safe = np.where(amax > 0, amax, 1).astype(np.float32)
    q = np.rint(b * (np.float32(levels) / safe))
    return (q.astype(np.float64) * (safe / np.float32(levels))).reshape(rows, -1)[:, :cols]


def f16_row(x, scaled):
    """x as f16 rows, with the exact power-of-two row scale or without one."""
    k = np.floor(np.log2(np.abs(x).max(-1, keepdims=True))) - 14 if scaled else 0.0
    return (x * 2.0**-k).astype(np.float16).astype(np.float64) * 2.0**k


class Model:
    """qwen3moe in double; `seen` collects (place, inputs, weights)."""

    def __init__(self, path, rounding=None, row=None):
        self.keys, self.t = read_gguf(path)
        self.rounding, self.row, self.seen, self.qkv = rounding, row, [], []

    def get(self, key):
        return self.keys[self.keys["general.architecture"] + "." + key]

    def product(self, place, x, w):
        self.seen.append((place, x, w))
        return (self.rounding(x) if self.rounding else x) @ w.T

    def norm(self, x, w):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.get("attention.layer_norm_rms_epsilon")) * w

    def attention(self, x, layer):
        p = f"blk.{layer}."
        dim = self.get("attention.key_length")
        n = len(x)
        q, k, v = (self.product("qkv", x, self.t[f"{p}attn_{c}.weight"]).reshape(n, -1, dim) for c in "qkv")
        if p + "attn_q_norm.weight" in self.t:
            q = self.norm(q, self.t[p + "attn_q_norm.weight"])
            k = self.norm(k, self.t[p + "attn_k_norm.weight"])
        angle = np.arange(n)[:, None] * self.get("rope.freq_base") ** (-np.arange(0, dim, 2) / dim)
        c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
        turn = lambda h: np.concatenate([h[..., :dim // 2] * c - h[..., dim // 2:] * s,
                                         h[..., dim // 2:] * c + h[..., :dim // 2] * s], -1)
        q, k = turn(q), turn(k)
        group = q.shape[1] // k.shape[1]
        k, v = (np.repeat(a, group, 1) for a in (k, v))
        self.qkv.append((q, k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(dim)
        scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
        e = np.exp(scores - scores.max(-1, keepdims=True))
        out = np.einsum("hqk,khd->qhd", e / e.sum(-1, keepdims=True), v).reshape(n, -1)
        return self.product("attn_out", out, self.t[p + "attn_output.weight"])

    def experts(self, x, layer):
        p = f"blk.{layer}."
        logits = x @ self.t[p + "ffn_gate_inp.weight"].T
        e = np.exp(logits - logits.max(-1, keepdims=True))
        top = np.argsort(-logits, -1, kind="stable")[:, :self.get("expert_used_count")]
        out = np.zeros_like(x)
        for expert in range(logits.shape[1]):
            rows = np.nonzero((top == expert).any(-1))[0]
            if len(rows) == 0:
                continue
            weight = e[rows, expert] / np.take_along_axis(e[rows], top[rows], -1).sum(-1)
            g, u = (self.product("gate_up", x[rows], self.t[f"{p}ffn_{m}_exps.weight"][expert]) for m in ("gate", "up"))
            y = self.product("down", g / (1 + np.exp(-g)) * u, self.t[p + "ffn_down_exps.weight"][expert])
            if self.row:
                y = self.row(y)
            out[rows] += weight[:, None] * y
        return out

    def logits(self, ids):
        x = self.t["token_embd.weight"][ids]
        for layer in range(self.get("block_count")):
            x = x + self.attention(self.norm(x, self.t[f"blk.{layer}.attn_norm.weight"]), layer)
            x = x + self.experts(self.norm(x, self.t[f"blk.{layer}.ffn_norm.weight"]), layer)
        head = self.t.get("output.weight", self.t["token_embd.weight"])
        return self.product("head", self.norm(x, self.t["output_norm.weight"]), head)


def kl(p_logits, q_logits):
    log = lambda a: a - a.max(-1, keepdims=True) - np.log(np.exp(a - a.max(-1, keepdims=True)).sum(-1, keepdims=True))
    p, q = log(p_logits), log(q_logits)
    return (np.exp(p) * (p - q)).sum(-1)


def report(name, truth, got):
    print(f"  {name:34} mean KL {kl(truth, got).mean():.3e}  largest logit error "
          f"{np.abs(got - truth).max():.4f}  top-1 equal {(got.argmax(-1) == truth.argmax(-1)).mean():.4f}")


def attention_tiles(q, k, v, tile):
    """One head in float32, tiles merged ascending; [n, dim]."""
    f = np.float32
    n, dim = q.shape
    out = np.zeros((n, dim), f)
    for i in range(n):
        total_m, total_l, total_o = None, None, None
        for begin in range(0, i + 1, tile):
            end = min(begin + tile, i + 1)
            s = (k[begin:end] @ q[i]) * f(1 / np.sqrt(dim))
            m = s.max()
            e = np.exp(s - m)
            o = np.zeros(dim, f)
            for j in range(end - begin):
                o = o + e[j] * v[begin + j]
            l = e.sum(dtype=f)
            if total_m is None:
                total_m, total_l, total_o = m, l, o
                continue
            top = max(m, total_m)
            a, b = np.exp(total_m - top), np.exp(m - top)
            total_m, total_l, total_o = top, total_l * a + l * b, total_o * a + o * b
        out[i] = total_o / total_l
    return out


def main():
    path = sys.argv[1]
    plain = Model(path)
    rng = np.random.default_rng(7)
    vocab = plain.t["token_embd.weight"].shape[0]
    # What the model itself goes on with, sampled, so that the text is one it knows.
    ids = [int(rng.integers(vocab))]
    n_tokens = 320
    while len(ids) < n_tokens:
        last = Model.logits(plain, ids[-96:])[-1]
        p = np.exp(last - last.max())
        ids.append(int(rng.choice(vocab, p=p / p.sum())))
    plain.seen, plain.qkv = [], []
    truth = plain.logits(ids)

    print("int8 activations, by block length (everything else in double):")
    for block in (16, 32, 64, 128, 256):
        errors = {}
        for place, x, w in plain.seen:
            exact = x @ w.T
            errors.setdefault(place, []).append([((quantize(x, block) @ w.T - exact) ** 2).sum(), (exact**2).sum()])
        text = "  ".join(f"{p} {np.sqrt(np.sum(e, 0)[0] / np.sum(e, 0)[1]):.5f}" for p, e in errors.items())
        print(f"  block {block:3}: relative rms error of outputs: {text}")
        got = Model(path, rounding=lambda x, b=block: quantize(x, b)).logits(ids)
        report(f"block {block}, whole model", truth, got)

    print("expert rows as f16 (activations in double):")
    for scaled in (True, False):
        got = Model(path, row=lambda y, s=scaled: f16_row(y, s)).logits(ids)
        report("f16, row scale" if scaled else "f16, no row scale", truth, got)
    y = rng.standard_normal((64, 2048))
    for magnitude in (1.0, 1e-6, 1e6):
        for scaled in (True, False):
            with np.errstate(over="ignore", invalid="ignore"):
                back = f16_row(y * magnitude, scaled) / magnitude
                error = np.sqrt(((back - y) ** 2).mean())
            print(f"  Gaussian rows times {magnitude:g}, row scale {scaled}: relative rms error {error:.2e}")

    print("attention in float32, by key tile (last layer, all heads):")
    q, k, v = (a.astype(np.float32) for a in plain.qkv[-1])
    dim = q.shape[-1]
    for tile in (32, 64, 128, 512):
        worst, total = 0.0, []
        for h in range(q.shape[1]):
            s = q[:, h].astype(float) @ k[:, h].astype(float).T / np.sqrt(dim)
            s = np.where(np.tri(len(s), dtype=bool), s, -np.inf)
            e = np.exp(s - s.max(-1, keepdims=True))
            exact = e / e.sum(-1, keepdims=True) @ v[:, h].astype(float)
            error = np.abs(attention_tiles(q[:, h], k[:, h], v[:, h], tile) - exact)
            worst = max(worst, error.max())
            total.append((error**2).mean() / (exact**2).mean())
        print(f"  tile {tile:3}: relative rms error {np.sqrt(np.mean(total)):.2e}, largest {worst:.2e}")


if __name__ == "__main__":
    main()
