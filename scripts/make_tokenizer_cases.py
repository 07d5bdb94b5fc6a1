#!/usr/bin/env python3
"""Writes tests/data/tokenizers: lines of text and their ids from the original tokenizer libraries.

    python scripts/make_tokenizer_cases.py     (tokenizers 0.22.1, sentencepiece 0.1.99, gguf, numpy, protobuf with
                                                PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python;
                                                a second run writes the same files)

A case is a small tokenizer ("base") and changes to its tokenizer.json. For 2,000 lines in 24 scripts it holds a digest of
the ids, for some lines the ids themselves, and digests of decoded texts. tests/unit/tokenizer_cases_test.cpp reads them.
"""
import io
import json
import pathlib
import random
import tempfile
import unicodedata

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import tokenizer_cases

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "tokenizers"
LINES, FULL, RANDOM = 2000, 12, 300
SCRIPTS = {  # ranges of code points
    "latin": [(0x61, 0x7A), (0x41, 0x5A)], "latin-1": [(0xC0, 0x17F)], "greek": [(0x391, 0x3C9)], "cyrillic": [(0x410, 0x44F)],
    "armenian": [(0x531, 0x587)], "hebrew": [(0x5B0, 0x5EA)], "arabic": [(0x620, 0x669)], "devanagari": [(0x900, 0x96F)],
    "bengali": [(0x980, 0x9EF)], "tamil": [(0xB82, 0xBEF)], "telugu": [(0xC00, 0xC6F)], "thai": [(0xE01, 0xE59)],
    "lao": [(0xE81, 0xED9)], "tibetan": [(0xF40, 0xFB0)], "myanmar": [(0x1000, 0x1049)], "georgian": [(0x10A0, 0x10FF)],
    "hangul": [(0xAC00, 0xD7A3)], "jamo": [(0x1100, 0x11FF)], "ethiopic": [(0x1200, 0x137C)], "khmer": [(0x1780, 0x17E9)],
    "kana": [(0x3041, 0x30FF)], "han": [(0x4E00, 0x4FFF), (0x20000, 0x20100)], "deseret": [(0x10400, 0x1044F)],
    "vietnamese": [(0x1EA0, 0x1EF9)]}
NEWER = "\u0eba\u0c3c"  # marks that the normaliser of tokenizers 0.22.1 does not know: it is of an older Unicode than ICU
MARKS = [0x300, 0x301, 0x308, 0x323, 0x345, 0x20DD, 0x200D, 0xFE0F, 0x3099]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "☃️", "1️⃣"]
SPACES = [" ", "  ", "   ", " " * 17, "\t", "\t\t", "\n", "\r\n", "\n\n\n", "\u00a0", "\u3000", "\u2028", "\u0085", "\x0b", " \n "]
ODD = ["\ufffd", "\ufffe", "\U0010ffff", "\x00", "\x07", "\u0301", "▁", "▁▁", "Ġ", "<0x41>", "ﬁ", "½", "²", "Ⅷ", "٣", "𝟘", "ſ", "ß", "İ"]
CODE = ["def f(x):\n        return x['a'][0]  # ok", "if (a != b) {\n\t\treturn;\n}", "x = 3.14159265 + 1_000_000", "</div><p class=\"x\">"]
ENDS = ["'s", "'S", "'ll", "'LL", "'re", "'ſ", "'d", "n't", "!?", "...", ",", ";", "—", "(", ")", "{}", "#$%&", "~", "_", "-"]


def words(rng):
    ranges = SCRIPTS[rng.choice(list(SCRIPTS))]
    letters = [c for low, high in ranges for c in map(chr, range(low, high + 1)) if unicodedata.category(c) != "Cn" and c not in NEWER]
    common = [rng.choice(letters) for _ in range(6)]  # few letters, so that merges occur
    for _ in range(rng.randint(1, 5)):
        yield "".join(rng.choice(common if rng.random() < 0.8 else letters) for _ in range(rng.randint(1, 8)))


def line(rng, names):
    parts = []
    for _ in range(rng.randint(1, 4)):
        kind = rng.random()
        parts += list(words(rng)) if kind < 0.55 else [rng.choice(EMOJI + ODD)] if kind < 0.65 else \
            [rng.choice(names)] if kind < 0.8 else [rng.choice(ENDS + CODE)] if kind < 0.9 else \
            [str(rng.randint(0, 10 ** rng.randint(1, 12)))]
        if rng.random() < 0.15:
            parts[-1] += chr(rng.choice(MARKS))
    return "".join(p + (rng.choice(SPACES) if rng.random() < 0.3 else " " if rng.random() < 0.6 else "") for p in parts)


def fnv(data):
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def ids_digest(ids):
    return f"{fnv(b''.join(i.to_bytes(4, 'little') for i in ids)) >> 16:04x}"


def random_ids(vocabulary):
    """Sequences that no text has, from a linear congruential generator."""
    state, out = 1, []
    for _ in range(RANDOM):
        row = []
        for _ in range(1 + len(out) % 12):
            state = (state * 1103515245 + 12345) % 2 ** 31
            row.append((state >> 8) % vocabulary)
        out.append(row)
    return out


def case(name, base, lines, encode, decode, vocabulary, changes=None, special=True):
    """`encode(text, special)`, `decode(ids, skip_special)`: the original's. Without `special` it parses no special tokens."""
    ids = [encode(text, special) for text in lines]
    plain = [encode(text, False) for text in lines[::4]] if special else []
    texts = [decode(i, False) for i in ids]
    if special:
        texts += [decode(i, skip) for i in random_ids(vocabulary) for skip in (False, True)]
    return {"name": name, "base": base, "changes": changes or {}, "special": special, "digests": "".join(map(ids_digest, ids)),
            "plain_digests": "".join(map(ids_digest, plain)), "ids": ids[:FULL], "texts": texts[:FULL],
            "text_digest": f"{fnv(''.join(t + chr(10) for t in texts).encode('utf8', 'replace')):08x}", "vocabulary": vocabulary}


