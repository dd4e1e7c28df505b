#!/usr/bin/env python3
"""Makes the dense models that no released fixture covers, and the numbers that transformers gives for them.

phi4_mini: Phi-4-mini's settings: two heads of queries for one of keys, three quarters of each head turn, by longrope, and the head
is the embedding. gemma3_large: as many layers as Gemma 3 of 27 billion weights has, the last of every six with angles of a
larger base, stretched by 8; scores are divided by the root of another number than head_dim, which GGUF files do not say.
granite: four multipliers. smollm3: the last layer of every four has no rope.

It writes NAME/model.gguf, NAME/hf and NAME/expected.safetensors beside itself, of the models that its arguments name, or of all.
"""

import torch
import transformers

import reference

PHI_FACTORS = dict(
    short_factor=[1.0, 1.0243, 1.0687, 1.1009, 1.1562, 1.2017, 1.2511, 1.3306, 1.3787, 1.4021, 1.4403, 1.4998],
    long_factor=[1.1512, 1.3999, 2.0531, 2.9113, 3.8706, 5.2255, 6.7314, 8.0102, 9.6041, 11.3308, 13.0127, 15.2501])
PHI = dict(
    vocab_size=reference.VOCAB, hidden_size=128, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=1024, original_max_position_embeddings=256, rms_norm_eps=1e-5,
    tie_word_embeddings=True, sliding_window=262144, attention_bias=False, partial_rotary_factor=0.75, pad_token_id=1,
    bos_token_id=0, eos_token_id=1)
GEMMA = dict(
    vocab_size=reference.VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=62, num_attention_heads=2,
    num_key_value_heads=1, head_dim=24, max_position_embeddings=1024, rms_norm_eps=1e-6, query_pre_attn_scalar=16,
    sliding_window=16, sliding_window_pattern=6, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1)

LLAMA = dict(
    vocab_size=reference.VOCAB, hidden_size=64, num_hidden_layers=5, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=1024, bos_token_id=0, eos_token_id=1)
GRANITE = LLAMA | dict(
    intermediate_size=96, rms_norm_eps=1e-5, tie_word_embeddings=True, embedding_multiplier=1.5,
    attention_multiplier=0.125, residual_multiplier=0.8, logits_scaling=0.625, rope_theta=10000.0)
SMOLLM = LLAMA | dict(
    intermediate_size=80, rms_norm_eps=1e-6, tie_word_embeddings=False, rope_theta=2000000.0, pad_token_id=1)


def value_of(name, noise):
    if "norm" in name:
        return 0.2 * noise if "gemma" in name else 1 + 0.2 * noise
    return 0.3 * noise if "embed" in name else noise * 1.5 / noise.shape[-1] ** 0.5


def phi4_mini(seed):
    rope = dict(rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75, original_max_position_embeddings=256)
    config = transformers.Phi3Config(**PHI, rope_parameters=rope | PHI_FACTORS, attn_implementation="eager")
    return reference.random_model(config, seed, value_of)


def gemma3_large(seed):
    rope = dict(full_attention=dict(rope_type="linear", rope_theta=1000000.0, factor=8.0),
                sliding_attention=dict(rope_type="default", rope_theta=10000.0))
    config = transformers.Gemma3TextConfig(**GEMMA, rope_parameters=rope, attn_implementation="eager")
    # Embeddings that are small beside what blocks add: the model would repeat its last token.
    return reference.random_model(
        config, seed, lambda name, noise: 0.25 * noise if "embed" in name else value_of("gemma." + name, noise))


def llama_model(config_type, settings, seed):
    settings = {key: value for key, value in settings.items() if key != "rope_theta"} | dict(
        rope_parameters=dict(rope_type="default", rope_theta=settings["rope_theta"]), attn_implementation="eager")
    return reference.random_model(config_type(**settings), seed, value_of)


def granite(seed):
    return llama_model(transformers.GraniteConfig, GRANITE, seed)


def smollm3(seed):
    return llama_model(transformers.SmolLM3Config, SMOLLM, seed)


PHI_NAMES = {
    "attn_norm": "input_layernorm", "attn_qkv": "self_attn.qkv_proj", "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm", "ffn_up": "mlp.gate_up_proj", "ffn_down": "mlp.down_proj"}
