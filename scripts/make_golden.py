#!/usr/bin/env python3
"""Writes tests/golden: small golden cases from an independent implementation that shares no code with precis.

    .venv/bin/python scripts/make_golden.py          (torch 2.13.0 only; a second run writes the same files)

A tiny Llama decoder, PIC and Activation Beacon around it, in float64, from the formulas: RMSNorm, rotary embedding, softmax under an
explicit mask, LoRA. Gradients by autograd. Format: docs/golden-cases.md.
"""
import json
import pathlib
import struct

import torch

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"
LAYERS, D, HEADS, KV, HEAD, INNER, VOCAB, EPS, THETA = 2, 32, 4, 2, 8, 48, 64, 1e-5, 10000.0
TARGETS = {"q_proj": (D, HEADS * HEAD), "k_proj": (D, KV * HEAD), "v_proj": (D, KV * HEAD), "o_proj": (HEADS * HEAD, D),
           "gate_proj": (D, INNER), "up_proj": (D, INNER), "down_proj": (INNER, D)}
NAMES = {torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}


def save(path, tensors):
    """Writes a safetensors file, wide elements first."""
    order = sorted(tensors, key=lambda k: (-tensors[k].element_size(), k))
    header, offset, blobs = {}, 0, []
    for name in order:
        t = tensors[name].contiguous()
        blob = bytes(t.flatten().view(torch.uint8).tolist()) if t.numel() else b""
        header[name] = {"dtype": NAMES[t.dtype], "shape": list(t.shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def norm(x, w):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPS) * w


def rotate(x, positions):
    """x [B, T, heads, HEAD], positions [T]; half-split pairs."""
    frequency = THETA ** (-torch.arange(0, HEAD, 2, dtype=torch.float64) / HEAD)
    angle = positions.double()[:, None] * frequency
    c, s = angle.cos()[None, :, None], angle.sin()[None, :, None]
    a, b = x[..., : HEAD // 2], x[..., HEAD // 2:]
    return torch.cat([a * c - b * s, b * c + a * s], -1)


def forward(w, x, positions, mask, lora=None, scale=0.0):
    """All hidden states h^0 ... h^N, the last after the final norm. mask [T, T] bool."""
    def linear(i, name, block, y):
        out = y @ w[f"model.layers.{i}.{block}.{name}.weight"].T
        if lora is not None:
            out = out + scale * (y @ lora[f"lora.{i}.{name}.A"].T) @ lora[f"lora.{i}.{name}.B"].T
        return out

    states = [x]
    B, T, _ = x.shape
    for i in range(LAYERS):
        y = norm(x, w[f"model.layers.{i}.input_layernorm.weight"])
        q = rotate(linear(i, "q_proj", "self_attn", y).view(B, T, HEADS, HEAD), positions)
        k = rotate(linear(i, "k_proj", "self_attn", y).view(B, T, KV, HEAD), positions)
        v = linear(i, "v_proj", "self_attn", y).view(B, T, KV, HEAD)
        heads = []
        for h in range(HEADS):
            g = h // (HEADS // KV)
            score = (q[:, :, h] @ k[:, :, g].transpose(1, 2)) / HEAD ** 0.5
            heads.append(torch.softmax(score.masked_fill(~mask, float("-inf")), -1) @ v[:, :, g])
        x = x + linear(i, "o_proj", "self_attn", torch.cat(heads, -1))
        y = norm(x, w[f"model.layers.{i}.post_attention_layernorm.weight"])
        x = x + linear(i, "down_proj", "mlp", torch.nn.functional.silu(linear(i, "gate_proj", "mlp", y)) * linear(i, "up_proj", "mlp", y))
        states.append(x)
    states[-1] = norm(x, w["model.norm.weight"])
    return states


def causal(n):
    return torch.ones(n, n, dtype=torch.bool).tril()


def decoder_weights(gen):
    w = {"model.embed_tokens.weight": torch.randn(VOCAB, D, generator=gen) * 0.3, "model.norm.weight": 1 + 0.1 * torch.randn(D, generator=gen)}
    for i in range(LAYERS):
        for name in ("input_layernorm", "post_attention_layernorm"):
            w[f"model.layers.{i}.{name}.weight"] = 1 + 0.1 * torch.randn(D, generator=gen)
        for name, (n_in, n_out) in TARGETS.items():
            block = "mlp" if name in ("gate_proj", "up_proj", "down_proj") else "self_attn"
            w[f"model.layers.{i}.{block}.{name}.weight"] = torch.randn(n_out, n_in, generator=gen) * 0.2
    return w


def write_decoder(folder, w):
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", {"model_type": "llama", "hidden_act": "silu", "num_hidden_layers": LAYERS, "hidden_size": D, "intermediate_size": INNER,
                                        "num_attention_heads": HEADS, "num_key_value_heads": KV, "head_dim": HEAD, "vocab_size": VOCAB, "max_position_embeddings": 256,
                                        "rms_norm_eps": EPS, "rope_theta": THETA, "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False})
    save(folder / "model.safetensors", w)


def decoder_case(w, w64, gen):
    folder = OUT / "tiny_decoder"
    write_decoder(folder, w)
    table = w64["model.embed_tokens.weight"]
    ids = torch.randint(3, VOCAB, (2, 10), generator=gen)
    lengths = [10, 7]
    ids[1, 7:] = 0
    real = torch.tensor([[1] * 10, [1] * 7 + [0] * 3])
    expected = {}
    states = forward(w64, table[ids], torch.arange(10), causal(10))
    expected["full.logits"] = (states[-1] @ table.T) * real[:, :, None]
    for i, h in enumerate(states):
        expected[f"full.hidden.{i}"] = h * real[:, :, None]
    one = table[ids[:1]]
    rows = (one + 0.1 * torch.randn(one.shape, generator=gen).double()).float().double().requires_grad_()
    labels = torch.tensor([[-100] * 4 + ids[0, 4:].tolist()])
    logits = forward(w64, rows, torch.arange(10), causal(10))[-1] @ table.T
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], ignore_index=-100)
    expected |= {"embeds.input": rows.detach(), "embeds.logits": logits.detach(), "embeds.loss": loss.detach()[None], "embeds.grad": torch.autograd.grad(loss, rows)[0]}
    expected["cache.logits"] = expected["full.logits"][:1, 6:]
    gap = [0, 1, 2, 9, 10, 10, 4, 30, 31, 50]
    expected["offset.logits"] = forward(w64, one, torch.arange(10) + 7, causal(10))[-1] @ table.T
    expected["gap.logits"] = forward(w64, one, torch.tensor(gap), causal(10))[-1] @ table.T
    mask = causal(10)
    mask[8, 4:8] = False
    mask[9, :4] = False
    expected["mask4d.logits"] = forward(w64, one, torch.arange(10), mask)[-1] @ table.T
    tokens = ids[:1]
    for _ in range(8):
        n = tokens.shape[1]
        tokens = torch.cat([tokens, (forward(w64, table[tokens], torch.arange(n), causal(n))[-1] @ table.T)[:, -1].argmax(-1, keepdim=True)], 1)
    out = {k: v.detach().float() for k, v in expected.items()} | {"mask4d.mask": mask[None, None].to(torch.uint8), "greedy.ids": tokens[:, 10:]}
    save(folder / "expected.safetensors", out)
    span = list(range(10))
    write_json(folder / "case.json", {"name": "tiny_decoder", "inputs": {
        "full": {"ids": ids.tolist(), "attention_mask": real.tolist(), "position_ids": [span, span], "lengths": lengths},
        "embeds": {"labels": labels.tolist()}, "cache": {"ids": ids[:1].tolist(), "prefix": 6, "tail": 4},
        "offset": {"ids": ids[:1].tolist(), "position_ids": [[p + 7 for p in span]]}, "gap": {"ids": ids[:1].tolist(), "position_ids": [gap]},
        "mask4d": {"ids": ids[:1].tolist(), "position_ids": [span]}, "greedy": {"prompt": ids[:1].tolist(), "new_tokens": 8}}})


