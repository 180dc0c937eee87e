"""Makes the folders beside this file: tiny models with random weights, one for
each family, saved by the library transformers, and what that library computes
from them in float32. See ../README.md.

    python3 make.py .        # transformers 5, torch, tokenizers

Two runs give the same weights; logits may differ in their last bits.
"""

import json
import pathlib
import sys

import numpy as np
import tokenizers
import torch
import transformers as T

ROWS = 288  # more than there are tokens, as in many models
TOKENS = 20  # more than the sliding windows hold
POSITIONS = [0, 9, 19]  # of which logits are kept

BASE = dict(
    vocab_size=ROWS, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, bos_token_id=256, eos_token_id=256, pad_token_id=None,
)
ROPE3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
             original_max_position_embeddings=16)
YARN = dict(rope_type="yarn", rope_theta=1e6, factor=4.0, original_max_position_embeddings=16)
LONG = dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0, 1.1, 1.3, 1.8], long_factor=[1.5, 2.5, 4.0, 8.0],
            original_max_position_embeddings=32)

# name: configuration, model, settings, type of the weights, most bytes of a shard
CASES = {
    "llama": ("Llama", dict(rope_parameters=ROPE3, tie_word_embeddings=True), "bfloat16", None),
    "llama-bias": ("Llama", dict(attention_bias=True, mlp_bias=True, head_dim=12), "bfloat16", None),
    "mistral": ("Mistral", dict(sliding_window=8, head_dim=16), "bfloat16", None),
    "mixtral": ("Mixtral", dict(num_local_experts=4, num_experts_per_tok=2, sliding_window=None), "bfloat16", None),
    "qwen2": ("Qwen2", dict(rope_parameters=YARN), "float16", "20KB"),
    "qwen3": ("Qwen3", dict(head_dim=16, tie_word_embeddings=True), "bfloat16", None),
    "qwen3_moe": ("Qwen3Moe", dict(head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24,
                                   norm_topk_prob=True), "bfloat16", None),
    "gemma2": ("Gemma2", dict(head_dim=16, sliding_window=8, query_pre_attn_scalar=24), "bfloat16", None),
    "gemma3_text": ("Gemma3", dict(head_dim=16, sliding_window=8, query_pre_attn_scalar=16, num_hidden_layers=7, intermediate_size=32,
                                   rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6),
                                                        sliding_attention=dict(rope_type="default", rope_theta=1e4))),
                    "bfloat16", None),
    "phi3": ("Phi3", dict(rope_parameters=LONG, original_max_position_embeddings=32), "bfloat16", None),
    "smollm3": ("SmolLM3", dict(num_hidden_layers=5, intermediate_size=32), "bfloat16", None),
    "granite": ("Granite", dict(embedding_multiplier=12.0, logits_scaling=8.0, residual_multiplier=0.22,
                                attention_multiplier=0.015625), "float32", None),
    "olmo2": ("Olmo2", dict(), "bfloat16", None),
}

# What sentences of the tokenizer's training, and of the chat template, look like.
TEXT = ["the cat sat on the mat and the dog ran to the cat", "a man in the sun", "and then it was on the hat"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" \
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def tokenizer(folder):
    """A byte-level tokenizer in the manner of Qwen 2's."""
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
    t = tokenizers.Tokenizer(tokenizers.models.BPE())
    t.normalizer = tokenizers.normalizers.NFC()
    t.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    t.decoder = tokenizers.decoders.ByteLevel()
    bytes_ = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocab = {b: i for i, b in enumerate(bytes_)}
    merges = []
    for pair in ["Ġ t", "h e", "Ġt he", "a t", "a n", "an d", "Ġ c", "Ġc at"]:
        a, b = pair.split(" ")
        vocab[a + b] = len(vocab) + 3  # ids 256 to 258 are special
        merges.append((a, b))
    t.model = tokenizers.models.BPE(vocab=vocab, merges=merges)
    # Ids follow the vocabulary; special tokens get the three that are left out.
    text = json.loads(t.to_str())
    text["added_tokens"] = [
        dict(id=256 + i, content=s, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
        for i, s in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    ]
    (folder / "tokenizer.json").write_text(json.dumps(text, ensure_ascii=False, indent=1) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="Qwen2Tokenizer", bos_token=None, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        unk_token=None, add_prefix_space=False, chat_template=TEMPLATE), indent=1) + "\n")


def main(out):
    ids = [(37 * i + 11) % 256 for i in range(TOKENS)]
    for name, (kind, settings, dtype, shard) in CASES.items():
        config = getattr(T, kind + ("TextConfig" if kind == "Gemma3" else "Config"))(**{**BASE, **settings})
        config._attn_implementation = "eager"
        model = getattr(T, kind + "ForCausalLM")(config).float().eval()
        rng = np.random.default_rng(sum(map(ord, name)))
        with torch.no_grad():
            for n, p in sorted(model.named_parameters()):
                x = torch.from_numpy(rng.standard_normal(tuple(p.shape)).astype(np.float32))
                # Rounded one by one: a model as a whole would round its rotary frequencies, too.
                p.copy_((p + 0.1 * x if "norm" in n else 0.15 * x).to(getattr(torch, dtype)).float())
            logits = model(torch.tensor([ids])).logits[0]
        folder = pathlib.Path(out, name)
        model.to(getattr(torch, dtype)).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
        tokenizer(folder)
        np.save(folder / "logits.npy", logits[POSITIONS].numpy())
        (folder / "logits.json").write_text(json.dumps(dict(tokens=ids, positions=POSITIONS)) + "\n")


main(sys.argv[1])
