#!/usr/bin/env python3
"""Runs the peers' timing script on a GPU: all tensors are created there, and every timed run synchronises.

    peer_speed_gpu.py FOLDER_WITH_peer_speed.py [options of peer_speed.py]
"""
import json
import os
import sys

os.environ.setdefault("PEERS", os.path.abspath(sys.argv[1]))  # also for child processes
sys.path.insert(0, os.environ["PEERS"])
import peer_speed  # noqa: E402

peer_speed.__file__ = os.path.abspath(__file__)  # its child processes run this script


def on_gpu(task):
    import torch

    torch.set_default_device("cuda")
    randint, build = torch.randint, peer_speed.build

    class Autocast(torch.autocast):
        def __init__(self, device_type, *args, **kwargs):
            super().__init__(device_type.replace("cpu", "cuda"), *args, **kwargs)

    # The same random tokens as on the CPU, and autocast for the GPU.
    torch.randint = lambda *args, **kwargs: randint(*args, device="cpu", **kwargs).cuda()
    torch.autocast = Autocast

    def waiting(run):
        def timed():
            out = run()
            torch.cuda.synchronize()
            return out

        return timed

    def built(spec):
        run, units, extra = build(spec)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        if "_first" in extra:
            extra["_first"] = waiting(extra["_first"])

        def counted():
            run()
            torch.cuda.synchronize()
            extra["run_peak_device_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)

        extra["device"] = torch.cuda.get_device_name()
        return counted, units, extra

    peer_speed.build = built
    peer_speed.worker(task)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--worker":
        on_gpu(json.loads(sys.argv[2]))
    else:
        del sys.argv[1]
        peer_speed.main()
