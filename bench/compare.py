#!/usr/bin/env python3
"""Time Shoal and a llama.cpp-like peer in turns on one model file.

  bench/compare.py MODEL.gguf --peer PATH/llama-bench --peer-args='-rtr 1 -fmoe 1' --threads 2

  bench/compare.py MODEL.gguf --peer PATH/llama-batched-bench --peer-args=-rtr --sequences 8

  bench/compare.py A-Q4_0.gguf --ceilings build/bench/ceilings_bench --read-gb 0.697 --gop 2.15 --peer ...

Both prefill --prompt tokens and decode --gen tokens from an empty context, --runs times a round,
whose median counts (batched peers know no runs); with --sequences several sequences decode side by
side after 16 tokens, with --depth one after so many.
The figures are medians of the rounds, and of each round's ratio. With --ceilings each round also
measures what the machine allows at most: reading experts, and the inner loop of Shoal's instruction
set; --read-gb and --gop say what a decoded token reads and what a prompt's token computes.
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
    if args.depth:
        tests = ["-p", "0", "-n", "0", "-gp", f"{args.depth},{args.gen}"]
    else:
        tests = ["-p", str(args.prompt), "-n", str(args.gen)]
    out = run([args.peer, "-m", args.model, *tests, "-t", str(args.threads), "-r", str(args.runs), "-o", "json",
               *shlex.split(args.peer_args)])
    results = json.loads(out[out.index("["):])
    speeds = {result["n_gen"] > 0: statistics.median(result["samples_ts"]) for result in results}
    return {"decode" if gen else "prefill": speed for gen, speed in speeds.items()}


def time_peer_batched(args):
    out = run([args.peer, "-m", args.model, "-npp", "16", "-ntg", str(args.gen), "-npl", str(args.sequences),
               "-t", str(args.threads), "-c", "4096", *shlex.split(args.peer_args)], stderr=subprocess.STDOUT)
    row = [line for line in out.splitlines() if line.startswith("|")][-1].split("|")
    return {"decode": float(row[8])}  # S_TG: tokens generated a second, all sequences together.


def time_shoal(args, kinds):
    more = []
    if args.sequences:
        more = ["--sequences", str(args.sequences), "--tokens", "constant", "--depth", "16"]
    elif args.depth:
        more = ["--depth", str(args.depth), "--ctx-size", str(args.depth + args.gen + 64)]
    prompt = args.prompt if "prefill" in kinds else 1
    report = json.loads(run([args.shoal, "bench", args.model, "--prompt", str(prompt), "--gen", str(args.gen),
                             "--threads", str(args.threads), "--runs", str(args.runs), "--json", *more]))
    return {kind: report[f"{kind}_tokens_per_s"]["median"] for kind in kinds}, report["isa"]


def limits(args, isa):
    """Tokens a second that the machine allows at most at this moment."""
    loop = f"InnerLoop/{isa}/minima" if args.minima else f"InnerLoop/{isa}"
    loop += f"/real_time/threads:{args.threads}"
    out = json.loads(run([args.ceilings, f"--benchmark_filter=^{loop}$|^ReadExperts/{args.threads}/",
                          "--benchmark_format=json"]))
    gops, read = (next(row[counter] for row in out["benchmarks"] if counter in row) for counter in ("Gop/s", "GB/s"))
    return {"prefill": gops / args.gop, "decode": read / args.read_gb}


def spread(name, values):
    return f"{name} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--peer", required=True, help="llama-bench of the peer, or llama-batched-bench")
    parser.add_argument("--peer-args", default="", help="further arguments for it (default: none)")
    parser.add_argument("--shoal", default="build/shoal", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--prompt", type=int, default=512, help="default: %(default)s")
    parser.add_argument("--gen", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--depth", type=int, default=0, help="decode after so many tokens, nothing else (default: no)")
    parser.add_argument("--sequences", type=int, default=0, help="decode so many side by side, nothing else (default: no)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=1,
                        help="of each program in a round; their median is its figure; default: %(default)s")
    parser.add_argument("--ceilings", help="ceilings_bench, run in every round (default: not)")
    parser.add_argument("--minima", action="store_true", help="weights have minima: Q4_K, Q5_K (default: no)")
    parser.add_argument("--read-gb", type=float, default=0.697, help="a decoded token reads (default: %(default)s)")
    parser.add_argument("--gop", type=float, default=2.15, help="a token of the prompt computes (default: %(default)s)")
    args = parser.parse_args()
    rounds = []
    for i in range(args.rounds):
        peer = time_peer_batched(args) if args.sequences else time_peer(args)
        shoal, isa = time_shoal(args, list(peer))
        rounds.append((peer, shoal, limits(args, isa) if args.ceilings else {}))
        print(f"round {i + 1} of {args.rounds}: peer {peer}, shoal {shoal}, limit {rounds[-1][2]}", file=sys.stderr)
    for kind in rounds[0][0]:
        peer, shoal, limit = ([figures[kind] for figures in column if kind in figures] for column in zip(*rounds))
        line = (f"{kind}: shoal {statistics.median(shoal):.1f}, peer {statistics.median(peer):.1f} tokens/s; "
                + spread("ratio", [s / p for s, p in zip(shoal, peer)]))
        if limit:
            line += "; " + spread("of the limit", [s / most for s, most in zip(shoal, limit)])
            line += f", peer {statistics.median(p / most for p, most in zip(peer, limit)):.2f}"
        print(line)


if __name__ == "__main__":
    main()