def merge_patch(target, patch):
    """RFC 7396, as nlohmann::json::merge_patch."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge_patch(target.get(key), value)
    return target


def bases(lines):
    """The tokenizer.json files that cases start from. Existing ones are kept: training depends on the order of a hash table."""
    paths = {name: OUT / f"{name}.json" for name in ("byte_level", "metaspace", "unigram")}
    if all(path.exists() for path in paths.values()):
        return {name: json.loads(path.read_text()) for name, path in paths.items()}

    def trained(tokenizer, trainer, most=LINES):
        tokenizer.train_from_iterator(lines[:most], trainer)
        return json.loads(tokenizer.to_str())

    byte_level = Tokenizer(models.BPE())
    byte_level.pre_tokenizer, byte_level.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    metaspace = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    metaspace.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    metaspace.decoder = decoders.Metaspace()
    fallback = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer, unigram.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    out = {
        "byte_level": trained(byte_level, trainers.BpeTrainer(vocab_size=560, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())),
        "metaspace": trained(metaspace, trainers.BpeTrainer(vocab_size=760, show_progress=False, special_tokens=fallback, limit_alphabet=250)),
        "unigram": trained(unigram, trainers.UnigramTrainer(vocab_size=1500, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>"), 160)}
    pieces = out["unigram"]["model"]["vocab"]
    pieces[0][0] = "<unknown>"  # a name that no line has
    # Each piece once, none with the zero that libsentencepiece does not know, and none that repeats another: "aa a" and
    # "a aa" have one score, and rounding decides. For the same reason no two scores are alike.
    out["unigram"]["model"]["vocab"] = [p for i, p in enumerate(pieces) if "\0" not in p[0] and p[0] not in (2 * p[0])[1:-1] and p[0] not in (q[0] for q in pieces[:i])]
    for i, piece in enumerate(out["unigram"]["model"]["vocab"]):
        piece[1] = round(piece[1] - i * 7919 % 1009 * 1e-4, 4) if i > 2 else piece[1]
    for name, json_file in out.items():
        json_file["added_tokens"] = []
        paths[name].write_text(json.dumps(json_file, ensure_ascii=False, separators=(",", ":")) + "\n")
    return out


def tokenizer_json_cases(lines):
    files, out = bases(lines), []
    for name, base, changes in tokenizer_cases.cases():
        tokenizer = Tokenizer.from_str(json.dumps(merge_patch(files[base], changes)))

        def encode(text, special):
            tokenizer.encode_special_tokens = not special
            return tokenizer.encode(text, add_special_tokens=False).ids

        out.append(case(name, base + ".json", lines, encode, lambda i, skip: tokenizer.decode(i, skip_special_tokens=skip),
                        tokenizer.get_vocab_size(), changes))
    return out


def write_gguf(path, model, proto, keys):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list([p.piece for p in proto.pieces])
    writer.add_token_scores([p.score for p in proto.pieces])
    writer.add_token_types([p.type for p in proto.pieces])
    for key, value in keys.items():
        getattr(writer, "add_" + key)(value)
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()


def gguf_cases(lines):
    """SentencePiece vocabularies in GGUF, against the models that they came from."""
    rules = pathlib.Path(tempfile.mkdtemp()) / "rules.tsv"  # a few of NFKC's: all of them are 240 kB
    rules.write_text("FB01\t66 69\nBD\t31 2044 32\nB2\t32\n2167\t56 49 49 49\nA0\t20\n3000\t20\n65 301\tE9\n")
    out = []
    for name, kind, options in [
            ("gguf_llama", "bpe", dict(byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False)),
            ("gguf_gemma", "bpe", dict(byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
                                       add_dummy_prefix=False, user_defined_symbols=["<mask>", "▁▁▁▁", "\n\n"], control_symbols=["<start_of_turn>"])),
            ("gguf_t5", "unigram", dict(byte_fallback=False, normalization_rule_tsv=str(rules), remove_extra_whitespaces=True))]:
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines[:150]), model_writer=model, vocab_size=1400, model_type=kind, hard_vocab_limit=False,
                                                 character_coverage=0.98, minloglevel=2, num_threads=1, **options)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
        keys = dict(bos_token_id=processor.bos_id(), eos_token_id=processor.eos_id())
        if "add_dummy_prefix" in options or kind == "unigram":
            keys["add_space_prefix"] = options.get("add_dummy_prefix", True)
        if kind == "unigram":
            keys |= dict(remove_extra_whitespaces=True, precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap)
        write_gguf(OUT / f"{name}.gguf", "t5" if kind == "unigram" else "llama", proto, keys)
        special = [i for i in range(processor.get_piece_size()) if processor.is_control(i)]
        out.append(case(name, f"{name}.gguf", lines, lambda text, _: processor.encode(text),
                        lambda ids, skip: processor.decode([i for i in ids if i not in special]), processor.get_piece_size(), special=False))
    return out


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = random.Random(11)
    lines = tokenizer_cases.EDGES + [line(rng, tokenizer_cases.NAMES) for _ in range(LINES - len(tokenizer_cases.EDGES))]
    (OUT / "lines.json").write_text(json.dumps(lines, ensure_ascii=False, indent=0) + "\n")
    cases = gguf_cases(lines) + tokenizer_json_cases(lines)
    (OUT / "cases.json").write_text("[" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "]\n")


main()
