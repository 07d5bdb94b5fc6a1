"""Compresses texts into short memories that a frozen language model reads in their place.

    model = AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32)
    compressor = Compressor.from_pretrained(FOLDER, model, AutoTokenizer.from_pretrained(BASE_MODEL))
    memory = compressor.compress(text)
    print(compressor.answer(memory, "Who founded the company?", max_new_tokens=32))

FOLDER is what `precis export --to transformers` wrote: this file, compressor.json (settings), compressor.safetensors
(trained tensors) and, if the method has them, adapter_model.safetensors (LoRA in PEFT's format). This file needs torch,
safetensors and transformers 5.2 or newer.

Letters: n segments of L tokens in one pass, P rows of BOS in front of each (0 or 1), M memory slots, S = P + L + M
rows, ratio r, chunk length c, g = c / r slots per chunk, N layers, D hidden size, K key/value heads, d head width.
Part of precis (Apache-2.0), whose docs/methods.md has the formulas.
"""

import inspect
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache

SEGMENTS_AT_ONCE = 16


@dataclass
class Memory:
    """A compressed text: soft-prompt rows, or the keys and values of all layers."""

    position_ids: Tensor  # int64 [M]: the model's positions of the entries
    segments: Tensor  # int64 [M]: segment of each entry
    next_position: int  # position of the first row behind the memory
    source_tokens: int
    rows: Tensor | None = None  # [M, D]
    layers: tuple[tuple[Tensor, Tensor], ...] = ()  # N x (keys already rotated, values), each [K, M, d]


