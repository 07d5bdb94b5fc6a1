#!/usr/bin/env python3
"""Writes a golden case in tests/golden for each decoder family and each rotary scaling, from transformers itself.

    python scripts/make_golden_families.py [NAME ...]     (torch 2.13.0, transformers 4.57.3, gguf 0.19.0, safetensors)

Tiny random decoders in fp32, eager attention: logits, hidden states, cached decoding, a loss and its gradient, greedy
ids. Most cases hold the same weights as a GGUF file too. A second run writes the same files. Format: docs/golden-cases.md.
"""
import json
import math
import pathlib
import sys

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, Gemma3Config, Gemma3ForConditionalGeneration

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"
SHAPE = dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=64,
             max_position_embeddings=64, rms_norm_eps=1e-5, pad_token_id=0, bos_token_id=1, eos_token_id=2)
LONG = [1.0, 1.5, 2.5, 4.0]
# name: model_type, config, and the changes to the config.json that is written (spellings that transformers 4 lacks).
CASES = {
    "gemma3": ("gemma3_text", dict(num_hidden_layers=3, sliding_window=4, sliding_window_pattern=3, head_dim=16, query_pre_attn_scalar=24, rope_theta=1e5,
                                   rope_scaling={"rope_type": "linear", "factor": 8.0}), None),
    "gemma3_by_layer_type": ("gemma3_text", dict(layer_types=["full_attention", "sliding_attention"], sliding_window=5, head_dim=8, rope_theta=1e5, attention_bias=True,
                                                 rope_local_base_freq=500.0, rope_scaling={"rope_type": "linear", "factor": 2.0}),
                             dict(rope_theta=None, rope_local_base_freq=None, rope_scaling=None,
                                  rope_parameters={"full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e5},
                                                   "sliding_attention": {"rope_type": "default", "rope_theta": 500.0}})),
    "gemma3_vision": ("gemma3_text", dict(sliding_window=4, layer_types=["sliding_attention", "full_attention"], head_dim=8), None),
    "phi3": ("phi3", dict(sliding_window=6, partial_rotary_factor=0.5), None),
    "phi3_longrope": ("phi3", dict(original_max_position_embeddings=16, rope_scaling={"type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": LONG}), None),
    "olmo2": ("olmo2", dict(num_key_value_heads=4, tie_word_embeddings=False), None),
    "olmo2_grouped": ("olmo2", dict(attention_bias=True), None),
    "smollm3": ("smollm3", dict(num_hidden_layers=4, rope_theta=5e4), None),
    "smollm3_listed": ("smollm3", dict(no_rope_layers=[0, 1], use_sliding_window=True, sliding_window=5), None),
    "qwen3": ("qwen3", dict(head_dim=16, tie_word_embeddings=True), None),
    "qwen2_windows": ("qwen2", dict(use_sliding_window=True, sliding_window=4, max_window_layers=1, rope_scaling={"rope_type": "dynamic", "factor": 3.0}), None),
    "mistral_by_layer": ("ministral", dict(sliding_window=4, head_dim=16, layer_types=["sliding_attention", "full_attention"]), dict(model_type="mistral")),
    "llama_linear": ("llama", dict(rope_scaling={"type": "linear", "factor": 4.0}), None),
    "llama_llama3": ("llama", dict(rope_theta=500.0, rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}), None),
    "llama_yarn": ("llama", dict(rope_theta=500.0, max_position_embeddings=128, rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}), None),
    "qwen3_yarn_scaled": ("qwen3", dict(head_dim=16, rope_theta=200.0, max_position_embeddings=32,
                                        rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "beta_fast": 8.0, "beta_slow": 0.5, "truncate": False,
                                                      "mscale": 1.0, "mscale_all_dim": 0.5}), None),
}
GGUF_ARCHITECTURE = {"gemma3_text": "gemma3", "ministral": None}
WITHOUT_GGUF = {"gemma3_by_layer_type", "gemma3_vision", "smollm3_listed", "qwen2_windows", "qwen3_yarn_scaled", "mistral_by_layer"}  # no key says what they have
GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output",
              "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.gate_up_proj": "ffn_up",
              "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm"}