def pic_mask(text, chunk, slots):
    """[BOS] text memory, one slot per chunk: text is causal; a slot sees BOS, its own chunk and earlier slots."""
    n = 1 + text + slots
    mask = causal(n)
    for m in range(slots):
        for j in range(text):
            mask[1 + text + m, 1 + j] = j // chunk == m
    return mask


def pic_case(w, w64, gen):
    folder = OUT / "tiny_pic"
    write_decoder(folder, w)
    table = w64["model.embed_tokens.weight"]
    rank, alpha, chunk, text, bos = 3, 6.0, 4, 10, 1
    slots = -(-text // chunk)
    trained = {"memory_rows": 0.3 * torch.randn(slots, D, generator=gen), "ae_row": 0.3 * torch.randn(D, generator=gen)}
    for i in range(LAYERS):
        for name, (n_in, n_out) in TARGETS.items():
            trained[f"lora.{i}.{name}.A"] = 0.3 * torch.randn(rank, n_in, generator=gen)
            trained[f"lora.{i}.{name}.B"] = 0.3 * torch.randn(n_out, rank, generator=gen)
    trained |= {"projector.norm.weight": 1 + 0.1 * torch.randn(D, generator=gen), "projector.0.weight": 0.3 * torch.randn(D, D, generator=gen), "projector.0.bias": 0.1 * torch.randn(D, generator=gen),
                "projector.1.weight": 0.3 * torch.randn(D, D, generator=gen), "projector.1.bias": 0.1 * torch.randn(D, generator=gen)}
    t = {k: v.double().requires_grad_() for k, v in trained.items()}
    context, task = torch.randint(3, VOCAB, (2, text), generator=gen), torch.randint(3, VOCAB, (2, 5), generator=gen)
    bos_row = table[torch.full((2, 1), bos)]
    x = torch.cat([bos_row, table[context], t["memory_rows"].expand(2, -1, -1)], 1)
    n = x.shape[1]
    mask = pic_mask(text, chunk, slots)
    memory_slots = forward(w64, x, torch.arange(n), mask, t, alpha / rank)[-1][:, 1 + text:]
    y = memory_slots * torch.rsqrt((memory_slots ** 2).mean(-1, keepdim=True) + 1e-6) * t["projector.norm.weight"]
    memory = torch.nn.functional.gelu(y @ t["projector.0.weight"].T + t["projector.0.bias"]) @ t["projector.1.weight"].T + t["projector.1.bias"]
    expected, runs = {}, []
    for name, before, target in (("lm", [], task), ("ae", [t["ae_row"].expand(2, 1, -1)], torch.cat([context, torch.full((2, 1), 2)], 1))):
        rows = torch.cat([bos_row, memory] + before + [table[target[:, :-1]]], 1)
        hidden = forward(w64, rows, torch.arange(rows.shape[1]), causal(rows.shape[1]))[-1]
        logits = hidden[:, rows.shape[1] - target.shape[1]:] @ table.T
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        gradients = torch.autograd.grad(loss, list(t.values()), retain_graph=True, allow_unused=True)
        expected |= {f"{name}.loss": loss.detach().float(), f"{name}.memory": memory.detach().float(), f"{name}.slots": memory_slots.detach().float(), f"{name}.mask": mask.to(torch.uint8),
                     f"{name}.memory.positions": torch.arange(1, 1 + slots), f"{name}.next_position": torch.tensor(1 + slots), f"{name}.encoder.positions": torch.arange(n),
                     f"{name}.decoder.positions": torch.arange(rows.shape[1])}
        expected |= {f"{name}.grad.{k}": (torch.zeros_like(v) if g is None else g).detach().float() for (k, v), g in zip(t.items(), gradients)}
        runs.append({"name": name, "task": name, "context_ids": context.tolist(), "task_ids": target.tolist(), "labels": target.tolist(), "segment_length": text,
                     "gradients": {"of": "loss", "names": "grad.<trained tensor>"}})
    save(folder / "compressor.safetensors", trained)
    save(folder / "expected.safetensors", expected)
    write_json(folder / "compressor.json", {"method": "pic", "preset": "pic", "ratio": chunk, "chunk": chunk, "slots_per_chunk": 1, "prefix": 1, "layout": "append", "positions": "sequential",
                                            "memory_markers": False, "memory_rows": "per slot", "projector": "mlp", "projector_norm_eps": 1e-6, "decoder_bos": True,
                                            "lora": {"rank": rank, "alpha": alpha, "dropout": 0.0, "targets": list(TARGETS)}})
    write_json(folder / "case.json", {"case": "tiny_pic", "special_ids": {"pad": 0, "bos": bos, "eos": 2}, "runs": runs})


def read_chunk(w, x, beacon, past, t, scale):
    """One chunk of Activation Beacon: rows x [B, T, D] behind past keys and values, kept without rotation as the
    authors do; every key is rotated at its index in past + chunk. beacon [T]: these rows use the adapted q, k, v.
    Returns unrotated keys and values [B, T, KV, HEAD] of every layer."""
    B, T, _ = x.shape
    P = past[0][0].shape[1]
    mask = torch.cat([torch.ones(T, P, dtype=torch.bool), causal(T)], 1)
    made = []

    def linear(i, name, y):
        plain = y @ w[f"model.layers.{i}.self_attn.{name}.weight"].T
        return plain + beacon[:, None] * (scale * (y @ t[f"lora.{i}.{name}.A"].T) @ t[f"lora.{i}.{name}.B"].T)

    for i in range(LAYERS):
        y = norm(x, w[f"model.layers.{i}.input_layernorm.weight"])
        q = rotate(linear(i, "q_proj", y).view(B, T, HEADS, HEAD), torch.arange(P, P + T))
        k, v = linear(i, "k_proj", y).view(B, T, KV, HEAD), linear(i, "v_proj", y).view(B, T, KV, HEAD)
        made.append((k, v))
        keys, values = rotate(torch.cat([past[i][0], k], 1), torch.arange(P + T)), torch.cat([past[i][1], v], 1)
        heads = []
        for h in range(HEADS):
            g = h // (HEADS // KV)
            score = (q[:, :, h] @ keys[:, :, g].transpose(1, 2)) / HEAD ** 0.5
            heads.append(torch.softmax(score.masked_fill(~mask, float("-inf")), -1) @ values[:, :, g])
        x = x + torch.cat(heads, -1) @ w[f"model.layers.{i}.self_attn.o_proj.weight"].T
        y = norm(x, w[f"model.layers.{i}.post_attention_layernorm.weight"])
        up = torch.nn.functional.silu(y @ w[f"model.layers.{i}.mlp.gate_proj.weight"].T) * (y @ w[f"model.layers.{i}.mlp.up_proj.weight"].T)
        x = x + up @ w[f"model.layers.{i}.mlp.down_proj.weight"].T
    return made, norm(x, w["model.norm.weight"])


def beacon_case(w, w64, gen):
    folder = OUT / "tiny_beacon"
    write_decoder(folder, w)
    table = w64["model.embed_tokens.weight"]
    rank, alpha, ratio, chunk, text = 3, 6.0, 4, 8, 22
    trained = {"beacon_row": 0.3 * torch.randn(D, generator=gen), "ae_row": 0.3 * torch.randn(D, generator=gen)}
    for i in range(LAYERS):
        for name in ("q_proj", "k_proj", "v_proj"):
            n_in, n_out = TARGETS[name]
            trained[f"lora.{i}.{name}.A"] = 0.3 * torch.randn(rank, n_in, generator=gen)
            trained[f"lora.{i}.{name}.B"] = 0.3 * torch.randn(n_out, rank, generator=gen)
    t = {k: v.double().requires_grad_() for k, v in trained.items()}
    context, task = torch.randint(3, VOCAB, (2, text), generator=gen), torch.randint(3, VOCAB, (2, 5), generator=gen)
    expected, runs = {}, []
    for layout in ("interleave", "append"):
        empty = torch.zeros(2, 0, KV, HEAD, dtype=torch.float64)
        memory = [(empty, empty)] * LAYERS
        for start in range(0, text, chunk):
            ids = context[:, start:start + chunk]
            n = ids.shape[1]
            kinds = []  # a token's index, or -1: a beacon
            for j in range(n):
                kinds += [j, -1] if layout == "interleave" and ((j + 1) % ratio == 0 or j + 1 == n) else [j]
            kinds += [-1] * (-(-n // ratio) if layout == "append" else 0)
            x = torch.stack([t["beacon_row"].expand(2, D) if j < 0 else table[ids[:, j]] for j in kinds], 1)
            beacon = torch.tensor([j < 0 for j in kinds])
            made, _ = read_chunk(w64, x, beacon.double(), memory, t, alpha / rank)
            memory = [(torch.cat([K, k[:, beacon]], 1), torch.cat([V, v[:, beacon]], 1)) for (K, V), (k, v) in zip(memory, made)]
            if start == 0:
                first = len(kinds)
        M = memory[0][0].shape[1]
        for kind, before, target in (("lm", [], task), ("ae", [t["ae_row"].expand(2, 1, -1)], torch.cat([context, torch.full((2, 1), 2)], 1))):
            name = f"{layout}_{kind}"
            rows = torch.cat(before + [table[target[:, :-1]]], 1)
            hidden = read_chunk(w64, rows, torch.zeros(rows.shape[1], dtype=torch.float64), memory, t, 0.0)[1]
            labels = target if before else target[:, 1:]  # behind keys and values alone nothing predicts the first token
            loss = torch.nn.functional.cross_entropy((hidden @ table.T).flatten(0, 1), labels.flatten())
            gradients = torch.autograd.grad(loss, list(t.values()), retain_graph=True, allow_unused=True)
            expected |= {f"{name}.loss": loss.detach().float(), f"{name}.memory.positions": torch.arange(M), f"{name}.next_position": torch.tensor(M),
                         f"{name}.mask": causal(first).to(torch.uint8), f"{name}.encoder.positions": torch.arange(first),
                         f"{name}.decoder.positions": torch.arange(M, M + rows.shape[1])}
            for i, (k, v) in enumerate(memory):
                expected[f"{name}.memory.K.{i}"] = rotate(k, torch.arange(M)).transpose(1, 2).detach().float()
                expected[f"{name}.memory.V.{i}"] = v.transpose(1, 2).detach().float()
            expected |= {f"{name}.grad.{k}": (torch.zeros_like(v) if g is None else g).detach().float() for (k, v), g in zip(t.items(), gradients)}
            supervised = target.tolist() if before else [[-100] + row[1:] for row in target.tolist()]
            runs.append({"name": name, "task": kind, "layout": layout, "context_ids": context.tolist(), "task_ids": target.tolist(), "labels": supervised,
                         "gradients": {"of": "loss", "names": "grad.<trained tensor>"}})
    save(folder / "compressor.safetensors", trained)
    save(folder / "expected.safetensors", expected)
    write_json(folder / "compressor.json", {"method": "beacon", "ratio": ratio, "chunk": chunk, "carrier": "kv", "positions": "sequential",
                                            "lora": {"rank": rank, "alpha": alpha, "dropout": 0.0, "targets": ["q_proj", "k_proj", "v_proj"]}})
    write_json(folder / "case.json", {"case": "tiny_beacon", "special_ids": {"pad": 0, "bos": 1, "eos": 2}, "runs": runs})


def main():
    gen = torch.Generator().manual_seed(1)
    w = decoder_weights(gen)
    w64 = {k: v.double() for k, v in w.items()}
    decoder_case(w, w64, gen)
    pic_case(w, w64, gen)
    beacon_case(w, w64, gen)


main()
