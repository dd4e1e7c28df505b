#!/usr/bin/env python3
"""Makes the models of latent attention that no released fixture covers, and the numbers that transformers gives for them.

deepseek_v2: groups limited by their best expert, softmax, queries with a latent; kimi_k2: DeepSeek-V3's arithmetic with one
group, YaRN by 32; glm4_7_flash: without YaRN, values wider than keys, another epsilon.

It writes NAME/model.gguf, deepseek_v2/model-kv_b.gguf, NAME/hf and NAME/expected.safetensors beside itself, of the models that
its arguments name, or of all.
"""

import functools

import transformers

import reference

LAYERS, HIDDEN = 3, 64
PROMPT_LENGTHS = (5, 23, 48)
SHARED = dict(
    vocab_size=reference.VOCAB, hidden_size=HIDDEN, intermediate_size=96, num_hidden_layers=LAYERS, num_attention_heads=4,
    num_key_value_heads=4, max_position_embeddings=1024, qk_rope_head_dim=16, num_experts_per_tok=3,
    moe_intermediate_size=16, tie_word_embeddings=False, attn_implementation="eager")


def deepseek_v2():
    return transformers.DeepseekV2Config(
        **SHARED, rms_norm_eps=1e-6, first_k_dense_replace=1, kv_lora_rank=32, q_lora_rank=40, qk_nope_head_dim=24,
        v_head_dim=20, n_routed_experts=16, n_shared_experts=2, n_group=4, topk_group=2, routed_scaling_factor=3.0,
        topk_method="group_limited_greedy", norm_topk_prob=False,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0))


def kimi_k2():
    return transformers.DeepseekV3Config(
        **SHARED, rms_norm_eps=1e-6, first_k_dense_replace=1, kv_lora_rank=32, q_lora_rank=48, qk_nope_head_dim=32,
        v_head_dim=32, n_routed_experts=24, n_shared_experts=1, n_group=1, topk_group=1, routed_scaling_factor=2.827,
        norm_topk_prob=True,
        rope_parameters=dict(
            rope_type="yarn", rope_theta=50000.0, factor=32.0, original_max_position_embeddings=32, beta_fast=1.0,
            beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0))


def glm4_7_flash():
    return transformers.Glm4MoeLiteConfig(
        **SHARED, rms_norm_eps=1e-5, mlp_layer_types=["dense"] + ["sparse"] * (LAYERS - 1), kv_lora_rank=32,
        q_lora_rank=24, qk_nope_head_dim=24, v_head_dim=48, n_routed_experts=8, n_shared_experts=1, n_group=1,
        topk_group=1, routed_scaling_factor=1.8, norm_topk_prob=True,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0))


def random_model(config, seed):
    # Sigmoids of wide scores nearly tie at 1.
    router_scale = 0.5 if getattr(config, "topk_method", None) == "group_limited_greedy" else 0.15

    def value_of(name, noise):
        if "norm" in name:
            return 1 + 0.2 * noise
        if "correction_bias" in name:
            return 0.05 * noise
        return noise * (router_scale if "gate.weight" in name else 2.0 / noise.shape[-1] ** 0.5)

    model = reference.random_model(config, seed, value_of)
    for layer in model.model.layers:
        if hasattr(layer.mlp, "experts"):
            layer.mlp.num_experts = config.n_routed_experts  # transformers 5.4 asks for it with groups.
    return model


def tensors_of(config, state):
    """Names as GGUF files of this architecture have them, with keys and values cut apart for the absorbed form."""
    heads, nope, v_dim = config.num_attention_heads, config.qk_nope_head_dim, config.v_head_dim
    yield "token_embd.weight", state["model.embed_tokens.weight"]
    yield "output_norm.weight", state["model.norm.weight"]
    yield "output.weight", state["lm_head.weight"]
    for i in range(config.num_hidden_layers):
        old = lambda name: state[f"model.layers.{i}.{name}"]
        plain = {
            "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q_a": "self_attn.q_a_proj",
            "attn_q_a_norm": "self_attn.q_a_layernorm", "attn_q_b": "self_attn.q_b_proj",
            "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa", "attn_kv_a_norm": "self_attn.kv_a_layernorm",
            "attn_output": "self_attn.o_proj", "ffn_gate_inp": "mlp.gate", "ffn_gate": "mlp.gate_proj",
            "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "ffn_gate_shexp": "mlp.shared_experts.gate_proj",
            "ffn_up_shexp": "mlp.shared_experts.up_proj", "ffn_down_shexp": "mlp.shared_experts.down_proj"}
        for new, name in plain.items():
            if f"model.layers.{i}.{name}.weight" in state:
                yield f"blk.{i}.{new}.weight", old(name + ".weight")
        keys_values = old("self_attn.kv_b_proj.weight").view(heads, nope + v_dim, config.kv_lora_rank)
        yield f"blk.{i}.attn_k_b.weight", keys_values[:, :nope].transpose(1, 2)
        yield f"blk.{i}.attn_v_b.weight", keys_values[:, nope:]
        if f"model.layers.{i}.mlp.experts.gate_up_proj" in state:
            gate, up = old("mlp.experts.gate_up_proj").chunk(2, dim=1)
            yield f"blk.{i}.ffn_gate_exps.weight", gate
            yield f"blk.{i}.ffn_up_exps.weight", up
            yield f"blk.{i}.ffn_down_exps.weight", old("mlp.experts.down_proj")
        bias = f"model.layers.{i}.mlp.gate.e_score_correction_bias"
        if bias in state:
            yield f"blk.{i}.exp_probs_b.bias", state[bias]