GEMMA_NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "attn_output": "self_attn.o_proj",
    "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj"}
LLAMA_NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def tensors_of(model, names, norms_lack):
    state = model.state_dict()
    whole = lambda name: state[name] + norms_lack if "norm" in name else state[name]
    yield "token_embd.weight", whole("model.embed_tokens.weight")
    yield "output_norm.weight", whole("model.norm.weight")
    for i in range(model.config.num_hidden_layers):
        for name, stored in names.items():
            yield f"blk.{i}.{name}.weight", whole(f"model.layers.{i}.{stored}.weight")


def keys_of(config):
    return {
        "block_count": config["num_hidden_layers"], "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"], "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"], "attention.head_count_kv": config["num_key_value_heads"],
        "attention.layer_norm_rms_epsilon": config["rms_norm_eps"]} | (
            {"attention.sliding_window": config["sliding_window"]} if "sliding_window" in config else {})


def write_phi(folder, model):
    factors = [(f"rope_factors_{kind}.weight", torch.tensor(PHI_FACTORS[f"{kind}_factor"])) for kind in ("long", "short")]
    magnitude = float((1 + torch.log(torch.tensor(4.0)) / torch.log(torch.tensor(256.0))) ** 0.5)
    keys = keys_of(PHI) | {
        "rope.dimension_count": 24, "rope.freq_base": 10000.0, "rope.scaling.original_context_length": 256,
        "rope.scaling.attn_factor": magnitude}
    reference.write_gguf(folder / "model.gguf", "phi3", keys, factors + list(tensors_of(model, PHI_NAMES, 0)))
    reference.write_folder(folder / "hf", model, {
        "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", **PHI, "rope_theta": 10000.0,
        "rope_scaling": {"type": "longrope", **PHI_FACTORS}, "torch_dtype": "bfloat16"})


def write_gemma(folder, model):
    keys = keys_of(GEMMA) | {
        "attention.key_length": 24, "attention.value_length": 24, "rope.freq_base": 1000000.0,
        "rope.scaling.type": "linear", "rope.scaling.factor": 8.0}
    reference.write_gguf(folder / "model.gguf", "gemma3", keys, tensors_of(model, GEMMA_NAMES, 1))
    reference.write_folder(folder / "hf", model, {
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", **GEMMA,
        "hidden_activation": "gelu_pytorch_tanh", "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "torch_dtype": "bfloat16"})


def llama_tensors(model):
    """With rows of q and k as converters to GGUF reorder them."""
    heads = {"attn_q": LLAMA["num_attention_heads"], "attn_k": LLAMA["num_key_value_heads"]}
    for name, tensor in tensors_of(model, LLAMA_NAMES, 0):
        n_heads = heads.get(name.split(".")[-2])
        yield name, reference.adjacent(tensor, n_heads) if n_heads else tensor
    if not model.config.tie_word_embeddings:
        yield "output.weight", model.state_dict()["lm_head.weight"]


def write_llama(config, more_keys, folder, model):
    name = folder.name
    keys = keys_of(config) | {"rope.freq_base": config["rope_theta"], "rope.dimension_count": 16} | more_keys
    reference.write_gguf(folder / "model.gguf", name, keys, llama_tensors(model))
    reference.write_folder(folder / "hf", model, {
        "architectures": [type(model).__name__], "model_type": name, **config, "rope_scaling": None, "torch_dtype": "bfloat16"})


def write_granite(folder, model):
    write_llama(GRANITE, {
        "attention.scale": GRANITE["attention_multiplier"], "embedding_scale": GRANITE["embedding_multiplier"],
        "residual_scale": GRANITE["residual_multiplier"], "logit_scale": GRANITE["logits_scaling"]}, folder, model)


def write_smollm(folder, model):
    write_llama(SMOLLM, {}, folder, model)


if __name__ == "__main__":
    reference.make_all([("phi4_mini", phi4_mini, (5, 23, 264), write_phi),
                        ("gemma3_large", gemma3_large, (5, 23, 48), write_gemma, 1e-4),
                        ("granite", granite, (5, 23, 48), write_granite),
                        ("smollm3", smollm3, (5, 23, 48), write_smollm)])
