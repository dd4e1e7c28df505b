#!/usr/bin/env python3
"""Time Shoal and a llama.cpp-like peer in turns on one model file.

  bench/compare.py MODEL.gguf --peer PATH/llama-bench --peer-args='-rtr 1 -fmoe 1' --threads 2

  bench/compare.py MODEL.gguf --peer PATH/llama-batched-bench --peer-args=-rtr --sequences 8

Both prefill --prompt tokens and decode --gen tokens from an empty context, once a round; with
--sequences several sequences decode side by side after 16 tokens. The figures are medians of the
rounds, and of each round's ratio.
"""
import argparse
import json
import shlex
import statistics
import subprocess
import sys


def run(command, stderr=subprocess.DEVNULL):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=stderr, text=True).stdout


def time_peer(args):
    out = run([args.peer, "-m", args.model, "-p", str(args.prompt), "-n", str(args.gen), "-t", str(args.threads),
               "-r", "1", "-o", "json", *shlex.split(args.peer_args)])
    tests = json.loads(out[out.index("["):])
    return [next(t["avg_ts"] for t in tests if (t["n_prompt"] > 0) == prefill) for prefill in (True, False)]


def time_peer_batched(args):
    out = run([args.peer, "-m", args.model, "-npp", "16", "-ntg", str(args.gen), "-npl", str(args.sequences),
               "-t", str(args.threads), "-c", "4096", *shlex.split(args.peer_args)], stderr=subprocess.STDOUT)
    row = [line for line in out.splitlines() if line.startswith("|")][-1].split("|")
    return [float(row[8])]  # S_TG: tokens generated a second, all sequences together.


def time_shoal(args):
    batched = ["--sequences", str(args.sequences), "--tokens", "constant", "--depth", "16"] if args.sequences else []
    report = json.loads(run([args.shoal, "bench", args.model, "--prompt", str(args.prompt), "--gen", str(args.gen),
                             "--threads", str(args.threads), "--runs", "1", "--json", *batched]))
    keys = ("decode_tokens_per_s",) if batched else ("prefill_tokens_per_s", "decode_tokens_per_s")
    return [report[key]["median"] for key in keys]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--peer", required=True, help="llama-bench of the peer, or llama-batched-bench")
    parser.add_argument("--peer-args", default="", help="further arguments for it (default: none)")
    parser.add_argument("--shoal", default="build/shoal", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--prompt", type=int, default=512, help="default: %(default)s")
    parser.add_argument("--gen", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--sequences", type=int, default=0, help="decode so many side by side, nothing else (default: no)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    args = parser.parse_args()
    rounds = []
    for i in range(args.rounds):
        rounds.append((time_peer_batched(args) if args.sequences else time_peer(args), time_shoal(args)))
        print(f"round {i + 1} of {args.rounds}: peer {rounds[-1][0]}, shoal {rounds[-1][1]}", file=sys.stderr)
    for column, name in enumerate(("decode",) if args.sequences else ("prefill", "decode")):
        peer = statistics.median(p[column] for p, _ in rounds)
        shoal = statistics.median(s[column] for _, s in rounds)
        ratios = [s[column] / p[column] for p, s in rounds]
        print(f"{name}: shoal {shoal:.1f}, peer {peer:.1f} tokens/s; ratio {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
