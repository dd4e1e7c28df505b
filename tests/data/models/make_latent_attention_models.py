#!/usr/bin/env python3
"""Makes the models of latent attention that no released fixture covers, and the numbers that transformers gives for them.

deepseek_v2: groups limited by their best expert, softmax, queries with a latent; kimi_k2: DeepSeek-V3's arithmetic with one
group, YaRN by 32; glm4_7_flash: without YaRN, values wider than keys, another epsilon. Random weights from fixed seeds, exact
in bfloat16. Seeds are tried until disturbing the embeddings by 4e-4 changes no expert and no greedy token.

Needs transformers 5.4, torch, safetensors and gguf. It writes NAME/model.gguf and NAME/expected.safetensors beside itself, of
the models that its arguments name, or of all.
"""

import pathlib
import sys

import gguf
import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

VOCAB, LAYERS, HIDDEN = 320, 3, 64
PROMPT_LENGTHS = (5, 23, 48)
N_GREEDY = 16
SHARED = dict(
    vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=96, num_hidden_layers=LAYERS, num_attention_heads=4,
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


def make_model(config, seed):
    # Sigmoids of wide scores nearly tie at 1.
    router_scale = 0.5 if getattr(config, "topk_method", None) == "group_limited_greedy" else 0.15
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in list(model.named_parameters()) + list(model.named_buffers()):
            if "inv_freq" in name:
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if "norm" in name:
                value = 1 + 0.2 * noise
            elif "correction_bias" in name:
                value = 0.05 * noise
            else:
                value = noise * (router_scale if "gate.weight" in name else 2.0 / tensor.shape[-1] ** 0.5)
            tensor.copy_(value.bfloat16().float())
    for layer in model.model.layers:
        if hasattr(layer.mlp, "experts"):
            layer.mlp.num_experts = config.n_routed_experts  # transformers 5.4 asks for it with groups.
    return model


class Run:
    """One forward pass with what it chose."""

    def __init__(self, model, ids, disturbance=None):
        self.routed = []
        blocks = [layer.mlp for layer in model.model.layers if hasattr(layer.mlp, "experts")]
        originals = [block.route_tokens_to_experts for block in blocks]
        for block, original in zip(blocks, originals):
            block.route_tokens_to_experts = lambda logits, original=original: self.note(original(logits))
        with torch.no_grad():
            embeddings = model.model.embed_tokens(torch.tensor([ids]))
            if disturbance is not None:
                embeddings = embeddings * (1 + disturbance[: len(ids)])
            out = model(inputs_embeds=embeddings, output_hidden_states=True, use_cache=False)
        for block, original in zip(blocks, originals):
            block.route_tokens_to_experts = original
        self.logits = out.logits[0].numpy()
        self.hidden = out.hidden_states

    def note(self, result):
        ids, order = result[0].sort(dim=-1)
        self.routed.append((ids.numpy().astype(np.int32), result[1].gather(1, order).float().numpy()))
        return result

    def ids(self):
        return np.stack([ids for ids, _ in self.routed])


def hidden_rows(model, ids):
    """The residual stream entering each layer and leaving the last one, before the final norm."""
    rows = []
    hooks = [layer.register_forward_pre_hook(lambda _, args, kwargs: rows.append((args or (kwargs["hidden_states"],))[0]),
                                             with_kwargs=True) for layer in model.model.layers]
    hooks.append(model.model.norm.register_forward_pre_hook(lambda _, args: rows.append(args[0])))
    Run(model, ids)
    for hook in hooks:
        hook.remove()
    return np.stack([row[0].detach().numpy() for row in rows])


def greedy(model, prompt, disturbance=None):
    ids = list(prompt)
    for _ in range(N_GREEDY):
        ids.append(int(Run(model, ids, disturbance).logits[-1].argmax()))
    return ids[len(prompt):]


def expectations(config, seed):
    """What the model with that seed gives, or nothing where a small disturbance changes a choice."""
    model = make_model(config, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    expected = {}
    for i, length in enumerate(PROMPT_LENGTHS):
        prompt = torch.randint(0, VOCAB, (length,), generator=generator).tolist()
        run = Run(model, prompt)
        disturbances = [4e-4 * torch.randn(length + N_GREEDY, HIDDEN, generator=generator) for _ in range(2)]
        if not all(np.array_equal(Run(model, prompt, d).ids(), run.ids()) for d in disturbances):
            return None, None
        tokens = greedy(model, prompt)
        if len(set(tokens)) < 4:
            return None, None
        if not all(greedy(model, prompt, d) == tokens for d in disturbances):
            return None, None
        expected |= {
            f"prompt_{i}": np.array(prompt, np.int32), f"logits_{i}": run.logits, f"hidden_{i}": hidden_rows(model, prompt),
            f"greedy_{i}": np.array(tokens, np.int32), f"topk_ids_{i}": run.ids(),
            f"topk_weights_{i}": np.stack([weights for _, weights in run.routed])}
    return model, expected


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


def write_gguf(path, name, config, model):
    writer = gguf.GGUFWriter(path, "deepseek2")
    writer.add_name(f"tiny-{name}")
    rope = config.rope_parameters
    sigmoid = name != "deepseek_v2"
    for key, value in {
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
            "rope.dimension_count": config.qk_rope_head_dim}.items():
        writer.add_uint32("deepseek2." + key, value)
    writer.add_float32("deepseek2.rope.freq_base", rope["rope_theta"])
    writer.add_float32("deepseek2.attention.layer_norm_rms_epsilon", config.rms_norm_eps)
    writer.add_float32("deepseek2.expert_weights_scale", config.routed_scaling_factor)
    writer.add_bool("deepseek2.expert_weights_norm", bool(config.norm_topk_prob))
    if rope["rope_type"] == "yarn":
        writer.add_string("deepseek2.rope.scaling.type", "yarn")
        writer.add_float32("deepseek2.rope.scaling.factor", rope["factor"])
        writer.add_uint32("deepseek2.rope.scaling.original_context_length", rope["original_max_position_embeddings"])
        writer.add_float32("deepseek2.rope.scaling.yarn_beta_fast", rope["beta_fast"])
        writer.add_float32("deepseek2.rope.scaling.yarn_beta_slow", rope["beta_slow"])
        writer.add_float32("deepseek2.rope.scaling.yarn_log_multiplier", 0.1 * rope["mscale_all_dim"])
    for tensor_name, tensor in tensors_of(config, model.state_dict()):
        tensor = tensor.contiguous()
        if tensor.dim() == 1 or "ffn_gate_inp" in tensor_name:
            writer.add_tensor(tensor_name, tensor.float().numpy())
        else:
            bits = tensor.bfloat16().view(torch.int16).numpy().view(np.uint8)
            writer.add_tensor(tensor_name, bits, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    torch.set_num_threads(1)
    here = pathlib.Path(__file__).parent
    for make in (deepseek_v2, kimi_k2, glm4_7_flash):
        name, config = make.__name__, make()
        if name not in (sys.argv[1:] or name):
            continue
        model = None
        seed = 100
        while model is None:
            seed += 1
            model, expected = expectations(config, seed)
        (here / name).mkdir(exist_ok=True)
        save_file({key: np.ascontiguousarray(value) for key, value in expected.items()},
                  here / name / "expected.safetensors")
        write_gguf(here / name / "model.gguf", name, config, model)
        print(f"{name}: seed {seed}")


if __name__ == "__main__":
    main()
