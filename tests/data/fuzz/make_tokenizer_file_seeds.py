#!/usr/bin/env python3
"""Writes the seeds of hf_tokenizer_fuzz and sentencepiece_fuzz: small files, sound and nearly so."""
import base64
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent
MARK = "\u2581"
# A trie of the one entry "a", which becomes "b".
UNITS = struct.pack("<I", 0x100 * 4) + b"".join(
    struct.pack("<I", {0: 0, ord("a"): 1 << 10 | 0x100 | ord("a"), ord("a") ^ 1: 1 << 31}.get(i, 0))
    for i in range(0x100)) + b"b\0"


def added(id_, content, **flags):
    return {"id": id_, "content": content, "special": True, **flags}


def bpe(vocab, merges, **parts):
    model = {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
             "vocab": {t: i for i, t in enumerate(vocab)}, "merges": merges}
    return {"model": model, "added_tokens": [added(0, "<unk>")], **parts}


def unigram(pieces, **parts):
    model = {"type": "Unigram", "unk_id": 0, "byte_fallback": False,
             "vocab": [[t, -float(i)] for i, t in enumerate(pieces)]}
    return {"model": model, "added_tokens": [added(0, "<unk>", rstrip=True)], **parts}


METASPACE = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True}
BOS = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<unk>", "type_id": 0}}, {"Sequence": {"id": "A"}}],
    "special_tokens": {"<unk>": {"id": "<unk>", "ids": [0]}}}]}
HF = {
    "bytes": (bpe(["<unk>", "a", "b", "ab", "\u0120", "A"], ["a b"],
                  normalizer={"type": "NFC"},
                  pre_tokenizer={"type": "Sequence", "pretokenizers": [
                      {"type": "Digits", "individual_digits": True},
                      {"type": "ByteLevel", "add_prefix_space": False}]},
                  decoder={"type": "ByteLevel"}, post_processor=BOS),
              {"bos_token": "<unk>", "add_bos_token": True, "chat_template": "x"}),
    "pieces": (bpe(["<unk>", "a", MARK, "b", MARK + "a", "<0xC3>"], [[MARK, "a"]],
                   normalizer={"type": "Sequence", "normalizers": [
                       {"type": "Prepend", "prepend": MARK},
                       {"type": "Replace", "pattern": {"String": " "}, "content": MARK}]},
                   decoder={"type": "Sequence", "decoders": [
                       {"type": "Replace", "pattern": {"String": MARK}, "content": " "},
                       {"type": "ByteFallback"}, {"type": "Fuse"},
                       {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}), None),
    "unigram": (unigram(["<unk>", "a", MARK, MARK + "ab", "b"],
                        normalizer={"type": "Sequence", "normalizers": [
                            {"type": "Precompiled",
                             "precompiled_charsmap": base64.b64encode(UNITS).decode()},
                            {"type": "Strip", "strip_left": False, "strip_right": True},
                            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": MARK}]},
                        pre_tokenizer=METASPACE, decoder=METASPACE), None),
    "words": (unigram(["<unk>", "a", "<0x41>"], pre_tokenizer={"type": "Sequence", "pretokenizers": [
        {"type": "WhitespaceSplit"}, METASPACE]}, decoder=METASPACE), None),
    "unknown": ({"model": {"type": "WordPiece"}}, None),
}


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def number(field, value):
    return varint(field * 8) + varint(value)


def raw(field, value):
    return varint(field * 8 + 2) + varint(len(value)) + value


def piece(text, score=-1.0, kind=1):
    return raw(1, raw(1, text.encode()) + varint(2 * 8 + 5) + struct.pack("<f", score)
               + number(3, kind))


PIECES = (piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("a") + piece(MARK) + piece("ab", -1.5)
          + piece(MARK + "a") + piece("b"))
BYTES = b"".join(piece(f"<0x{i:02X}>", 0, 6) for i in (0xC3, 0xA9))
SPM = {
    "unigram": PIECES + raw(2, number(3, 1)) + raw(3, raw(2, UNITS) + number(4, 1)),
    "bpe": PIECES + BYTES + raw(2, number(3, 2) + number(35, 1)) + raw(3, number(4, 0)),
    "bad_type": PIECES + raw(2, number(3, 4)),
    "cut": PIECES[:-3],
}


def main():
    for name, (file, config) in HF.items():
        data = json.dumps(file, ensure_ascii=False).encode()
        if config is not None:
            data += b"\0" + json.dumps(config).encode()
        (HERE / "hf_tokenizer").mkdir(exist_ok=True)
        (HERE / "hf_tokenizer" / name).write_bytes(data)
    for name, data in SPM.items():
        (HERE / "sentencepiece").mkdir(exist_ok=True)
        (HERE / "sentencepiece" / name).write_bytes(data)


if __name__ == "__main__":
    main()
