#!/usr/bin/env python3
"""What transformers says of a text, with a GGUF model's weights dequantized: a file for `shoal eval --reference`.

  reference.py MODEL.gguf TEXT OUT [--ctx-size 1024] [--stride 512] [--top 8]

Float32 on the CPU, each window in one pass. Needs torch, transformers, accelerate, gguf. docs/reference_logits.md has the file's form.
"""
import argparse
import hashlib
import os
import pathlib
import struct
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from reference_logits import sealed  # noqa: E402


def windows(n_ids, ctx_size, stride):
    """Begin, end and first scored token of each, as shoal's PlanWindows cuts with a stride."""
    scored_to, begin = 1, 0
    while scored_to < n_ids:
        end = min(begin + ctx_size, n_ids)
        if max(scored_to, begin + 1) < end:
            yield begin, end, max(scored_to, begin + 1)
        scored_to, begin = end, begin + stride


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("out")
    parser.add_argument("--ctx-size", type=int, default=1024)
    parser.add_argument("--stride", type=int, default=512)
    parser.add_argument("--top", type=int, default=8)
    args = parser.parse_args()
    folder, file = os.path.split(args.model)
    tokenizer = AutoTokenizer.from_pretrained(folder or ".", gguf_file=file)
    model = AutoModelForCausalLM.from_pretrained(folder or ".", gguf_file=file, dtype=torch.float32).eval()
    with open(args.text, encoding="utf-8") as text:
        ids = tokenizer(text.read(), add_special_tokens=False)["input_ids"]
    plan = list(windows(len(ids), args.ctx_size, args.stride))
    n_rows = sum(end - first for _, end, first in plan)
    name = f"transformers, {file}".encode()[:256]
    header = b"SHOALREF" + struct.pack("<5IQ", 1, model.config.vocab_size, args.top, args.ctx_size, args.stride, n_rows)
    header += hashlib.sha256(struct.pack(f"<{len(ids)}i", *ids)).digest() + struct.pack("<I", len(name)) + name
    nll = 0.0
    with open(args.out, "wb") as out, torch.inference_mode():
        out.write(sealed(header))
        for begin, end, first in plan:
            logits = model(torch.tensor([ids[begin:end]])).logits[0, first - begin - 1:end - begin - 1]
            log_probs = logits.double().log_softmax(-1)
            top, top_ids = log_probs.topk(args.top, sorted=True)
            for row in range(end - first):
                target = log_probs[row, ids[first + row]].item()
                nll -= target
                rest = max(1.0 - top[row].exp().sum().item(), 0.0)
                data = struct.pack("<2f", target, rest)
                for entry, entry_id in zip(top[row].tolist(), top_ids[row].tolist()):
                    data += struct.pack("<If", entry_id, entry)
                out.write(sealed(data))
    print(f"{len(ids)} tokens, {n_rows} scored, perplexity {torch.tensor(nll / n_rows).exp().item():.4f}")


if __name__ == "__main__":
    main()
