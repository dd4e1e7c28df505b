"""A real model, SmolLM2-135M-Instruct in Q4_1: over a text of 2,000 tokens it foretells what transformers foretells with its dequantized
weights; and with its blocks copied into eight experts, two to a row, it says the same on any number of workers.

    real_model_test.py SHOAL_BINARY MODEL_FILE

scripts/deps.sh fetches the file.
"""
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).parent
DATA = HERE.parent / "data/smollm2"
PROMPT = "The three most important inventions in the history of mankind are"


class Up:
    """A running `shoal up`."""

    def __init__(self, shoal, model, workers, home):
        self.process = subprocess.Popen([shoal, "up", model, "--workers", str(workers), "--data-dir", home,
                                         "--listen", "127.0.0.1:0", "--ctx-size", "512"],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("listening on http://"), line
        self.url = line.split()[-1]
        self.model = self.process.stdout.readline().removeprefix("serving ").strip()

    def post(self, path, **body):
        body = json.dumps({"model": self.model, "temperature": 0, **body}).encode()
        request = urllib.request.Request(f"{self.url}/v1/{path}", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as reply:
            return json.load(reply)["choices"][0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)


def check_reference(shoal, model, activations, least_agreement):
    out = subprocess.run([shoal, "eval", model, "--text", DATA / "text.txt", "--reference", DATA / "expected.ref",
                          "--ctx-size", "1024", "--stride", "512", "--activations", activations, "--json"],
                         check=True, stdout=subprocess.PIPE).stdout
    report = json.loads(out)
    reference = report["reference"]
    ratio = report["perplexity"] / reference["perplexity"]
    print(f"activations {activations}, {report['n_scored']} tokens: perplexity {report['perplexity']:.4f}, transformers "
          f"{reference['perplexity']:.4f}, top-1 agreement {100 * reference['top1_agreement']:.2f} %, mean KL "
          f"{reference['mean_kl']:.6f}")
    assert report["n_scored"] >= 2000
    assert reference["top1_agreement"] >= least_agreement
    assert abs(ratio - 1) < 0.01


def main():
    shoal, model = sys.argv[1:]
    check_reference(shoal, model, "f32", 0.995)
    check_reference(shoal, model, "int8", 0.965)  # Activations in 8 bits cost some of the agreement.
    home = tempfile.TemporaryDirectory(prefix="shoal-real-")
    with Up(shoal, model, 0, home.name) as up:
        dense = up.post("completions", prompt=PROMPT, max_tokens=64)["text"]
    print(f"{PROMPT}{dense}")
    experts = f"{home.name}/experts.gguf"
    subprocess.run([sys.executable, HERE / "copy_experts.py", model, experts], check=True)
    for workers in (0, 1, 3):
        with Up(shoal, experts, workers, home.name) as up:
            text = up.post("completions", prompt=PROMPT, max_tokens=64)["text"]
        print(f"eight experts, {workers} workers: {'the same' if text == dense else text}")
        assert text == dense


if __name__ == "__main__":
    main()
