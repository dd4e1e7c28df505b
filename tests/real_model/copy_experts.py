#!/usr/bin/env python3
"""A dense GGUF model of the architecture llama as one of experts, all of them equal to its own block.

  copy_experts.py DENSE.gguf OUT.gguf [--experts 8] [--top 2] [--seed 1]

Routers are random, so rows go to all experts; whatever they choose, the block's answer is the dense model's, for the chosen experts'
weights add up to 1.
"""
import argparse
import array
import random

from gguf_file import F32, GgufFile, Tensor


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dense")
    parser.add_argument("out")
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--top", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    model = GgufFile.read(args.dense)
    draw = random.Random(args.seed)
    hidden = model.u32("llama.embedding_length")
    model.set_u32("llama.expert_count", args.experts)
    model.set_u32("llama.expert_used_count", args.top)
    tensors = []
    for tensor in model.tensors:
        layer, _, part = tensor.name.rpartition(".ffn_")
        if part not in ("gate.weight", "up.weight", "down.weight"):
            tensors.append(tensor)
            continue
        name = f"{layer}.ffn_{part.removesuffix('.weight')}_exps.weight"
        tensors.append(Tensor(name, tensor.dims + [args.experts], tensor.dtype, bytes(tensor.data) * args.experts))
        if part == "gate.weight":
            router = array.array("f", (draw.gauss(0.0, 0.1) for _ in range(hidden * args.experts)))
            tensors.append(Tensor(f"{layer}.ffn_gate_inp.weight", [hidden, args.experts], F32, router.tobytes()))
    model.tensors = tensors
    model.write(args.out)


if __name__ == "__main__":
    main()
