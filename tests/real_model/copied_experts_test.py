"""A dense model whose blocks are copied into experts gives the dense model's logits, with no worker and with several.

    copied_experts_test.py SHOAL_BINARY DENSE_MODEL_FILE
"""
import array
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
IDS = ",".join(str(7 * i % 200) for i in range(24))


def logits(shoal, model, out, workers):
    subprocess.run([shoal, "logits", model, "--ids", IDS, "--out", out, "--workers", str(workers)], check=True)
    raw = pathlib.Path(out).read_bytes()
    n, = struct.unpack_from("<Q", raw)
    vocab = json.loads(raw[8:8 + n])["logits"]["shape"][1]
    values = array.array("f", raw[8 + n:])
    return [values[i:i + vocab] for i in range(0, len(values), vocab)]


def main():
    shoal, model = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="shoal-experts-") as home:
        experts, out = f"{home}/experts.gguf", f"{home}/logits"
        subprocess.run([sys.executable, HERE / "copy_experts.py", model, experts], check=True)
        dense = logits(shoal, model, out, 0)
        alone = logits(shoal, experts, out, 0)
        for row, (a, b) in enumerate(zip(dense, alone, strict=True)):
            assert max(abs(x - y) for x, y in zip(a, b)) < 1e-3, f"row {row}"
            assert max(range(len(a)), key=a.__getitem__) == max(range(len(b)), key=b.__getitem__), f"row {row}"
        for workers in (1, 3):
            assert logits(shoal, experts, out, workers) == alone, f"{workers} workers"


if __name__ == "__main__":
    main()