def keys_of(config, sigmoid):
    rope = config.rope_parameters
    keys = {
        "block_count": LAYERS, "context_length": config.max_position_embeddings, "embedding_length": HIDDEN,
        "feed_forward_length": config.intermediate_size, "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": 1, "expert_count": config.n_routed_experts,
        "expert_used_count": config.num_experts_per_tok, "expert_group_count": config.n_group,
        "expert_group_used_count": config.topk_group, "expert_gating_func": 2 if sigmoid else 1,
        "attention.key_length": config.kv_lora_rank + config.qk_rope_head_dim,
        "attention.value_length": config.kv_lora_rank, "attention.q_lora_rank": config.q_lora_rank,
        "attention.kv_lora_rank": config.kv_lora_rank,
        "attention.key_length_mla": config.qk_nope_head_dim + config.qk_rope_head_dim,
        "attention.value_length_mla": config.v_head_dim, "leading_dense_block_count": 1,
        "expert_feed_forward_length": config.moe_intermediate_size, "expert_shared_count": config.n_shared_experts,
        "rope.dimension_count": config.qk_rope_head_dim, "rope.freq_base": rope["rope_theta"],
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps, "expert_weights_scale": config.routed_scaling_factor,
        "expert_weights_norm": bool(config.norm_topk_prob)}
    if rope["rope_type"] == "yarn":
        keys |= {
            "rope.scaling.type": "yarn", "rope.scaling.factor": rope["factor"],
            "rope.scaling.original_context_length": rope["original_max_position_embeddings"],
            "rope.scaling.yarn_beta_fast": rope["beta_fast"], "rope.scaling.yarn_beta_slow": rope["beta_slow"],
            "rope.scaling.yarn_log_multiplier": 0.1 * rope["mscale_all_dim"]}
    return keys


def with_one_matrix(keys, tensors, config, state):
    """The same as files from before May 2025 have it: keys and values as the checkpoint's one matrix."""
    keys = {key: value for key, value in keys.items() if not key.endswith("_mla")} | {
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": config.qk_nope_head_dim + config.qk_rope_head_dim,
        "attention.value_length": config.v_head_dim}
    tensors = [(name, tensor) for name, tensor in tensors if "_k_b." not in name and "_v_b." not in name]
    return keys, tensors + [(f"blk.{i}.attn_kv_b.weight", state[f"model.layers.{i}.self_attn.kv_b_proj.weight"])
                            for i in range(LAYERS)]


def released_config(name, config):
    """config.json in the older spelling, as the released checkpoints have it."""
    text = {key: value for key, value in SHARED.items() if key != "attn_implementation"}
    for key in ("rms_norm_eps", "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "v_head_dim", "n_routed_experts",
                "n_shared_experts", "n_group", "topk_group", "routed_scaling_factor", "norm_topk_prob"):
        text[key] = getattr(config, key)
    rope = dict(config.rope_parameters)
    kind, theta = rope.pop("rope_type"), rope.pop("rope_theta")
    sigmoid = name != "deepseek_v2"
    return text | {
        "architectures": [type(config).__name__.replace("Config", "ForCausalLM")],
        "model_type": {"glm4_7_flash": "glm4_moe_lite"}.get(name, name), "first_k_dense_replace": 1, "moe_layer_freq": 1,
        "hidden_act": "silu", "attention_bias": False, "scoring_func": "sigmoid" if sigmoid else "softmax",
        "topk_method": "noaux_tc" if sigmoid else "group_limited_greedy", "rope_theta": theta,
        "rope_scaling": None if kind == "default" else {"type": kind, **rope}, "torch_dtype": "bfloat16",
        "bos_token_id": 0, "eos_token_id": 1}


def write(name, config, folder, model):
    keys, state = keys_of(config, name != "deepseek_v2"), model.state_dict()
    tensors = list(tensors_of(config, state))
    reference.write_gguf(folder / "model.gguf", "deepseek2", keys, tensors)
    if name == "deepseek_v2":
        reference.write_gguf(folder / "model-kv_b.gguf", "deepseek2", *with_one_matrix(keys, tensors, config, state))
    reference.write_folder(folder / "hf", model, released_config(name, config))


def maker(make):
    name = make.__name__
    return (name, lambda seed: random_model(make(), seed), PROMPT_LENGTHS, functools.partial(write, name, make()))


if __name__ == "__main__":
    reference.make_all([maker(make) for make in (deepseek_v2, kimi_k2, glm4_7_flash)])
