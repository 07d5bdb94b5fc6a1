"""The cases of make_tokenizer_cases.py: changes to a base's tokenizer.json, one part of the format at a time."""

# Names of added tokens that the lines contain.
NAMES = ["<s>", "</s>", "<|im_end|>", "<|sep|>", "<mask>", "tok", "Tok", "    ", "  ", "\n\n", "é", "e\u0301", "<start_of_turn>", "<unk>"]
EDGES = ["", " ", "  ", "a", " a", "a ", "\n", "\n\n", "<s>", "<s>a", " <s>  a", "a<mask> b", "tok", "tok tok", "token tok, tok_ toké", "x  <|sep|>  y",
         "<|im_end|><|im_end|>", "  <mask>  tok  <|sep|>  ", "cafe\u0301 café CAFÉ", "a" * 60, " " * 40 + "x", "\u0301", "日本語 123 ４５", "ab▁cd▁▁e"]


def cases():
    """Yields name, base and merge patch."""
    yield "byte_level", "byte_level", {}
