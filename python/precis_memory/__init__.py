"""Memory files of precis in Python: read, check, write, and hand to other programs."""

from .base_model import BaseModel, base_model
from .convert import decoder_input, dynamic_cache, llama_cpp_embeddings, transformers_inputs, vllm_prompt
from .error import PrecisError
from .memory import Memory, new_memory, read_memory, write_memory
from .prompt import Prompt, read_prompt

__all__ = [
    "BaseModel",
    "Memory",
    "PrecisError",
    "Prompt",
    "base_model",
    "decoder_input",
    "dynamic_cache",
    "llama_cpp_embeddings",
    "new_memory",
    "read_memory",
    "read_prompt",
    "transformers_inputs",
    "vllm_prompt",
    "write_memory",
]
