"""The cases of make_tokenizer_cases.py: changes to a base's tokenizer.json, one part of the format at a time."""

# Names of added tokens that the lines contain.
NAMES = ["<s>", "</s>", "<|im_end|>", "<|sep|>", "<mask>", "tok", "Tok", "    ", "  ", "\n\n", "é", "e\u0301", "<start_of_turn>", "<unk>"]
EDGES = ["", " ", "  ", "a", " a", "a ", "\n", "\n\n", "<s>", "<s>a", " <s>  a", "a<mask> b", "tok", "tok tok", "token tok, tok_ toké", "x  <|sep|>  y",
         "<|im_end|><|im_end|>", "  <mask>  tok  <|sep|>  ", "cafe\u0301 café CAFÉ", "a" * 60, " " * 40 + "x", "\u0301", "日本語 123 ４５", "ab▁cd▁▁e"]

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
         r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
LLAMA_DECODER = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                                                 {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
LLAMA_NORMALIZER = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def token(id, content, **options):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False} | options


def metaspace(scheme, split_words):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split_words}


def families():
    """As Llama, Mistral, Qwen, Gemma, Phi-3, OLMo-2, SmolLM and others have them."""
    special = [token(560, "<|im_end|>", special=True), token(561, "<s>", special=True), token(562, "    "), token(563, "<|sep|>", rstrip=True, special=True)]
    for name, pattern in [("llama3", LLAMA3), ("qwen2", QWEN2), ("gpt4o", GPT4O)]:
        changes = {"pre_tokenizer": sequence(split(pattern), BYTES), "added_tokens": special, "model": {"ignore_merges": name == "llama3"}}
        yield name, "byte_level", changes | ({"normalizer": {"type": "NFC"}} if name == "qwen2" else {})
    yield "deepseek3", "byte_level", {"pre_tokenizer": sequence(split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"), split(DEEPSEEK3), BYTES), "added_tokens": special}
    yield "smollm", "byte_level", {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": True}, BYTES | {"use_regex": True}), "added_tokens": special}
    yield "falcon", "byte_level", {"pre_tokenizer": sequence({"type": "Punctuation", "behavior": "Contiguous"}, BYTES | {"use_regex": True},
                                                              {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]"))}
    llama = [token(0, "<unk>", special=True), token(1, "<s>", special=True), token(2, "</s>", special=True)]
    phi3 = llama[:2] + [token(2, "</s>", rstrip=True)] + [token(760, "<|im_end|>", special=True, rstrip=True), token(761, "<mask>", rstrip=True, special=True)]
    for name, tokens in [("llama2", llama), ("phi3", phi3)]:
        yield name, "metaspace", {"normalizer": LLAMA_NORMALIZER, "pre_tokenizer": None, "decoder": LLAMA_DECODER, "added_tokens": tokens}
    yield "mistral", "metaspace", {"pre_tokenizer": metaspace("first", False), "decoder": LLAMA_DECODER, "added_tokens": llama}
    gemma = llama + [token(760, "<start_of_turn>", special=True), token(761, "    "), token(762, "\n\n")]
    yield "gemma", "metaspace", {"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, "added_tokens": gemma,
                                 "pre_tokenizer": split(" ", "MergedWithPrevious", kind="String"),
                                 "decoder": {"type": "Sequence", "decoders": LLAMA_DECODER["decoders"][:3]}}


def added_tokens():
    for flag in ("lstrip", "rstrip", "single_word", "normalized"):
        yield f"added_{flag}", "byte_level", {"added_tokens": [token(560, "tok", **{flag: True}), token(561, "<|sep|>", **{flag: True}, special=True),
                                                               token(562, "<mask>", special=True), token(563, "é")] + ([token(564, "  ")] if flag != "rstrip" else [])}
    yield "added_normalized_text", "byte_level", {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}, "added_tokens": [
        token(560, "Tok", normalized=True), token(561, "e\u0301", normalized=True), token(562, "<|IM_END|>", normalized=True, special=True), token(563, "<s>", special=True)]}
    yield "added_words", "byte_level", {"added_tokens": [token(257, "th"), token(66, "c", single_word=True), token(560, "to"), token(561, "tok"), token(562, "  "), token(563, "    ", lstrip=True)]}
    yield "added_all", "metaspace", {"pre_tokenizer": metaspace("always", True), "added_tokens": [
        token(760, "tok", lstrip=True, rstrip=True, single_word=True), token(761, "é", rstrip=True), token(1, "<s>", special=True, lstrip=True),
        token(762, "<|im_end|>", normalized=True, special=True, rstrip=True)]}


def parts():
    for scheme in ("always", "first", "never"):
        for words in (True, False):
            yield f"metaspace_{scheme}_{'split' if words else 'whole'}", "metaspace", {
                "pre_tokenizer": metaspace(scheme, words), "decoder": metaspace(scheme, words), "added_tokens": [token(1, "<s>", special=True), token(760, "tok")]}
    yield "no_byte_fallback", "metaspace", {"model": {"byte_fallback": False}}
    yield "unfused_unknown", "metaspace", {"model": {"byte_fallback": False, "fuse_unk": False}}
    yield "no_unknown", "metaspace", {"model": {"byte_fallback": False, "unk_token": None}}
    yield "some_bytes", "metaspace", {"model": {"vocab": {"<0xE4>": None, "<0xF0>": None}}}
    yield "ignore_merges", "metaspace", {"pre_tokenizer": metaspace("always", True), "model": {"ignore_merges": True}}
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            yield f"split_{behavior}_{'inverted' if invert else 'plain'}", "byte_level", {"pre_tokenizer": sequence(split(r"\s|\p{N}|(?=x)", behavior, invert), BYTES)}
        yield f"punctuation_{behavior}", "byte_level", {"pre_tokenizer": sequence({"type": "Punctuation", "behavior": behavior}, BYTES)}
    yield "split_string", "byte_level", {"pre_tokenizer": sequence(split(".", "MergedWithNext", kind="String"), BYTES | {"add_prefix_space": True})}
    yield "whitespace", "unigram", {"pre_tokenizer": {"type": "Whitespace"}, "decoder": None}
    yield "whitespace_split", "unigram", {"pre_tokenizer": sequence({"type": "WhitespaceSplit"}, {"type": "CharDelimiterSplit", "delimiter": "e"}, metaspace("first", True)), "decoder": None}
    yield "digits", "byte_level", {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": False}, BYTES | {"add_prefix_space": True, "use_regex": True})}
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase"):
        yield f"normalizer_{form}", "byte_level", {"normalizer": {"type": form}}
    yield "normalizer_sequence", "metaspace", {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Replace", "pattern": {"Regex": r"\s{2,}"}, "content": " $1"},
        {"type": "Replace", "pattern": {"String": "a"}, "content": ""}, {"type": "Prepend", "prepend": "x"}]}, "pre_tokenizer": metaspace("first", True)}
    yield "strip_first", "metaspace", {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": False}, "pre_tokenizer": metaspace("first", False)}
    yield "decoder_strip", "metaspace", {"decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Strip", "content": "a", "start": 1, "stop": 0},
                                                                                   {"type": "Replace", "pattern": {"Regex": r"\d|▁"}, "content": "."}]}}
    yield "unigram", "unigram", {}
    yield "unigram_added", "unigram", {"added_tokens": [token(701, "<|im_end|>"), token(296, "tok", lstrip=True)]}


def patterns():
    """Constructs that mean other things in ICU than in Oniguruma."""
    for name, pattern in [("interval_plus", r"\p{N}{2}+|\p{L}{2,3}+"), ("hexadecimal", r"\h+|[^\H]|[\hx]"), ("minus_minus", r"[!--]|[a-c--]|[+--]"), ("lines", r"^.|\S$|.\z"),
                          ("dot", r".+"), ("word", r"\b\w+\b|[^\w\s]+"), ("not_word", r"\B.|\W"), ("vertical", r"\v|[\v\t]+"), ("possessive", r"\p{L}++\d?+|\s*+"), ("lower", r"(?i)[abc]+|É|ß|ſ|K"),
                          ("braces", r"a{|}|x{,2}|[{}&]"), ("negated", r"\P{L}+|\p{^N}"), ("script", r"\p{Han}+|\p{Hiragana}|[^\p{Latin}]"), ("sets", r"[^\]\[a-]+|[]x]"),
                          ("lazy", r"\p{L}+?|\s{1,3}?"), ("lookbehind", r"(?<=a)\w|(?<!\s)\d"), ("code_points", r"\x41|\u0062|\x{301}"), ("case", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)")]:
        yield f"pattern_{name}", "byte_level", {"pre_tokenizer": sequence(split(pattern), BYTES)}


def cases():
    """Yields name, base and merge patch."""
    yield "byte_level", "byte_level", {}
    yield from families()
    yield from added_tokens()
    yield from parts()
    yield from patterns()
