"""A Hugging Face folder, imported and made smaller in one step.

    quantized_folder_test.py SHOAL_BINARY
"""
import contextlib
import http.client
import json
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "real_model"))
from gguf_file import F32, GgufFile, Tensor  # noqa: E402

SHOAL = sys.argv.pop(1)
FOLDER = "tests/data/models/qwen3_moe/hf"
HIDDEN, EXPERTS = 64, 8
STRING = 8  # GGUF's number of the type.


def import_folder(home, *options):
    """Imports as the model `small`; each tensor's type and relative error, as the import says them."""
    run = subprocess.run([SHOAL, "import", FOLDER, "--quantize", "q4_k_m", "--data-dir", home, *options],
                         capture_output=True, text=True, check=True)
    rows = re.findall(r"import: (\S+) +([A-Z0-9_]+) +relative RMS error (\S+)", run.stderr)
    return {name: (kind, error) for name, kind, error in rows}


def complete(address, body):
    connection = http.client.HTTPConnection(address, timeout=60)
    body = {"model": "small", "max_tokens": 24, "ignore_eos": True} | body
    with contextlib.closing(connection):
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    assert response.status == 200, text
    answer = json.loads(text)
    return answer["choices"], answer["usage"]


def answers(home, n_workers):
    """What `shoal up` with so many workers gives for the same requests."""
    with subprocess.Popen(
            [SHOAL, "up", "small", "--workers", str(n_workers), "--listen", "127.0.0.1:0", "--data-dir", home],
            stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        assert line.startswith("listening on http://"), line
        address = line.split()[-1].removeprefix("http://")
        try:
            return [complete(address, {"prompt": prompt} | sampling)
                    for prompt in ("the", "a cluster of machines", list(range(40, 90)))
                    for sampling in ({"temperature": 0}, {"temperature": 0.8, "seed": 7})]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def write_imatrix(path, sums):
    """A file of llama-imatrix: per tensor, sums of squared inputs for each matrix and how many they were."""
    tensors = []
    for name, matrices in sums.items():
        data = b"".join(struct.pack(f"<{HIDDEN}f", *matrix) for matrix in matrices)
        tensors.append(Tensor(name + ".in_sum2", [HIDDEN, len(matrices)], F32, data))
        counts = struct.pack(f"<{len(matrices)}f", *[10.0] * len(matrices))
        tensors.append(Tensor(name + ".counts", [1, len(matrices)], F32, counts))
    text = b"imatrix"
    GgufFile({"general.type": (STRING, struct.pack("<Q", len(text)) + text)}, tensors).write(path)


class QuantizedFolderTest(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.TemporaryDirectory(prefix="shoal-folder-")
        self.addCleanup(self.home.cleanup)

    def test_same_answers_from_one_worker_and_three(self):
        import_folder(self.home.name, "--model-name", "small")
        one = answers(self.home.name, 1)
        self.assertEqual(answers(self.home.name, 3), one)
        self.assertTrue(all(choices[0]["text"] for choices, _ in one))

    def test_rows_that_are_not_whole_blocks_of_256(self):
        types = {name: kind for name, (kind, _) in import_folder(self.home.name).items()}
        self.assertEqual(types["blk.1.ffn_gate_exps.weight"], "Q5_0")  # Of Q4_K.
        self.assertEqual(types["output.weight"], "Q8_0")  # Of Q6_K.
        self.assertEqual(types["blk.2.ffn_down_exps.weight"], "Q8_0")  # Refined, as the last eighth is.

    def test_an_imatrix_knows_tensors_by_the_name_of_what_has_them_together(self):
        experts = [[1.0 + (c * 7 + e * 3) % 11 ** 2 for c in range(HIDDEN)] for e in range(EXPERTS)]
        parts, together = (f"{self.home.name}/{name}.gguf" for name in ("parts", "together"))
        write_imatrix(parts, {"blk.0.ffn_gate_exps.weight": experts, "blk.0.ffn_up_exps.weight": experts,
                              "blk.0.attn_q.weight": experts[:1], "blk.0.attn_v.weight": experts[:1]})
        write_imatrix(together, {"blk.0.ffn_gate_up_exps.weight": experts, "blk.0.attn_qkv.weight": experts[:1],
                                 "blk.0.ffn_up.weight": experts[:1]})
        plain = import_folder(self.home.name)
        by_parts = import_folder(self.home.name, "--imatrix", parts)
        by_all = import_folder(self.home.name, "--imatrix", together)
        for name in ("ffn_gate_exps", "ffn_up_exps", "attn_q", "attn_v"):
            name = f"blk.0.{name}.weight"
            self.assertEqual(by_all[name], by_parts[name])
            self.assertNotEqual(by_all[name], plain[name])
        for name in ("blk.1.attn_q.weight", "token_embd.weight"):
            self.assertEqual(by_all[name], plain[name])
        self.assertNotEqual(by_all["blk.0.attn_k.weight"], by_parts["blk.0.attn_k.weight"])


if __name__ == "__main__":
    unittest.main()
