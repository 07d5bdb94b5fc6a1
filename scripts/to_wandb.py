#!/usr/bin/env python3
"""Sends a training run to Weights & Biases, and follows it while it is going.

  scripts/to_wandb.py RUN [--project NAME] [--name NAME] [--once]

Reads RUN/config.json and RUN/metrics.jsonl; the run itself needs no network and knows nothing of this. --once sends
what is there and ends; else the script waits for new lines until the run has its export. Started again, it continues
the same W&B run (RUN/wandb.json has its id) behind the last step that was sent. Needs `pip install wandb`;
WANDB_MODE=offline keeps everything in files.
"""

import argparse
import json
import pathlib
import sys
import time


def new_lines(path, offset):
    """Complete lines of the file from `offset` on, and where they end. A resumed run may have made the file shorter."""
    data = path.read_bytes()
    if offset > len(data):
        offset = 0
    end = data.rfind(b"\n", offset) + 1
    return [json.loads(line) for line in data[offset:end].splitlines() if line.strip()], max(end, offset)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--project", default="precis")
    parser.add_argument("--name", help="default: the run folder's name")
    parser.add_argument("--once", action="store_true", help="send what is there and end")
    parser.add_argument("--interval", type=float, default=10, help="seconds between looks at the file")
    options = parser.parse_args()
    metrics, config = options.run / "metrics.jsonl", options.run / "config.json"
    if not config.exists():
        sys.exit(f"to_wandb: {config}: no such file; expected a run folder of precis train")
    try:
        import wandb
    except ImportError:
        sys.exit("to_wandb: the package wandb is not installed; pip install wandb")

    state_file = options.run / "wandb.json"
    state = json.loads(state_file.read_text()) if state_file.exists() else {"id": None, "sent": {}}
    run = wandb.init(project=options.project, name=options.name or options.run.resolve().name, id=state["id"],
                     resume="allow" if state["id"] else None, config=json.loads(config.read_text()))
    offset = 0
    while True:
        is_last = options.once or (options.run / "compressor" / "compressor.json").exists()
        lines, offset = new_lines(metrics, offset) if metrics.exists() else ([], 0)
        for line in lines:
            if line["step"] <= state["sent"].get(line["event"], -1):
                continue
            group = "eval" if line["event"] == "eval" else "train"
            values = {f"{group}/{key}": value for key, value in line.items()
                      if isinstance(value, (int, float)) and key != "step"}
            run.log(values, step=line["step"])
            state["sent"][line["event"]] = line["step"]
        state["id"] = run.id
        state_file.write_text(json.dumps(state))
        if is_last:
            break
        time.sleep(options.interval)
    run.finish()


if __name__ == "__main__":
    main()