class Compressor:
    """What all methods share. `from_pretrained` makes the class of the folder's method."""

    def __init__(
        self,
        settings: dict[str, Any],
        tensors: dict[str, Tensor],
        adapters: dict[str, Tensor],
        model: Any,
        tokenizer: Any = None,
        ratio: int | None = None,
    ) -> None:
        self.settings, self.model, self.tokenizer = settings, model.eval(), tokenizer
        self.decoder = model.get_decoder()
        self.embed = model.get_input_embeddings()
        weight = self.embed.weight
        self.device, self.dtype = weight.device, weight.dtype
        self.tensors = {name: tensor.to(self.device) for name, tensor in tensors.items()}  # fp32
        self.adapters = {name: tensor.to(self.device, self.dtype) for name, tensor in adapters.items()}
        self.ratio = settings["ratios"][0] if ratio is None else ratio
        if self.ratio not in settings["ratios"]:
            raise ValueError(f"trained for ratios {settings['ratios']}, not for {ratio}")
        self.check_model()

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, model: Any, tokenizer: Any = None, ratio: int | None = None
    ) -> "Compressor":
        """model: the base model, a causal language model of transformers, with eager or sdpa attention.

        tokenizer: the base model's. Without one, texts are token ids. ratio: one of those that were trained; default:
        the first.
        """
        folder = Path(folder)
        settings = json.loads((folder / "compressor.json").read_text())
        if settings.get("format") != "precis-transformers" or settings["format_version"] != 1:
            raise ValueError(f"{folder}: not a compressor that this file can read")
        tensors = load_file(folder / "compressor.safetensors")
        adapters = load_file(folder / "adapter_model.safetensors") if settings["lora"] else {}
        return METHODS[settings["method"]](settings, tensors, adapters, model, tokenizer, ratio)

    def check_model(self) -> None:
        if tuple(int(part) for part in transformers.__version__.split(".")[:2]) < (5, 2):
            raise ImportError(f"transformers 5.2 or newer is needed, found {transformers.__version__}")
        config = self.decoder.config
        if config._attn_implementation not in ("eager", "sdpa"):
            raise ValueError(f"load the model with eager or sdpa attention, not {config._attn_implementation}")
        ours = {
            "hidden": config.hidden_size,
            "layers": config.num_hidden_layers,
            "kv_heads": config.num_key_value_heads,
            "head_dim": getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        }
        base = self.settings["base_model"]
        for name, size in ours.items():
            if base[name] != size:
                raise ValueError(f"another base model than {base['name']}: {name} is {size}, expected {base[name]}")

    # Compressing.

    @torch.no_grad()
    def compress(self, text: str | Sequence[int]) -> Memory:
        """text: a text, or its token ids without BOS. It is cut into segments, which are compressed alone."""
        if isinstance(text, str):
            text = self.settings["templates"]["context"].replace("{context}", text)
        ids = self.token_ids(text)
        if not ids:
            raise ValueError("an empty text cannot be compressed")
        if self.settings["context_bos"]:
            ids = [self.settings["bos_id"], *ids]
        length = self.settings["segment_length"]
        if self.settings["carrier"] == "kv" or self.settings["positions"] != "sequential":
            self.check_positions(len(ids))
        contents, positions, slots = [], [], []
        for start in range(0, len(ids), SEGMENTS_AT_ONCE * length):  # whole segments together, the rest alone
            part = ids[start : start + SEGMENTS_AT_ONCE * length]
            whole = len(part) // length * length
            for begin, end, width in ((0, whole, length), (whole, len(part), len(part) - whole)):
                if begin == end:
                    continue
                batch = torch.tensor(part[begin:end], device=self.device).view(-1, width)
                starts = start + begin + width * torch.arange(len(batch))
                content, at = self.compress_segments(batch, starts)
                contents.append(content)
                positions.append(at.flatten())
                slots += [at.shape[1]] * len(batch)
        segments = torch.arange(len(slots)).repeat_interleave(torch.tensor(slots))
        memory = Memory(torch.cat(positions), segments, self.next_position(len(ids), sum(slots)), len(ids))
        if self.settings["carrier"] == "kv":
            memory.layers = tuple((torch.cat(keys, 1), torch.cat(values, 1)) for keys, values in zip_layers(contents))
        else:
            memory.rows = torch.cat([rows.flatten(0, 1) for rows in contents])
            if self.settings["positions"] == "sequential":
                self.number_rows(memory)
        return memory

    def compress_segments(self, ids: Tensor, starts: Tensor) -> tuple[Any, Tensor]:
        """ids [n, L] on the model's device; starts [n]: tokens of the text before each segment.

        Returns rows [n, M, D], or keys and values by layer, each [n, K, M, d]; and the entries' positions [n, M].
        """
        raise NotImplementedError

    def next_position(self, tokens: int, entries: int) -> int:
        """The position behind the memory of a text. number_rows overrides it."""
        raise NotImplementedError

    def number_rows(self, memory: Memory) -> None:
        """Numbers a soft prompt's rows from 0, BOS and the markers around each segment included."""
        segment, markers = memory.segments, int(self.settings["memory_markers"])
        row = torch.arange(len(segment)) + int(self.settings["decoder_bos"])
        memory.position_ids = row + markers * (2 * segment + 1)
        memory.next_position = int(memory.position_ids[-1]) + 1 + markers

    def bos_rows(self, n: int) -> Tensor:
        """Rows in front of each segment [n, P, D]."""
        rows = int(self.settings["encoder_bos"])
        return self.embed(torch.full((n, rows), self.settings["bos_id"], device=self.device))

    def run(self, rows: Tensor, positions: Tensor, mask: Tensor, keep_keys: bool = False, **wants: Any) -> Any:
        """The encoder over rows [n, S, D] at positions [n, S] under a mask [S, S], true = may attend."""
        smallest = torch.finfo(self.dtype).min
        bias = torch.zeros(mask.shape, dtype=self.dtype).masked_fill(~mask, smallest)
        cache = {cache_name(self.decoder): DynamicCache()} if keep_keys else {}
        with self.adapted():
            output = self.decoder(
                inputs_embeds=rows,
                position_ids=positions.to(self.device).expand(len(rows), -1),
                attention_mask=bias.to(self.device).expand(len(rows), 1, -1, -1),
                use_cache=keep_keys,
                **cache,
                **wants,
            )
        return next(iter(cache.values())) if keep_keys else output

    def run_for_keys(self, rows: Tensor, positions: Tensor, mask: Tensor, kept: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the rows `kept`, by layer, each [n, K, M, d]."""
        layers = self.run(rows, positions, mask, keep_keys=True).layers
        kept = kept.to(self.device)
        return [(layer.keys.index_select(2, kept), layer.values.index_select(2, kept)) for layer in layers]

    @contextmanager
    def adapted(self) -> Iterator[None]:
        """LoRA: W x + alpha / rank B A x in the adapted linear layers."""
        hooks = []
        prefix = "base_model.model.model."
        for name, a in self.adapters.items():
            if not name.endswith(".lora_A.weight"):
                continue
            b = self.adapters[name.replace("lora_A", "lora_B")] * (
                self.settings["lora"]["alpha"] / self.settings["lora"]["rank"]
            )
            linear = self.decoder.get_submodule(name.removeprefix(prefix).removesuffix(".lora_A.weight"))
            hooks.append(
                linear.register_forward_hook(
                    lambda module, inputs, output, a=a, b=b: (
                        output + functional.linear(functional.linear(inputs[0], a), b)
                    )
                )
            )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def project(self, rows: Tensor, base: Tensor | None = None) -> Tensor:
        """The projector between the encoder's rows and the memory; `residual` adds `base`."""
        if self.settings["projector"] == "none":
            return rows
        t, made = self.tensors, rows.float()
        if "projector.norm.weight" in t:
            made = functional.rms_norm(made, made.shape[-1:], t["projector.norm.weight"], 1e-6)
        made = functional.gelu(functional.linear(made, t["projector.0.weight"], t["projector.0.bias"]))
        made = functional.linear(made, t["projector.1.weight"], t["projector.1.bias"])
        return base.float() + made if self.settings["projector"] == "residual" else made

    # Reading a memory.

    @torch.no_grad()
    def inputs(self, memory: Memory, prompt: str | Sequence[int]) -> dict[str, Any]:
        """What `model.generate(**inputs)` takes: the memory and a prompt behind it, a batch of one.

        With keys and values the cache is filled by `generate`: make the inputs again for the next prompt.
        """
        rows, positions, at = [], [], memory.next_position

        def push(row: Tensor, position: int) -> None:
            rows.append(row.to(self.device, self.dtype))
            positions.append(position)

        def push_token(token: int, position: int) -> None:
            push(self.embed(torch.tensor(token, device=self.device)), position)

        if memory.rows is not None:
            if self.settings["decoder_bos"]:
                push_token(self.settings["bos_id"], 0)
            last = len(memory.rows) - 1
            for j, (row, position) in enumerate(zip(memory.rows, memory.position_ids.tolist(), strict=True)):
                begins = j == 0 or memory.segments[j] != memory.segments[j - 1]
                ends = j == last or memory.segments[j] != memory.segments[j + 1]
                if self.settings["memory_markers"] and begins:
                    push(self.tensors["mem_begin_row"], position - 1)
                push(row, position)
                if self.settings["memory_markers"] and ends:
                    push(self.tensors["mem_end_row"], position + 1)
        elif self.settings["decoder_bos"]:
            push_token(self.settings["bos_id"], at)
            at += 1
        if "lm_row" in self.tensors:  # SAC: asks for what follows the text
            push(self.tensors["lm_row"], at)
            at += 1
        for t, token in enumerate(self.token_ids(prompt)):
            push_token(token, at + t)
        if not rows:
            raise ValueError("nothing follows the memory: the prompt is empty")
        self.check_positions(max(positions) + 1)
        embeds, position_ids, cache = torch.stack(rows), torch.tensor(positions), {}
        if memory.layers:
            filled = DynamicCache()
            for i, (keys, values) in enumerate(memory.layers):
                filled.update(keys[None].to(self.device, self.dtype), values[None].to(self.device, self.dtype), i)
            cache = {cache_name(self.model): filled}
            entries = len(memory.position_ids)  # generate skips as many rows as are cached
            embeds = torch.cat([embeds.new_zeros(entries, embeds.shape[1]), embeds])
            position_ids = torch.cat([memory.position_ids, position_ids])
        position_ids = position_ids[None].to(self.device)
        return {
            "inputs_embeds": embeds[None],
            "position_ids": position_ids,
            "attention_mask": torch.ones_like(position_ids),
            **cache,
        }

    def generate(self, memory: Memory, prompt: str | Sequence[int], **options: Any) -> str | list[int]:
        """Continues `prompt` behind the memory: a text, or without a tokenizer the new ids without the end token.

        options: those of `model.generate`. Greedy if they do not say otherwise.
        """
        ends = self.settings["end_ids"]
        defaults = {"do_sample": False, "eos_token_id": ends, "pad_token_id": ends[0]} if ends else {"do_sample": False}
        ids = self.model.generate(**self.inputs(memory, prompt), **{**defaults, **options})[0].tolist()
        ids = ids[:-1] if ids and ids[-1] in ends else ids
        return ids if self.tokenizer is None else self.tokenizer.decode(ids)

    def answer(self, memory: Memory, question: str, **options: Any) -> str:
        """The answer to a question, asked as in training."""
        if self.tokenizer is None:
            raise ValueError("answer needs a tokenizer")
        templates = self.settings["templates"]
        text = self.generate(memory, templates["query"].replace("{question}", question), **options)
        return text.split("\n")[0] if templates["answer_end"] == "newline" else text

    def token_ids(self, text: str | Sequence[int]) -> list[int]:
        if not isinstance(text, str):
            return list(text)
        if self.tokenizer is None:
            raise ValueError("a text needs a tokenizer; without one, pass token ids")
        return self.tokenizer.encode(text, add_special_tokens=False)

    def check_positions(self, count: int) -> None:
        limit = self.settings["base_model"]["max_positions"]
        if count > limit:
            raise ValueError(f"the model has {limit} positions, {count} are needed")


class MemoryTokens(Compressor):
    """pic, icae, 500x: learned memory rows behind the text, in one pass under a block-wise mask."""

    def compress_segments(self, ids: Tensor, starts: Tensor) -> tuple[Any, Tensor]:
        n, L = ids.shape
        P, kv = int(self.settings["encoder_bos"]), self.settings["carrier"] == "kv"
        c, g, M = self.shape(L)
        rows = torch.cat([self.bos_rows(n), self.embed(ids), self.memory_rows(M, g).expand(n, -1, -1)], 1)
        at = self.positions(P, L, M, c, g)  # [S]; those of keys and values continue over the segments of a text
        mask, slots = self.mask(P, L, M, c, g), torch.arange(P + L, P + L + M)
        places = at[slots] + starts[:, None]
        if kv:
            return self.run_for_keys(rows, at + starts[:, None], mask, slots), places
        made = self.run(rows, at[None], mask).last_hidden_state[:, P + L :]
        means = run_means(self.embed(ids), self.ratio) if self.settings["projector"] == "residual" else None
        return self.project(made, means), places

    def next_position(self, tokens: int, entries: int) -> int:
        slots = entries if self.settings["positions"] == "sequential" else 0
        return int(self.settings["encoder_bos"]) + tokens + slots

    def shape(self, L: int) -> tuple[int, int, int]:
        """c, g and M of a segment. Without chunks, the whole segment is one."""
        r, chunk = self.ratio, self.settings["chunk"]
        if self.settings["mask"]["memory_to_text"] == "global" and chunk == 0:
            M = self.settings["slots"] or -(-L // r)
            return L, M, M
        c = chunk or r
        return c, c // r, L // c * (c // r) + -(-(L % c) // r)

    def memory_rows(self, M: int, g: int) -> Tensor:
        """The learned row of each slot [M, D]."""
        table, slot = self.tensors["memory_rows"].to(self.dtype), torch.arange(M, device=self.device)
        kind = self.settings["memory_rows"]
        if kind == "per_slot" and M > len(table):
            raise ValueError(f"a segment has {M} slots, and only {len(table)} rows were learned")
        return table[slot * 0 if kind == "shared" else slot % g if kind == "per_group" else slot]

    def mask(self, P: int, L: int, M: int, c: int, g: int) -> Tensor:
        """Row i sees itself, and row j if this says so (methods.md 2.1). bool [S, S]."""
        rule, T = self.settings["mask"], P + L
        row = torch.arange(T + M)
        text, memory = row[:T], row[T:]
        text_chunk = torch.where(text < P, -1, (text - P) // c)
        memory_chunk = (memory - T) // g
        see = torch.eye(T + M, dtype=torch.bool)
        earlier_text = text[None] <= text[:, None]
        if rule["text_scope"] == "chunk":
            earlier_text &= (text < P)[None] | (text_chunk[None] == text_chunk[:, None])
        see[:T, :T] = earlier_text
        if rule["text_sees_earlier_memory"]:
            see[:T, T:] = memory_chunk[None] < text_chunk[:, None]
        own, other = memory_chunk[:, None], text_chunk[None, P:]
        see[T:, :P] = rule["memory_sees_prefix"]
        see[T:, P:T] = {
            "own_chunk": other == own,
            "up_to": other <= own,
            "window": (other <= own) & (other >= own - rule["window"]),
            "global": torch.ones(M, L, dtype=torch.bool),
        }[rule["memory_to_text"]]
        earlier_memory = memory[None] <= memory[:, None]
        see[T:, T:] = {
            "causal_all": earlier_memory,
            "own_group": earlier_memory & (memory_chunk[None] == own),
            "self_only": memory[None] == memory[:, None],
        }[rule["memory_to_memory"]]
        return see

    def positions(self, P: int, L: int, M: int, c: int, g: int) -> Tensor:
        """Encoder positions of prefix, text and memory, in this order [S]."""
        scheme, T = self.settings["positions"], P + L
        chunks = range(-(-L // c))
        if scheme == "sequential":
            if self.settings["layout"] == "append":
                return torch.arange(T + M)
            order = list(range(P))  # each chunk's memory follows its chunk
            for k in chunks:
                order += range(P + k * c, min(P + (k + 1) * c, T))
                order += range(T + k * g, min(T + (k + 1) * g, T + M))
            return torch.tensor(order).argsort()
        places = list(range(T))
        for k in chunks:
            first, last, slots = P + k * c, min(P + (k + 1) * c, T) - 1, min(g, M - k * g)
            places += epl_positions(first, last, slots) if scheme == "epl" else [last] * slots
        return torch.tensor(places)


class Sac(Compressor):
    """SAC: every r-th token is an anchor, marked by a learned row; the anchors' keys and values are the memory."""

    def compress_segments(self, ids: Tensor, starts: Tensor) -> tuple[Any, Tensor]:
        L = ids.shape[1]
        anchors = torch.arange((self.ratio - 1) // 2, L, self.ratio)
        if len(anchors) == 0:
            anchors = torch.zeros(1, dtype=torch.long)
        rows = self.embed(ids)
        if "anchor_rows" in self.tensors:
            rows = rows.index_add(
                1,
                anchors.to(self.device),
                self.tensors["anchor_rows"][: len(anchors)].to(self.dtype).expand(len(ids), -1, -1),
            )
        attention = self.settings["sac"]["attention"]
        mask = torch.ones(L, L, dtype=torch.bool)
        if attention != "full":
            mask = mask.tril()
        if attention == "anchors":
            mask[anchors] = True
        positions = 1 + torch.arange(L) + starts[:, None]
        return self.run_for_keys(rows, positions, mask, anchors), positions[:, anchors]

    def next_position(self, tokens: int, entries: int) -> int:
        return tokens


class MeanPool(Compressor):
    """Mean pooling: the means of the encoder's rows over runs of r tokens."""

    def compress_segments(self, ids: Tensor, starts: Tensor) -> tuple[Any, Tensor]:
        n, L = ids.shape
        rows = torch.cat([self.bos_rows(n), self.embed(ids)], 1)
        S = rows.shape[1]
        states = self.run(rows, torch.arange(S)[None], torch.ones(S, S, dtype=torch.bool).tril()).last_hidden_state
        means = run_means(states[:, S - L :], self.ratio).to(self.dtype)
        ends = (self.ratio * torch.arange(1, means.shape[1] + 1)).clamp_max(L)
        return self.project(means, means), int(self.settings["decoder_bos"]) + ends - 1 + starts[:, None]

    def next_position(self, tokens: int, entries: int) -> int:
        return int(self.settings["decoder_bos"]) + tokens


class Comprexit(MeanPool):
    """ComprExIT: gates mix each token's states of all layers, optimal transport moves the tokens into slots."""

    def compress_segments(self, ids: Tensor, starts: Tensor) -> tuple[Any, Tensor]:
        L, W = ids.shape[1], self.settings["comprexit"]["window"]
        x = self.gate(self.states(ids))
        whole, slots = L // W * W, []  # whole windows together, the rest alone
        if whole > 0:
            slots.append(self.transport(x[:, :whole].unflatten(1, (-1, W)).flatten(0, 1)).unflatten(0, (len(ids), -1)))
        if whole < L:
            slots.append(self.transport(x[:, whole:])[:, None])
        rows = torch.cat([part.flatten(1, 2) for part in slots], 1)
        slot, bounds = torch.arange(rows.shape[1]), torch.tensor(self.run_bounds())
        runs = len(bounds) - 1
        ends = (slot // runs * W + bounds[slot % runs + 1]).clamp_max(L)
        return self.project(rows, rows), int(self.settings["decoder_bos"]) + ends - 1 + starts[:, None]

    def states(self, ids: Tensor) -> Tensor:
        """The frozen decoder's states up to layer k, the last one after the final norm [k + 1, n, L, D] fp32."""
        L, k = ids.shape[1], self.settings["comprexit"]["top_k_layers"]
        causal = torch.ones(L, L, dtype=torch.bool).tril()
        states = self.run(self.embed(ids), torch.arange(L)[None], causal, output_hidden_states=True).hidden_states
        if 0 <= k < len(states) - 1:
            states = (*states[:k], self.decoder.norm(states[k]))
        return torch.stack([state.float() for state in states])

    def gate(self, states: Tensor) -> Tensor:
        """One anchor per token [n, L, D] (methods.md 4.1)."""
        t, settings = self.tensors, self.settings["comprexit"]
        mixed = torch.einsum("k,knld->nld", t["gate.mix_logits"].softmax(0), states)
        q = functional.linear(mixed, t["gate.q.weight"], t["gate.q.bias"])  # [n, L, e]
        scores = torch.einsum("nld,knld->nlk", q @ t["gate.k.weight"], states) + q @ t["gate.layer_embedding"].T
        shares = (scores / (settings["gate_temperature"] * q.shape[-1] ** 0.5)).softmax(-1)
        mixture = torch.einsum("nlk,knld->nld", shares, states)
        return functional.linear(mixture, t["gate.v.weight"], t["gate.v.bias"])

    def run_bounds(self) -> list[int]:
        """First token of each run of a full window, then the window's end."""
        W = self.settings["comprexit"]["window"]
        runs = -(-W // self.ratio)
        bounds = [0]
        for j in range(runs):
            bounds.append(bounds[-1] + W // runs + int(j < W % runs))
        return bounds

    def transport(self, x: Tensor) -> Tensor:
        """The slots [n, J, D] of a window's tokens x [n, w, D] (methods.md 4.2); short windows have fewer runs."""
        settings, w = self.settings["comprexit"], x.shape[1]
        bounds = [min(bound, w) for bound in self.run_bounds()]
        tokens = [end - begin for begin, end in zip(bounds, bounds[1:]) if end > begin]  # of each run
        J = len(tokens)
        run = torch.arange(J).repeat_interleave(torch.tensor(tokens)).to(self.device)  # of each token
        slot = torch.arange(J, device=self.device)
        own = functional.one_hot(run, J).to(x)
        seeds = own.T @ x / own.sum(0)[:, None]
        metric = [functional.normalize(self.normed_linear("cost", rows), dim=-1, eps=1e-8) for rows in (x, seeds)]
        cost = 1 - metric[0] @ metric[1].mT + settings["locality"] * (run[:, None] - slot).abs()
        share = (self.normed_linear("mass", x).squeeze(-1) / settings["mass_temperature"]).softmax(-1)
        a = (1 - settings["mass_floor"]) * share + settings["mass_floor"] / w  # [n, w]
        b = torch.full_like(seeds[..., 0], 1 / J)  # [n, J]
        kernel, v = -cost / settings["epsilon"], torch.zeros_like(b)
        for _ in range(settings["sinkhorn_iterations"]):
            u = a.log() - (v[:, None] + kernel).logsumexp(2)
            v = b.log() - (u[:, :, None] + kernel).logsumexp(1)
        plan = (u[:, :, None] + v[:, None] + kernel).exp()
        return plan.mT @ self.normed_linear("value", x) * J

    def normed_linear(self, name: str, x: Tensor) -> Tensor:
        t = self.tensors
        x = functional.layer_norm(x, x.shape[-1:], t[f"{name}.norm.weight"], t[f"{name}.norm.bias"], 1e-5)
        return functional.linear(x, t[f"{name}.proj.weight"], t[f"{name}.proj.bias"])


METHODS = {
    "pic": MemoryTokens,
    "icae": MemoryTokens,
    "500x": MemoryTokens,
    "sac": Sac,
    "mean-pool": MeanPool,
    "comprexit": Comprexit,
}


def epl_positions(first: int, last: int, slots: int) -> list[int]:
    """Positions spread over first ... last: round(first + (n - m + 2 t n) / (2 m)), ties to even."""
    n, places = last - first + 1, []
    for t in range(slots):
        whole, rest = divmod(n - slots + 2 * t * n, 2 * slots)
        place = first + whole
        places.append(place + int(rest > slots or (rest == slots and place % 2 == 1)))
    return places


def run_means(x: Tensor, r: int) -> Tensor:
    """Means [n, ceil(L / r), D] over runs of r rows of x [n, L, D], in fp32."""
    return torch.stack([run.float().mean(1) for run in x.split(r, 1)], 1)


def zip_layers(contents: list[Any]) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """By layer, the keys and values of all parts, segments joined: each [K, M, d]."""

    def joined(parts: Sequence[Tensor]) -> list[Tensor]:
        return [part.transpose(0, 1).flatten(1, 2) for part in parts]

    for layer in zip(*contents, strict=True):
        keys, values = zip(*layer, strict=True)
        yield joined(keys), joined(values)


def cache_name(model: Any) -> str:
    """The name of the cache among a model's arguments: newer releases of transformers call it `cache`."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