def tiny_model(model_type, changes):
    config = AutoConfig.for_model(model_type, **(SHAPE | changes))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    gen = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in model.named_parameters():
            middle = 1.0 if "norm" in name and model_type != "gemma3_text" else 0.0
            p.copy_(middle + torch.randn(p.shape, generator=gen) * (0.1 if p.dim() == 1 else 0.3 if "embed" in name else 0.2))
    return model


def values(model, new_tokens):
    """Inputs and expected tensors of a case, as in scripts/make_golden.py."""
    gen = torch.Generator().manual_seed(4)
    ids = torch.randint(3, SHAPE["vocab_size"], (2, 10), generator=gen)
    ids[1, 7:] = 0
    real = torch.tensor([[1] * 10, [1] * 7 + [0] * 3])
    one, ones, span = ids[:1], torch.ones(1, 10, dtype=torch.long), torch.arange(10)[None]
    expected = {}
    with torch.no_grad():
        full = model(ids, attention_mask=real, position_ids=span.expand(2, -1), use_cache=False, output_hidden_states=True)
        expected["full.logits"] = full.logits * real[:, :, None]
        for i, h in enumerate(full.hidden_states):
            expected[f"full.hidden.{i}"] = h * real[:, :, None]
        head = model(one[:, :6], attention_mask=ones[:, :6], position_ids=span[:, :6], use_cache=True)
        tail = model(one[:, 6:], attention_mask=ones, position_ids=span[:, 6:], past_key_values=head.past_key_values, use_cache=True)
        expected["cache.logits"] = tail.logits
        gap = torch.tensor([[0, 1, 2, 9, 10, 10, 4, 30, 31, 50 if model.config.max_position_embeddings > 50 else 31]])
        for name, positions in (("offset", span + 7), ("gap", gap)):
            expected[f"{name}.logits"] = model(one, attention_mask=ones, position_ids=positions, use_cache=False).logits
        tokens = one
        for _ in range(new_tokens):
            n = tokens.shape[1]
            logits = model(tokens, attention_mask=torch.ones(1, n, dtype=torch.long), position_ids=torch.arange(n)[None], use_cache=False).logits
            tokens = torch.cat([tokens, logits[:, -1].argmax(-1, keepdim=True)], 1)
        expected["greedy.ids"] = tokens[:, 10:]
        embedded = model.get_input_embeddings()(one)
    rows = (embedded + 0.1 * torch.randn(embedded.shape, generator=gen)).requires_grad_()
    labels = torch.tensor([[-100] * 4 + one[0, 4:].tolist()])
    logits = model(inputs_embeds=rows, attention_mask=ones, position_ids=span, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], ignore_index=-100)
    expected |= {"embeds.input": rows, "embeds.logits": logits, "embeds.loss": loss[None], "embeds.grad": torch.autograd.grad(loss, rows)[0]}
    inputs = {"full": {"ids": ids.tolist(), "attention_mask": real.tolist(), "position_ids": span.expand(2, -1).tolist(), "lengths": [10, 7]}, "embeds": {"labels": labels.tolist()},
              "cache": {"ids": one.tolist(), "prefix": 6, "tail": 4}, "offset": {"ids": one.tolist(), "position_ids": (span + 7).tolist()},
              "gap": {"ids": one.tolist(), "position_ids": gap.tolist()}, "greedy": {"prompt": one.tolist(), "new_tokens": new_tokens}}
    return inputs, {k: v.detach().contiguous() for k, v in expected.items()}


