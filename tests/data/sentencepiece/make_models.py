#!/usr/bin/env python3
"""Trains small SentencePiece models on this repository's documents and writes each as
tokenizer.model, tokenizer.json and vocab.gguf, with what sentencepiece and Hugging Face's tokenizers
make of the texts of ../tokenizers/mistral/cases.jsonl and of the ones below.

Needs PyPI's sentencepiece 0.2, tokenizers 0.23 and gguf 0.19. Run from this folder.
"""
import base64
import io
import json
import lzma
import pathlib

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

HERE = pathlib.Path(__file__).parent
MARK = "\u2581"
# Each with what it is about. "hf": how transformers converts it, "" where it is not compared.
MODELS = {
    "unigram_nfkc": dict(model_type="unigram", normalization_rule_name="nmt_nfkc", hf="metaspace"),
    "unigram_bytes": dict(model_type="unigram", normalization_rule_name="identity",
                          byte_fallback=True, remove_extra_whitespaces=False, hf="whole",
                          split_by_whitespace=False, max_sentencepiece_length=12),
    "bpe_bytes": dict(model_type="bpe", normalization_rule_name="identity", byte_fallback=True,
                      remove_extra_whitespaces=False, hf=""),
}
MORE = ["a" * 300, "ha" * 77 + "h", "=" * 64, "   ", " a  b   c ", "\t\ta\u3000b\u00a0 c\n",
        "\uff21\uff22\uff23\u2460 \ufb01ne \u00bd", "e\u0301te\u0301 \u0915\u094d\u0937 \uac00\u1100\u1161",
        "\ufdfa", "x\u0301\u0302y", MARK + "a" + MARK, "a" + MARK, "\u200b\u200d", "\ud7ff\U0001f600" * 5,
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 a"]


def texts():
    lines = (HERE / "../tokenizers/mistral/cases.jsonl").read_text().splitlines()
    found = [json.loads(line)["text"] for line in lines]
    return [t for t in found if t is not None and len(t) < 400] + MORE


def train(options):
    docs = sorted((HERE / "../../../docs").glob("*.md"))
    sentences = [line for doc in docs for line in doc.read_text().splitlines()][:1500]
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=out, vocab_size=900, minloglevel=2,
        num_threads=1, train_extremely_large_corpus=False,
        **{k: v for k, v in options.items() if k != "hf"})
    return out.getvalue()


def hf_tokenizer(proto, kind):
    pieces = [(p.piece, p.score) for p in proto.pieces]
    unk = next(i for i, p in enumerate(proto.pieces) if p.type == 2)
    bytes_ = proto.trainer_spec.byte_fallback
    hf = Tokenizer(models.Unigram(pieces, unk, bytes_))
    if kind == "metaspace":
        charsmap = proto.normalizer_spec.precompiled_charsmap
        hf.normalizer = normalizers.Sequence([
            normalizers.Precompiled(charsmap), normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), MARK)])
        hf.pre_tokenizer = pre_tokenizers.Metaspace(MARK, "always")
        hf.decoder = decoders.Metaspace(MARK, "always")
    else:
        hf.normalizer = normalizers.Sequence([normalizers.Prepend(MARK),
                                              normalizers.Replace(" ", MARK)])
        hf.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(),
                                        decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    hf.add_special_tokens([AddedToken(p.piece, normalized=False, special=True)
                           for p in proto.pieces if p.type in (2, 3)])
    return hf


def write_gguf(proto, path):
    writer = gguf.GGUFWriter(path, "qwen3moe")
    unigram = proto.trainer_spec.model_type == 1
    writer.add_tokenizer_model("t5" if unigram else "llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([p.piece.encode() for p in proto.pieces])
    writer.add_token_scores([p.score for p in proto.pieces])
    writer.add_token_types([int(p.type) for p in proto.pieces])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(proto.normalizer_spec.add_dummy_prefix)
    writer.add_remove_extra_whitespaces(proto.normalizer_spec.remove_extra_whitespaces)
    if proto.normalizer_spec.precompiled_charsmap:
        writer.add_precompiled_charsmap(proto.normalizer_spec.precompiled_charsmap)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def store(path, data):
    path.with_name(path.name + ".xz").write_bytes(
        lzma.compress(data, preset=9 | lzma.PRESET_EXTREME, check=lzma.CHECK_CRC32))


def main():
    for name, options in MODELS.items():
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        raw = train(options)
        store(folder / "tokenizer.model", raw)
        proto = pb.ModelProto.FromString(raw)
        write_gguf(proto, folder / "vocab.gguf")
        store(folder / "vocab.gguf", (folder / "vocab.gguf").read_bytes())
        (folder / "vocab.gguf").unlink()
        sp = sentencepiece.SentencePieceProcessor(model_proto=raw)
        hf = hf_tokenizer(proto, options["hf"]) if options["hf"] else None
        if hf is not None:
            store(folder / "tokenizer.json", hf.to_str().encode())
        with open(folder / "cases.jsonl", "w") as out:
            for text in texts():
                ids = sp.encode(text)
                case = {"text": text, "ids": ids}
                if 0 not in ids:  # sentencepiece prints unknown tokens otherwise.
                    case["decoded"] = sp.decode(ids)
                if hf is not None:
                    case["hf_ids"] = hf.encode(text, add_special_tokens=False).ids
                    case["hf_decoded"] = hf.decode(case["hf_ids"], skip_special_tokens=False)
                out.write(json.dumps(case, separators=(",", ":")) + "\n")


main()
