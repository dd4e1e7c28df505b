#!/usr/bin/env python3
"""A GGUF model with its matrices dequantized to F32: what quantizers are tried on.

  dequantize.py MODEL.gguf OUT.gguf      (F32, F16, BF16, Q4_1 and Q8_0; needs numpy)
"""
import sys

import numpy as np

from gguf_file import F32, GgufFile, Tensor


def values(tensor):
    raw = np.frombuffer(tensor.data, np.uint8)
    if tensor.dtype == 1:
        return raw.view(np.float16).astype(np.float32)
    if tensor.dtype == 30:
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    if tensor.dtype == 8:
        blocks = raw.reshape(-1, 34)
        return blocks[:, :2].copy().view(np.float16).astype(np.float32) * blocks[:, 2:].copy().view(np.int8)
    assert tensor.dtype == 3, f"{tensor.name}: type {tensor.dtype}"
    blocks = raw.reshape(-1, 20)
    scales = blocks[:, :4].copy().view(np.float16).astype(np.float32)
    nibbles = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    return nibbles * scales[:, :1] + scales[:, 1:]


def main():
    model = GgufFile.read(sys.argv[1])
    for i, tensor in enumerate(model.tensors):
        if tensor.dtype != F32:
            data = values(tensor).astype("<f4").tobytes()
            model.tensors[i] = Tensor(tensor.name, tensor.dims, F32, data)
    model.set_u32("general.file_type", 0)
    model.write(sys.argv[2])


if __name__ == "__main__":
    main()