def interleaved(weight, heads):
    """Rows of q or k for rotation by interleaved pairs, as llama.cpp stores them in some architectures."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def gguf_name(name, model_type):
    stem, end = name.rsplit(".", 1)
    outside = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    if stem in outside:
        return f"{outside[stem]}.{end}"
    _, _, layer, rest = stem.split(".", 3)
    if rest == "post_attention_layernorm":
        own = "post_attention_norm" if model_type in ("gemma3_text", "olmo2") else "ffn_norm"
    else:
        own = GGUF_NAMES[rest]
    return f"blk.{layer}.{own}.{end}"


def write_rope(w, c, model):
    scaling = c.rope_scaling or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    rotary = model.model.rotary_emb
    if kind == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR), w.add_rope_scaling_factor(scaling["factor"])
    elif kind == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN), w.add_rope_scaling_factor(scaling["factor"])
        w.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    elif kind == "llama3":  # as factors of the frequencies
        plain = 1.0 / c.rope_theta ** (torch.arange(0, rotary.inv_freq.numel() * 2, 2, dtype=torch.float32) / (rotary.inv_freq.numel() * 2))
        w.add_tensor("rope_freqs.weight", (plain / rotary.inv_freq).numpy().astype(np.float32))
    elif kind == "longrope":
        w.add_rope_scaling_orig_ctx_len(c.original_max_position_embeddings)
        w.add_rope_scaling_attn_factors(rotary.attention_scaling)
        w.add_tensor("rope_factors_long.weight", np.array(scaling["long_factor"], np.float32))
        w.add_tensor("rope_factors_short.weight", np.array(scaling["short_factor"], np.float32))


def write_gguf(path, model, model_type):
    c, arch = model.config, GGUF_ARCHITECTURE.get(model_type, model_type)
    head = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(c.num_hidden_layers), w.add_context_length(c.max_position_embeddings), w.add_embedding_length(c.hidden_size), w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads), w.add_head_count_kv(c.num_key_value_heads), w.add_layer_norm_rms_eps(c.rms_norm_eps), w.add_rope_freq_base(c.rope_theta)
    w.add_rope_dimension_count(int(head * getattr(c, "partial_rotary_factor", 1.0))), w.add_key_length(head), w.add_value_length(head)
    if model_type == "gemma3_text":
        w.add_sliding_window(c.sliding_window), w.add_uint32("gemma3.attention.sliding_window_pattern", 3)
    if model_type == "phi3":
        w.add_sliding_window(c.sliding_window or 0)
    write_rope(w, c, model)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and c.tie_word_embeddings:
            continue
        a = tensor.numpy().astype(np.float32)
        if model_type == "gemma3_text" and name.endswith("norm.weight"):
            a = a + 1
        if model_type in ("llama", "smollm3"):
            a = interleaved(a, c.num_attention_heads) if "q_proj" in name else interleaved(a, c.num_key_value_heads) if "k_proj" in name else a
        if model_type == "gemma3_text" and name.endswith("q_norm.weight"):  # llama.cpp has no key for query_pre_attn_scalar
            a = a * math.sqrt(head / c.query_pre_attn_scalar)
        w.add_tensor(gguf_name(name, model_type), np.ascontiguousarray(a))
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file(), w.close()


def write_with_vision(folder, model):
    """The same decoder inside a model that also reads images, as transformers saves it."""
    vision = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=8, patch_size=4)
    whole = Gemma3ForConditionalGeneration(Gemma3Config(text_config=model.config.to_dict(), vision_config=vision, mm_tokens_per_image=1))
    whole.model.language_model.load_state_dict(model.model.state_dict())
    whole.save_pretrained(folder)
    (folder / "generation_config.json").unlink()


def write_text_model(folder, model, respelled):
    tensors = {k: v.contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight" or not model.config.tie_word_embeddings}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {k: v for k, v in (model.config.to_dict() | (respelled or {})).items() if v is not None or k in ("sliding_window",)}
    (folder / "config.json").write_text(json.dumps({k: config[k] for k in sorted(config) if not k.startswith("_")}, indent=1) + "\n")


def write_case(name):
    model_type, changes, respelled = CASES[name]
    folder, model = OUT / name, tiny_model(model_type, changes)
    folder.mkdir(parents=True, exist_ok=True)
    if name == "gemma3_vision":
        write_with_vision(folder, model)
    else:
        write_text_model(folder, model, respelled)
    inputs, expected = values(model, 12 if "longrope" in name else 8)
    save_file(expected, folder / "expected.safetensors")
    (folder / "case.json").write_text(json.dumps({"name": name, "inputs": inputs}) + "\n")
    if name not in WITHOUT_GGUF:
        write_gguf(folder / "model.gguf", model, model_type)


for case in sys.argv[1:] or CASES:
    write_case(case)
