"""Runs a GGUF model in PyTorch: an engine that shares nothing with limbic.

The file is read, and its weights dequantised to float32, by the package gguf; the
forward pass is that of the library transformers, without its caches where states are
compared; tokens come from the library tokenizers, built from the vocabulary in the file
and the rules that the model's publisher states, and chat prompts from Jinja2.

Architectures: llama, qwen2, gemma3. Used by the scripts beside this file.
"""
import json
import re

import gguf
import jinja2
import jinja2.sandbox
import numpy as np
import tokenizers
import torch
import transformers as T
from tokenizers import decoders, models, normalizers, pre_tokenizers

BLOCK = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
}
GEMMA_BLOCK = BLOCK | {
    "ffn_norm": "pre_feedforward_layernorm", "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}

# How Qwen 2 cuts a text before it merges bytes, as its publisher's tokenizer.json says.
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def save(path, result):
    """JSON with lists of numbers on one line."""
    text = json.dumps(result, indent=1, ensure_ascii=False)
    text = re.sub(r"\[\s+([-\d.e+,\s]*?)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text)
    with open(path, "w") as f:
        f.write(text + "\n")


class Engine:
    """A model with its tokenizer. Weights and activations are float32."""

    def __init__(self, path):
        torch.set_grad_enabled(False)
        self.reader = gguf.GGUFReader(path)
        self.arch = self.get("general.architecture")
        self.blocks = self.get(self.arch + ".block_count")
        self.model = self._model()
        self.tokens = self.get("tokenizer.ggml.tokens")
        self.bos = self.get("tokenizer.ggml.bos_token_id")
        self.adds_bos = self.get("tokenizer.ggml.add_bos_token", self.get("tokenizer.ggml.model") == "llama")
        self.template = self.get("tokenizer.chat_template", None)
        self.tokenizer = self._tokenizer()
        # Tokens that end an answer: EOS and what the families use for the end of a turn.
        ends = {"<|im_end|>", "<|endoftext|>", "<end_of_turn>", "<|eot_id|>", "</s>", "<eos>", "<|end|>"}
        kinds = self.get("tokenizer.ggml.token_type")
        self.ends = {i for i, t in enumerate(self.tokens) if t in ends and kinds[i] == gguf.TokenType.CONTROL}
        self.ends.add(self.get("tokenizer.ggml.eos_token_id"))

    def get(self, key, *default):
        field = self.reader.get_field(key)
        if field is None:
            if default:
                return default[0]
            raise KeyError(key)
        return field.contents()

    def _model(self):
        key = lambda k, *d: self.get(f"{self.arch}.{k}", *d)
        width, heads = key("embedding_length"), key("attention.head_count")
        names = {t.name for t in self.reader.tensors}
        config = dict(
            hidden_size=width, intermediate_size=key("feed_forward_length"), num_hidden_layers=self.blocks,
            num_attention_heads=heads, num_key_value_heads=key("attention.head_count_kv"),
            head_dim=key("attention.key_length", width // heads), max_position_embeddings=key("context_length"),
            rms_norm_eps=key("attention.layer_norm_rms_epsilon"), vocab_size=len(self.get("tokenizer.ggml.tokens")),
            tie_word_embeddings="output.weight" not in names, attn_implementation="eager", dtype=torch.float32,
        )
        rope = dict(rope_type="default", rope_theta=key("rope.freq_base"))
        if self.arch == "llama":
            kind, cfg, block = T.LlamaForCausalLM, T.LlamaConfig(**config, rope_parameters=rope), BLOCK
        elif self.arch == "qwen2":
            config.pop("head_dim")
            kind, cfg, block = T.Qwen2ForCausalLM, T.Qwen2Config(**config, rope_parameters=rope), BLOCK
        elif self.arch == "gemma3":
            kind, block = T.Gemma3ForCausalLM, GEMMA_BLOCK
            cfg = T.Gemma3TextConfig(
                **config, sliding_window=key("attention.sliding_window"), query_pre_attn_scalar=key("attention.key_length"),
                # The publication: five of six blocks look back over a window, with a base of 10,000.
                layer_types=["full_attention" if (i + 1) % 6 == 0 else "sliding_attention" for i in range(self.blocks)],
                rope_parameters=dict(full_attention=rope, sliding_attention=dict(rope_type="default", rope_theta=10000.0)))
        else:
            raise SystemExit(f"{self.arch}: this script knows llama, qwen2 and gemma3")
        state = {}
        for t in self.reader.tensors:
            w = gguf.dequantize(t.data, t.tensor_type).astype(np.float32)
            stem, suffix = t.name.rsplit(".", 1)
            if stem.startswith("blk."):
                _, i, stem = stem.split(".")
                if self.arch == "llama" and stem in ("attn_q", "attn_k"):
                    # Files of this architecture hold the rotated pairs side by side;
                    # transformers rotates dimension i with i + half.
                    n = heads if stem == "attn_q" else config["num_key_value_heads"]
                    w = w.reshape(n, w.shape[0] // n // 2, 2, -1).swapaxes(1, 2).reshape(w.shape)
                name = f"model.layers.{i}.{block[stem]}"
            elif stem == "rope_freqs":
                raise SystemExit("rope_freqs: this script does not scale rotations")
            else:
                name = OUTER[stem]
            if self.arch == "gemma3" and "norm" in stem:
                w = w - np.float32(1)  # the file holds the factor, transformers adds the 1
            state[f"{name}.{suffix}"] = torch.from_numpy(np.ascontiguousarray(w))
        model = kind(cfg).float()
        missing, unexpected = model.load_state_dict(state, strict=False)
        tied = ["lm_head.weight"] if cfg.tie_word_embeddings else []
        if unexpected or missing != tied:
            raise SystemExit(f"tensors missing {missing}, unexpected {unexpected}")
        model.tie_weights()
        return model.eval()

    def _tokenizer(self):
        """The tokenizer, from the file's vocabulary."""
        kinds = self.get("tokenizer.ggml.token_type")
        vocab = {t: i for i, t in enumerate(self.tokens)}
        model, pre = self.get("tokenizer.ggml.model"), self.get("tokenizer.ggml.pre", None)
        if model == "gpt2":
            merges = [tuple(m.split(" ")) for m in self.get("tokenizer.ggml.merges")]
            t = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges))
            if pre == "qwen2":
                t.normalizer = normalizers.NFC()
                t.pre_tokenizer = pre_tokenizers.Sequence([
                    pre_tokenizers.Split(tokenizers.Regex(QWEN2), "isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
            elif pre == "smollm":
                t.pre_tokenizer = pre_tokenizers.Sequence([
                    pre_tokenizers.Digits(individual_digits=True),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
            elif pre == "gpt-2":
                t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
            else:
                raise SystemExit(f"pre-tokenizer {pre}: this script knows qwen2, smollm and gpt-2")
            t.decoder = decoders.ByteLevel()
        elif model == "llama":
            # Gemma: pieces with scores, of which the best pair is merged first. As merges:
            # all ways to cut a piece in two pieces, in the order of the whole's score.
            scores = self.get("tokenizer.ggml.scores")
            merges = []
            for piece, i in vocab.items():
                if kinds[i] == gguf.TokenType.NORMAL:
                    cuts = [(piece[:k], piece[k:]) for k in range(1, len(piece))]
                    cuts = [(a, b) for a, b in cuts if a in vocab and b in vocab]
                    merges += [(-scores[i], vocab[a], vocab[b], a, b) for a, b in cuts]
            merges = [(a, b) for *_, a, b in sorted(merges)]
            t = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges, fuse_unk=True, byte_fallback=True,
                                                unk_token=self.tokens[self.get("tokenizer.ggml.unknown_token_id")]))
            prefix = self.get("tokenizer.ggml.add_space_prefix", True)
            space = [normalizers.Replace(" ", "\u2581")]
            t.normalizer = normalizers.Sequence(([normalizers.Prepend("\u2581")] if prefix else []) + space)
            t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
        else:
            raise SystemExit(f"tokenizer {model}: this script knows gpt2 and llama")
        special = [tokenizers.AddedToken(self.tokens[i], special=True, normalized=False)
                   for i, k in enumerate(kinds) if k == gguf.TokenType.CONTROL]
        plain = [tokenizers.AddedToken(self.tokens[i], special=False, normalized=False)
                 for i, k in enumerate(kinds) if k == gguf.TokenType.USER_DEFINED]
        t.add_special_tokens(special)
        t.add_tokens(plain)
        return t

    def encode(self, text, bos=None):
        """Token ids of a text; BOS as the file asks for it, unless bos says."""
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ([self.bos] if (self.adds_bos if bos is None else bos) else []) + ids

    def render(self, messages, answer=True):
        """The prompt of a conversation: the file's template, or a plain transcript."""
        if self.template is None:
            names = {"user": "Human: ", "assistant": "Assistant: ", "system": ""}
            text = "\n\n".join(names[m["role"]] + m["content"] for m in messages)
            return text + ("\n\nAssistant:" if answer else "")
        env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        return env.from_string(self.template).render(
            messages=messages, add_generation_prompt=answer, tools=None,
            bos_token=self.tokens[self.bos], eos_token=self.tokens[self.get("tokenizer.ggml.eos_token_id")])

    def prompt(self, messages, answer=True):
        """Token ids of a conversation. A template writes BOS itself if it wants it."""
        text = self.render(messages, answer)
        ids = self.encode(text, bos=False)
        if self.adds_bos and ids[:1] != [self.bos]:
            ids = [self.bos] + ids
        return ids

    def logits(self, ids):
        """Logits of all positions: float32 [tokens, vocabulary]."""
        return self.model(torch.tensor([ids]), use_cache=False).logits[0]

    def greedy(self, ids, n):
        """Up to n tokens, each the likeliest, to an end token, and at each how far its
        logit is above the second best."""
        out, gaps, cache, new = [], [], None, ids
        while len(out) < n:
            r = self.model(torch.tensor([new]), cache=cache, use_cache=True)
            cache = r.past_key_values
            top, at = r.logits[0, -1].topk(2)
            out.append(at[0].item())
            gaps.append((top[0] - top[1]).item())
            if out[-1] in self.ends:
                break
            new = out[-1:]
        return out, gaps

    def layers(self):
        return self.model.model.layers
