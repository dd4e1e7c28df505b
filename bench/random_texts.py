#!/usr/bin/env python3
"""Random texts through a tokenizer of ours and Hugging Face's: ids, and what they decode to.

    random_texts.py SHOAL_BINARY N_TEXTS MODEL...

MODEL is a folder with tokenizer.json, or the name of a folder of tests/data/tokenizers, whose
GGUF file the build has unpacked (build/tests/vocabularies), and its tokenizer.json if it has one.
Needs PyPI's tokenizers and gguf.
Prints a line per model, and the first few texts that differ; fails if any does.
"""
import json
import os
import random
import subprocess
import sys

import tokenizers

import hf_tokenizers

VOCABULARIES = "build/tests/vocabularies"
N_SHOWN = 5
# First and last code points: scripts, symbols, combining marks, forms, planes beyond the first.
RANGES = [(0x20, 0x7E), (0, 0x1F), (0x7F, 0xA0), (0xA1, 0x24F), (0x250, 0x36F), (0x370, 0x5FF),
          (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF),
          (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x2BFF), (0x3000, 0x30FF),
          (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFE00, 0xFEFF),
          (0xFF00, 0xFFEF), (0x10000, 0x103FF), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF),
          (0x20000, 0x2A6DF), (0xE0100, 0xE01EF)]
BITS = ["'s", "'T", "'LL", "'ve", " ", "  ", "   ", "\n", "\r\n", "\t", "\n\n", "1", "234", "12345",
        "...", "//", "_", "-", "\u2581", "\u00a0", "\u3000", "\u200d", "\u017f", "\u0130", "\u00df",
        "\u0301", "e\u0301", "\u05d0", "\u0663", "\u00b2", "\u2167", "\u4e2d", "\u3042", "\ud55c",
        "\U0001f642", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\ufb01", "<0x0A>", "</s>",
        "<s>", "<|im_end|>", "<|", "|>", "\ufeff", "\u00ad"]


def words():
    text = ""
    for path in "README.md", "docs/architecture.md", "model/tokenizer.cc":
        with open(path, encoding="utf-8") as file:
            text += file.read()
    return text.split(" ")


class Source:
    def __init__(self, seed, special):
        self.random = random.Random(seed)
        self.special = special
        self.words = words()

    def piece(self):
        choose, kind = self.random.choice, self.random.random()
        if kind < .35:
            return choose(self.words) + choose([" ", "", "\n", " "])
        if kind < .6:
            return choose(BITS)
        if kind < .85:
            first, last = choose(RANGES)
            return "".join(chr(self.random.randint(first, last))
                           for _ in range(self.random.randint(1, 6)))
        if kind < .92 and self.special:
            token = choose(self.special)
            return choose([token, token, token[:-1], token[1:], " " + token + " "])
        if kind < .96:
            return choose("abAB =-\n01") * self.random.randint(2, 40)
        return choose(self.words).upper()

    def text(self):
        return "".join(self.piece() for _ in range(self.random.randint(1, 30)))


def lines_of(shoal, command, model, inputs):
    text = "".join(json.dumps(each) + "\n" for each in inputs)
    run = subprocess.run([shoal, command, "--lines", model], input=text, capture_output=True,
                         text=True, check=True)
    return [json.loads(line) for line in run.stdout.split("\n")[:-1]]


def compare(shoal, n_texts, model):
    if os.path.isdir(model):
        truth, path = tokenizers.Tokenizer.from_file(model + "/tokenizer.json"), model
    else:
        path, whole = f"{VOCABULARIES}/{model}.gguf", f"{VOCABULARIES}/{model}.json"
        truth = (tokenizers.Tokenizer.from_file(whole) if os.path.exists(whole)
                 else hf_tokenizers.load(VOCABULARIES, model))
    added = sorted(t.content for t in truth.get_added_tokens_decoder().values())
    source = Source(model, added[:40] + added[-40:])
    texts = [source.text() for _ in range(n_texts)]
    ids = [truth.encode(text, add_special_tokens=False).ids for text in texts]
    decoded = [truth.decode(each, skip_special_tokens=False) for each in ids]
    differ = {"ids": 0, "text": 0}
    for kind, inputs, expected, results in (
            ("ids", texts, ids, lines_of(shoal, "tokenize", path, texts)),
            ("text", ids, decoded, lines_of(shoal, "detokenize", path, ids))):
        assert len(results) == n_texts
        for given, want, got in zip(inputs, expected, results):
            if got == want:
                continue
            differ[kind] += 1
            if differ[kind] <= N_SHOWN:
                print(f"  {kind} of {given!a}\n    are  {want!a}\n    here {got!a}")
    print(f"{os.path.basename(os.path.normpath(model))}: {n_texts} texts; ids of {differ['ids']} "
          f"differ, texts of {differ['text']}", flush=True)
    return not any(differ.values())


def main():
    equal = [compare(sys.argv[1], int(sys.argv[2]), model) for model in sys.argv[3:]]
    sys.exit(not all(equal))


main()
