"""What the scripts beside this one share: random models of transformers, the numbers that they give, and their files.

Weights come from fixed seeds and are exact in bfloat16. Seeds are tried until disturbing the embeddings by 4e-4, or what the
model is made with, changes no expert and no greedy token, and every greedy run has four different tokens. Needs transformers
5.4, torch, safetensors and gguf.
"""

import json
import pathlib
import shutil
import sys

import gguf
import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

VOCAB = 320
N_GREEDY = 16
HERE = pathlib.Path(__file__).parent


def random_model(config, seed, value_of):
    """value_of(name, noise): a tensor's values from normal noise of its shape."""
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(seed)
    buffers = [(name, tensor) for name, tensor in model.named_buffers() if "bias" in name]
    with torch.no_grad():
        for name, tensor in list(model.named_parameters()) + buffers:
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(value_of(name, noise).bfloat16().float())
    return model


class Run:
    """One forward pass with what it chose."""

    def __init__(self, model, ids, disturbance=None):
        self.routed = []
        blocks = [layer.mlp for layer in model.model.layers if hasattr(getattr(layer, "mlp", None), "experts")]
        originals = [block.route_tokens_to_experts for block in blocks]
        for block, original in zip(blocks, originals):
            block.route_tokens_to_experts = lambda logits, original=original: self.note(original(logits))
        hooks = [layer.block_sparse_moe.router.register_forward_hook(self.note_logits)
                 for layer in model.model.layers if hasattr(layer, "block_sparse_moe")]
        with torch.no_grad():
            embeddings = model.model.embed_tokens(torch.tensor([ids]))
            if disturbance is not None:
                embeddings = embeddings * (1 + disturbance[: len(ids)])
            out = model(inputs_embeds=embeddings, use_cache=False)
        for block, original in zip(blocks, originals):
            block.route_tokens_to_experts = original
        for hook in hooks:
            hook.remove()
        self.logits = out.logits[0].numpy()

    def note(self, result):
        ids, order = result[0].sort(dim=-1)
        self.routed.append((ids.numpy().astype(np.int32), result[1].gather(1, order).float().numpy()))
        return result

    def note_logits(self, router, _, out):
        best, ids = out[-1].topk(router.top_k, dim=-1)
        self.note((ids, best.softmax(dim=-1)))

    def ids(self):
        return np.array([ids for ids, _ in self.routed])


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


def expectations(model, seed, prompt_lengths, disturbance):
    """What the model gives, or nothing where a small disturbance changes a choice."""
    generator = torch.Generator().manual_seed(seed + 1)
    expected = {}
    for i, length in enumerate(prompt_lengths):
        prompt = torch.randint(0, VOCAB, (length,), generator=generator).tolist()
        run = Run(model, prompt)
        shape = (length + N_GREEDY, model.config.hidden_size)
        disturbances = [disturbance * torch.randn(shape, generator=generator) for _ in range(2)]
        if not all(np.array_equal(Run(model, prompt, d).ids(), run.ids()) for d in disturbances):
            return None
        tokens = greedy(model, prompt)
        if len(set(tokens)) < 4:
            return None
        if not all(greedy(model, prompt, d) == tokens for d in disturbances):
            return None
        expected |= {
            f"prompt_{i}": np.array(prompt, np.int32), f"logits_{i}": run.logits, f"hidden_{i}": hidden_rows(model, prompt),
            f"greedy_{i}": np.array(tokens, np.int32)}
        if run.routed:
            expected |= {f"topk_ids_{i}": run.ids(), f"topk_weights_{i}": np.stack([weights for _, weights in run.routed])}
    return expected


def adjacent(rows, n_heads):
    """Rows of q or k reordered so that what turns together stands together, as converters to GGUF do it."""
    return rows.view(n_heads, 2, -1, rows.shape[-1]).transpose(1, 2).reshape(rows.shape)


def write_gguf(path, architecture, keys, tensors):
    """keys: name after "ARCHITECTURE." to int, float, bool or text. Matrices become BF16, vectors and routers F32."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"tiny-{path.parent.name}")
    add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    for key, value in keys.items():
        add[type(value)](f"{architecture}.{key}", value)
    for name, tensor in tensors:
        tensor = tensor.detach().contiguous()
        if tensor.dim() == 1 or "ffn_gate_inp" in name:
            writer.add_tensor(name, tensor.float().numpy())
        else:
            bits = tensor.bfloat16().view(torch.int16).numpy().view(np.uint8)
            writer.add_tensor(name, bits, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_folder(folder, model, config):
    """A checkpoint in BF16 under the names of released ones; config: the text of config.json as those spell it."""
    shutil.rmtree(folder, ignore_errors=True)
    model.bfloat16().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "generation_config.json").write_text('{"bos_token_id": 0, "eos_token_id": 1}\n')
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(HERE / "qwen3" / "hf" / name, folder / name)


def make_all(makers):
    """Each maker: name, a seed's model, the prompts' lengths, what writes its files from the model; how much is disturbed."""
    torch.set_num_threads(1)
    for name, model_of, prompt_lengths, write, *disturbance in makers:
        if name not in (sys.argv[1:] or name):
            continue
        expected = None
        seed = 100
        while expected is None:
            seed += 1
            model = model_of(seed)
            expected = expectations(model, seed, prompt_lengths, *disturbance or (4e-4,))
        (HERE / name).mkdir(exist_ok=True)
        save_file({key: np.ascontiguousarray(value) for key, value in expected.items()},
                  HERE / name / "expected.safetensors")
        write(HERE / name, model)
        print(f"{name}: seed {seed}", flush=True)
