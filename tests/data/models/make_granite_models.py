#!/usr/bin/env python3
"""Makes a Granite MoE with shared experts, which no released fixture covers, and the numbers that transformers gives for it.

It writes granitemoeshared/model.gguf, granitemoeshared/hf and granitemoeshared/expected.safetensors beside itself.
"""

import transformers

import reference

CONFIG = dict(
    vocab_size=reference.VOCAB, hidden_size=64, intermediate_size=32, shared_intermediate_size=48, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=2, num_local_experts=8, num_experts_per_tok=3, max_position_embeddings=1024,
    rms_norm_eps=1e-5, tie_word_embeddings=True, embedding_multiplier=3.0, attention_multiplier=0.125,
    residual_multiplier=0.4, logits_scaling=2.5, bos_token_id=0, eos_token_id=1)


def value_of(name, noise):
    if "norm" in name:
        return 1 + 0.2 * noise
    if "embed" in name:
        return 0.3 * noise
    return noise * (0.3 if "router" in name else 2.0 / noise.shape[-1] ** 0.5)


def granitemoeshared(seed):
    rope = dict(rope_type="default", rope_theta=10000.0)
    config = transformers.GraniteMoeSharedConfig(**CONFIG, rope_parameters=rope, attn_implementation="eager")
    return reference.random_model(config, seed, value_of)


def tensors_of(state):
    yield "token_embd.weight", state["model.embed_tokens.weight"]
    yield "output_norm.weight", state["model.norm.weight"]
    for i in range(CONFIG["num_hidden_layers"]):
        old = lambda name: state[f"model.layers.{i}.{name}.weight"]
        yield f"blk.{i}.attn_norm.weight", old("input_layernorm")
        yield f"blk.{i}.attn_q.weight", reference.adjacent(old("self_attn.q_proj"), CONFIG["num_attention_heads"])
        yield f"blk.{i}.attn_k.weight", reference.adjacent(old("self_attn.k_proj"), CONFIG["num_key_value_heads"])
        yield f"blk.{i}.attn_v.weight", old("self_attn.v_proj")
        yield f"blk.{i}.attn_output.weight", old("self_attn.o_proj")
        yield f"blk.{i}.ffn_norm.weight", old("post_attention_layernorm")
        yield f"blk.{i}.ffn_gate_inp.weight", old("block_sparse_moe.router.layer")
        for suffix, block in (("exps", "block_sparse_moe"), ("shexp", "shared_mlp")):
            gate, up = old(block + ".input_linear").chunk(2, dim=-2)
            yield f"blk.{i}.ffn_gate_{suffix}.weight", gate
            yield f"blk.{i}.ffn_up_{suffix}.weight", up
            yield f"blk.{i}.ffn_down_{suffix}.weight", old(block + ".output_linear")


def write(folder, model):
    keys = {
        "block_count": CONFIG["num_hidden_layers"], "context_length": CONFIG["max_position_embeddings"],
        "embedding_length": CONFIG["hidden_size"], "feed_forward_length": CONFIG["intermediate_size"],
        "expert_shared_feed_forward_length": CONFIG["shared_intermediate_size"],
        "attention.head_count": CONFIG["num_attention_heads"], "attention.head_count_kv": CONFIG["num_key_value_heads"],
        "attention.layer_norm_rms_epsilon": CONFIG["rms_norm_eps"], "expert_count": CONFIG["num_local_experts"],
        "expert_used_count": CONFIG["num_experts_per_tok"], "rope.freq_base": 10000.0, "rope.dimension_count": 16,
        "attention.scale": CONFIG["attention_multiplier"], "embedding_scale": CONFIG["embedding_multiplier"],
        "residual_scale": CONFIG["residual_multiplier"], "logit_scale": CONFIG["logits_scaling"]}
    reference.write_gguf(folder / "model.gguf", "granitemoe", keys, tensors_of(model.state_dict()))
    reference.write_folder(folder / "hf", model, {
        "architectures": ["GraniteMoeSharedForCausalLM"], "model_type": "granitemoeshared", **CONFIG, "rope_theta": 10000.0,
        "rope_scaling": None, "torch_dtype": "bfloat16"})


if __name__ == "__main__":
    reference.make_all([("granitemoeshared", granitemoeshared, (5, 23, 48), write)])
