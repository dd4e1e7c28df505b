#!/usr/bin/env python3
"""What each --quantize mix costs a real model, beside llama.cpp's quantizers: the table of docs/models.md.

  quantization_table.py SHOAL MODEL.gguf TEXT [--ggml LIBRARY] [--mixes q8_0 q4_0 ...]

Dequantizes the model to F32 (needs numpy), quantizes that anew, and evaluates everything with `shoal eval` against the F32 model. With
a shared library that has ggml_quantize_chunk (libggml-base.so, or one that holds it), the same tensors are made the same types by it.
"""
import argparse
import ctypes
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from gguf_file import GgufFile, Tensor

HERE = pathlib.Path(__file__).parent
MIXES = ["q8_0", "q4_0", "q4_k_m", "iq4_nl", "mxfp4", "tq2_0", "tq1_0"]
# GGML's number, elements and bytes of a block.
TYPES = {"Q8_0": (8, 32, 34), "Q4_0": (2, 32, 18), "Q5_0": (6, 32, 22), "Q4_K": (12, 256, 144), "Q6_K": (14, 256, 210),
         "IQ4_NL": (20, 32, 18), "MXFP4": (39, 32, 17), "TQ1_0": (34, 256, 54), "TQ2_0": (35, 256, 66)}


def quantized_by_ggml(library, plain, types, out):
    """The model at `plain` with the tensors of `types` (name to type) quantized by the library; its bytes."""
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                                            ctypes.c_int64, ctypes.c_void_p]
    model = GgufFile.read(plain)
    for i, tensor in enumerate(model.tensors):
        if tensor.name not in types:
            continue
        number, elements, n_bytes = TYPES[types[tensor.name]]
        n = len(tensor.data) // 4
        made = ctypes.create_string_buffer(n // elements * n_bytes)
        source = ctypes.create_string_buffer(bytes(tensor.data), len(tensor.data))
        library.ggml_quantize_chunk(number, source, made, 0, n // tensor.dims[0], tensor.dims[0], None)
        model.tensors[i] = Tensor(tensor.name, tensor.dims, number, made.raw)
    model.write(out)
    return sum(len(tensor.data) for tensor in model.tensors)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shoal")
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--ggml")
    parser.add_argument("--mixes", nargs="+", default=MIXES)
    args = parser.parse_args()
    library = ctypes.CDLL(args.ggml) if args.ggml else None
    home = tempfile.TemporaryDirectory(prefix="shoal-quantization-")
    plain, reference = f"{home.name}/f32.gguf", f"{home.name}/reference"
    subprocess.run([sys.executable, HERE / "dequantize.py", args.model, plain], check=True)

    def evaluate(model, *options):
        out = subprocess.run([args.shoal, "eval", model, "--text", args.text, "--data-dir", home.name, "--json",
                              "--ctx-size", "512", "--stride", "512", *options], check=True, stdout=subprocess.PIPE).stdout
        return json.loads(out)

    def row(name, n_bytes, report):
        against = report.get("reference", {"mean_kl": 0, "top1_agreement": 1})
        print(f"| {name} | {n_bytes / 1e6:.1f} | {report['perplexity']:.3f} | {against['mean_kl']:.5f} | "
              f"{100 * against['top1_agreement']:.1f} % |", flush=True)

    print("| weights | MB | perplexity | mean KL | top-1 |\n| --- | --- | --- | --- | --- |")
    row("F32", os.path.getsize(plain), evaluate(plain, "--save", reference))
    against = ("--reference", reference)
    row("the file's own", os.path.getsize(args.model), evaluate(args.model, *against))
    for mix in args.mixes:
        said = subprocess.run([args.shoal, "import", plain, "--quantize", mix, "--model-name", mix, "--data-dir", home.name],
                              check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True).stderr
        types = dict(re.findall(r"import: (\S+) +([A-Z0-9_]+) +relative RMS", said))
        shards = pathlib.Path(home.name, "shards")
        row(f"{mix}, ours", sum(f.stat().st_size for f in shards.rglob("*") if f.is_file()), evaluate(mix, *against))
        subprocess.run([args.shoal, "models", "rm", mix, "--data-dir", home.name], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([args.shoal, "models", "gc", "--data-dir", home.name], check=True, stdout=subprocess.DEVNULL)
        if library is not None:
            peer = f"{home.name}/peer.gguf"
            n_bytes = quantized_by_ggml(library, plain, types, peer)
            row(f"{mix}, llama.cpp", n_bytes, evaluate(peer, *against))


if __name__ == "__main__":
    main()
