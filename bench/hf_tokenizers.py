#!/usr/bin/env python3
"""What model/tokenizer_bench.cc measures, with Hugging Face's tokenizers, on one thread.

    hf_tokenizers.py FOLDER_OF_UNPACKED_VOCABULARIES    (build/tests/vocabularies)

Needs PyPI's tokenizers and gguf. Vocabulary and merges come from the GGUF file, the rest from
tests/data/tokenizers/NAME/hf_pipeline.json.
"""
import glob
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import gguf  # noqa: E402
import tokenizers  # noqa: E402

N_BYTES = 1_000_000


def text_of(folders, ending):
    paths = sorted(p for f in folders for p in glob.glob(f"{f}/*{ending}"))
    text = b"".join(open(p, "rb").read() for p in paths)
    while len(text) < N_BYTES:
        text += text
    return text[:N_BYTES].decode(errors="ignore")


def merges_of(tokens, scores):
    """As transformers makes them of a SentencePiece model: the two parts of every piece, best first."""
    ids = {t: i for i, t in enumerate(tokens)}
    found = [(-scores[i], ids[t[:n]], ids[t[n:]], t[:n], t[n:]) for i, t in enumerate(tokens)
             for n in range(1, len(t)) if t[:n] in ids and t[n:] in ids]
    return [[left, right] for *_, left, right in sorted(found)]


def load(folder, name):
    fields = gguf.GGUFReader(f"{folder}/{name}.gguf").fields
    pipeline = json.load(open(f"tests/data/tokenizers/{name}/hf_pipeline.json"))
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    model = pipeline["model"]
    model["vocab"] = {t: i for i, t in enumerate(tokens) if types[i] != 5}
    merges = fields.get("tokenizer.ggml.merges")
    scores = fields.get("tokenizer.ggml.scores")
    model["merges"] = merges.contents() if merges else merges_of(tokens, scores.contents())
    return tokenizers.Tokenizer.from_str(json.dumps(pipeline))


def main():
    texts = {"english": text_of(["docs"], ".md"),
             "code": text_of(["base", "engine", "model", "router"], ".cc")}
    print("tokenizers", tokenizers.__version__)
    for name in ("deepseek_v3", "gptoss", "llama3", "mistral", "phi3", "qwen3", "smollm2"):
        hf = load(sys.argv[1], name)
        for kind, text in texts.items():
            times = []
            for _ in range(3):
                begin = time.process_time()
                hf.encode(text, add_special_tokens=False)
                times.append(time.process_time() - begin)
            print(f"{name} {kind} {len(text.encode()) / min(times) / 1e6:.2f} MB/s", flush=True)


if __name__ == "__main__":
    main()
