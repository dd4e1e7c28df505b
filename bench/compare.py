#!/usr/bin/env python3
"""Time Shoal and a llama.cpp-like peer in turns on one model file.

  bench/compare.py MODEL.gguf --peer PATH/llama-bench --peer-args='-rtr 1 -fmoe 1' --threads 2

Both prefill --prompt tokens and decode --gen tokens from an empty context, once a round; the
figures are medians of the rounds, and of each round's ratio.
"""
import argparse
import json
import shlex
import statistics
import subprocess
import sys


def run(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def time_peer(args):
    out = run([args.peer, "-m", args.model, "-p", str(args.prompt), "-n", str(args.gen), "-t", str(args.threads),
               "-r", "1", "-o", "json", *shlex.split(args.peer_args)])
    tests = json.loads(out[out.index("["):])
    return [next(t["avg_ts"] for t in tests if (t["n_prompt"] > 0) == prefill) for prefill in (True, False)]


def time_shoal(args):
    report = json.loads(run([args.shoal, "bench", args.model, "--prompt", str(args.prompt), "--gen", str(args.gen),
                             "--threads", str(args.threads), "--runs", "1", "--json"]))
    return [report[key]["median"] for key in ("prefill_tokens_per_s", "decode_tokens_per_s")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--peer", required=True, help="llama-bench of the peer")
    parser.add_argument("--peer-args", default="", help="further arguments for it (default: none)")
    parser.add_argument("--shoal", default="build/shoal", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--prompt", type=int, default=512, help="default: %(default)s")
    parser.add_argument("--gen", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    args = parser.parse_args()
    rounds = []
    for i in range(args.rounds):
        rounds.append((time_peer(args), time_shoal(args)))
        print(f"round {i + 1} of {args.rounds}: peer {rounds[-1][0]}, shoal {rounds[-1][1]}", file=sys.stderr)
    for column, name in enumerate(("prefill", "decode")):
        peer = statistics.median(p[column] for p, _ in rounds)
        shoal = statistics.median(s[column] for _, s in rounds)
        ratios = [s[column] / p[column] for p, s in rounds]
        print(f"{name}: shoal {shoal:.1f}, peer {peer:.1f} tokens/s; ratio {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
