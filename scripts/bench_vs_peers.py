#!/usr/bin/env python3
"""Benchmarks precis against its Python peers: the same jobs on the same model, alternating, each in a separate process.

    bench_vs_peers.py --peer-python PYTHON --peer-script peer_speed.py --model GGUF_OR_FOLDER --peer-model FOLDER
                      [--official DIR] [--rounds 5] [--dtype bfloat16] [--jobs ...] [--methods ...] --out FILE.jsonl

Both sides' results are written to --out, with their round. The table on standard output uses that file alone
(`--table FILE.jsonl` prints it again). A time ratio is peer / precis of one round: above 1, precis is faster.
Keep the machine otherwise idle.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

QUESTIONS = 5  # per memory in e2e_qa
SEGMENT = 256  # context of the peers' pic and icae training steps

# job, batch, context, precis method, (implementation, method) of the peer
PAIRS = [
    ("prefill", 1, 512, "full", ("hf", "full")),
    ("prefill", 8, 512, "full", ("hf", "full")),
    ("decode", 1, 128, "full", ("hf", "generate")),
    ("compress", 1, 512, "pic", ("hf", "pic")),
    ("compress", 1, 512, "icae", ("hf", "icae")),
    ("compress", 1, 512, "icae", ("official", "icae")),
    ("compress", 1, 512, "500x", ("official", "500x")),
    ("compress", 1, 512, "sac", ("official", "sac")),
    ("compress", 1, 512, "comprexit", ("official", "comprexit")),
    ("train_step", 4, SEGMENT, "pic", ("hf", "pic")),
    ("train_step", 4, SEGMENT, "icae", ("hf", "icae")),
    ("train_step", 4, 512, "icae", ("official", "icae")),
    ("train_step", 4, 512, "500x", ("official", "500x")),
    ("train_step", 4, 512, "sac", ("official", "sac")),
    ("train_step", 4, 512, "comprexit", ("official", "comprexit")),
] + [("e2e_qa", 1, 512, method, ("hf", "full")) for method in ("pic", "sac", "500x", "icae", "comprexit")]


def last_json(command):
    run = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return {"error": (run.stderr.strip().splitlines() or ["no output"])[-1][:300]}
    return json.loads(lines[-1])


def ours(args, job, batch, context, method):
    return last_json([args.precis, "--quiet", "bench", f"model.path={args.model}", f'bench.jobs=["{job}"]',
                      f'bench.methods=["{method}"]', f"bench.batch=[{batch}]", f"bench.train_batch={batch}",
                      f"bench.context=[{context}]", f"bench.ratio=[{args.ratio}]", f'bench.dtype=["{args.dtype}"]',
                      f"bench.questions={QUESTIONS}", f"bench.repeat={args.repeat}", "bench.warmup=1",
                      f"model.decode_dtype={args.decode_dtype}", f"model.device={args.device}",
                      f"run.threads={args.threads}"])


def theirs(args, job, batch, context, peer):
    implementation, method = peer
    script = [args.peer_script]
    if args.device == "cuda":
        script = [os.path.join(os.path.dirname(__file__), "peer_speed_gpu.py"), os.path.dirname(args.peer_script)]
    command = [args.peer_python, *script, "--model", args.peer_model, "--job", job,
               "--method", f"{implementation}:{method}", "--batch", str(batch), "--train-batch", str(batch),
               "--context", str(context), "--ratio", str(args.ratio), "--dtype", args.peer_dtype or args.dtype,
               "--repeat", str(args.repeat), "--warmup", "1", "--threads", str(args.threads)]
    return last_json(command + (["--official", args.official] if args.official else []))


def measure(args):
    wanted = [p for p in PAIRS if p[0] in args.jobs.split(",") and (not args.methods or p[3] in args.methods.split(","))
              and (p[4][0] != "official" or args.official)]
    with open(args.out, "a", encoding="utf-8") as out:
        for round_number in range(args.rounds):
            for job, batch, context, method, peer in wanted:
                pair = {"job": job, "batch": batch, "context": context, "method": method, "peer": ":".join(peer)}
                sides = [("precis", lambda: ours(args, job, batch, context, method)),
                         ("peer", lambda: theirs(args, job, batch, context, peer))]
                for side, run in sides if round_number % 2 == 0 else reversed(sides):
                    out.write(json.dumps({"round": round_number, "pair": pair, "side": side, **run()}) + "\n")
                    out.flush()
            print(f"round {round_number + 1} of {args.rounds} done", file=sys.stderr)


def seconds(line, job):
    """Seconds per run, or per decoded token. The peer answers one question; five questions count as five runs."""
    if job == "decode":
        return 1 / line["decode_tokens_per_s"]
    return line["median_s"] * (QUESTIONS if job == "e2e_qa" and line["side"] == "peer" else 1)


def table(path):
    rounds, order = {}, []
    with open(path, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            key = tuple(line["pair"].values())
            if key not in rounds:
                rounds[key] = {}
                order.append(key)
            rounds[key].setdefault(line["round"], {})[line["side"]] = line
    print("| job | batch x context | precis | peer | precis s | peer s | times faster, median [lowest, highest] | "
          "peak memory, MB: precis / peer | memory ratio |\n|---|---|---|---|---|---|---|---|---|")
    for key in order:
        job, batch, context, method, peer = key
        both = [r for r in rounds[key].values() if len(r) == 2]
        failed = [s["error"] for r in both for s in r.values() if "error" in s]
        if failed or not both:
            print(f"| {job} | {batch} x {context} | {method} | {peer} | | | {failed[0] if failed else 'no round'} | | |")
            continue
        here = [seconds(r["precis"], job) for r in both]
        there = [seconds(r["peer"], job) for r in both]
        ratios = [t / h for h, t in zip(here, there)]
        peaks = [statistics.median(r[s].get("run_peak_device_mb", r[s]["peak_rss_mb"]) for r in both)
                 for s in ("precis", "peer")]
        print(f"| {job} | {batch} x {context} | {method} | {peer} | {statistics.median(here):.3f} | "
              f"{statistics.median(there):.3f} | {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}] | "
              f"{peaks[0]:.0f} / {peaks[1]:.0f} | {peaks[0] / peaks[1]:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--table", metavar="FILE", help="only print the table of this file")
    parser.add_argument("--out", default="runs/bench/vs_peers.jsonl")
    parser.add_argument("--precis", default="build/release/bin/precis")
    parser.add_argument("--model", default="models/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--peer-python")
    parser.add_argument("--peer-script")
    parser.add_argument("--peer-model")
    parser.add_argument("--official", help="checkout of the ComprExIT repository")
    parser.add_argument("--jobs", default="prefill,decode,compress,train_step,e2e_qa")
    parser.add_argument("--methods", help="only these methods of precis")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"],
                        help="cuda: run the peers with peer_speed_gpu.py and report GPU memory")
    parser.add_argument("--decode-dtype", default="same", help="model.decode_dtype of precis")
    parser.add_argument("--peer-dtype", help="the peer's dtype, if it is faster in another one")
    parser.add_argument("--ratio", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if not args.table:
        for name in ("peer_python", "peer_script", "peer_model"):
            if not getattr(args, name):
                parser.error(f"--{name.replace('_', '-')} is required to measure")
        measure(args)
    table(args.table or args.out)


if __name__ == "__main__":
    main()
