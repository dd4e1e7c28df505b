"""S27 and S29: what clients write and what they are answered stays between them and the router.

    canary_test.py SHOAL_BINARY [N_REQUESTS]

Puts strings that exist nowhere else into prompts, stop strings, model names and bodies that cannot
be read, kills a worker meanwhile, and then looks for them, and for the answers, in everything that
a cluster leaves behind: logs, metrics, status, data directories. As text, hex, base64 and token ids.
"""
import base64
import hashlib
import http.client
import json
import pathlib
import secrets
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "nemesis"))
from cluster import Cluster, free_ports, http_get  # noqa: E402

MODEL = "models/tales-moe-11m-q8_0.gguf"
SHOAL = sys.argv[1]
N_REQUESTS = int(sys.argv[2]) if len(sys.argv) > 2 else 60
PIECE = 24  # Bytes of an answer that cannot be there by chance.


def post(address, path, body):
    """The reply's text; a client that gets no answer is one of the faults."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("POST", path, body, {"content-type": "application/json"})
        return connection.getresponse().read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def token_ids(text):
    done = subprocess.run([SHOAL, "tokenize", MODEL], input=text, capture_output=True, text=True,
                          check=True)
    return json.loads(done.stdout)


def forms(text):
    """How it may look somewhere: bytes that give it away."""
    raw = text.encode()
    found = [raw, raw.hex().encode(), raw.hex().upper().encode()]
    for shift in range(3):  # A base64 text begins anywhere; its ends depend on what lies beside it.
        code = base64.b64encode(b"\0" * shift + raw)
        found.append(code[4:-4] if shift else code[:-4])
    return found


def id_forms(ids):
    found = [sep.join(map(str, ids)).encode() for sep in (",", ", ", " ")]
    return found + [b"".join(i.to_bytes(size, "little") for i in ids) for size in (2, 4, 8)]


def everything(cluster, root):
    """Name and bytes of all that a cluster shows and keeps; files of the same bytes once."""
    seen = set()
    for path in sorted(pathlib.Path(root).rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes()
        digest = hashlib.sha256(content).digest()
        if digest not in seen:
            seen.add(digest)
            yield str(path), content
    for name, address in cluster.ops.items():
        for path in ("/metrics", "/status", "/readyz", "/no-such-path"):
            try:
                yield f"{name}{path}", http_get(address, path)[1].encode()
            except (OSError, http.client.HTTPException):
                pass  # The one that was killed.
    yield "shoal status", cluster.run("status", "--json", "--data-dir",
                                      cluster.coordinator_dir).encode()


def ask(address, model, i, canaries):
    """One request of a kind that `i` chooses; the text of its answer."""
    canary = f"zq{secrets.token_hex(12)}"
    canaries.append(canary)
    if i % 10 == 7:  # Refused, with the canary in what is refused.
        bad = [{"model": canary, "prompt": canary}, {"model": model, "prompt": [canary]},
               {"model": model, "prompt": "a", "temperature": canary}, {canary: canary}]
        post(address, f"/v1/completions?{canary}", json.dumps(bad[i // 10 % len(bad)]))
        post(address, "/v1/completions", '{"prompt": "' + canary)
        post(address, f"/{canary}", "{}")
        return ""
    sampling = {"model": model, "max_tokens": 24, "temperature": 1.0, "seed": i,
                "stop": [canary + "stop"], "stream": i % 3 == 0, "user": canary}
    if i % 2:
        body = {**sampling, "messages": [{"role": "user", "content": f"A tale of {canary} please"}]}
        text = post(address, "/v1/chat/completions", json.dumps(body))
    else:
        body = {**sampling, "prompt": f"Once there was {canary}, and"}
        text = post(address, "/v1/completions", json.dumps(body))
    if body["stream"]:
        return ""
    choice = (json.loads(text or "{}").get("choices") or [{}])[0]
    return choice.get("text") or (choice.get("message") or {}).get("content") or ""


def main():
    canaries, answers = [], []
    with tempfile.TemporaryDirectory(prefix="shoal-canary-") as root, \
            Cluster(SHOAL, root) as cluster:
        model_id = cluster.import_model(MODEL)
        cluster.ops["coordinator"] = f"127.0.0.1:{free_ports(1)}"
        address = cluster.bring_up(2, "--model", model_id, "--ops-listen",
                                   cluster.ops["coordinator"])
        model = json.loads(http_get(address, "/v1/models")[1])["data"][0]["id"]
        for i in range(N_REQUESTS):
            if i == N_REQUESTS // 2:
                cluster.workers["worker-1"].kill()
            answers.append(ask(address, model, i, canaries))
        needles = [form for canary in canaries for form in forms(canary)]
        for canary in canaries[:8]:
            needles += id_forms(token_ids(canary)[:12])
        for answer in answers:
            if len(answer.encode()) >= PIECE:
                needles += forms(answer.encode()[:PIECE].decode(errors="ignore"))
        n_places, n_bytes, hits = 0, 0, []
        for name, content in everything(cluster, root):
            n_places, n_bytes = n_places + 1, n_bytes + len(content)
            hits += [(name, needle) for needle in needles if needle in content]
        n_answers = sum(len(answer) > 0 for answer in answers)
        print(f"{len(canaries)} requests, {n_answers} answers, {len(needles)} forms, "
              f"{n_places} places, {n_bytes} bytes: {len(hits)} hits")
        for name, needle in hits[:10]:
            print(f"  {name}: {needle!r}")
        for canary in canaries[:3]:  # That the search would find one.
            for beside in (b"", b"a", b"bc"):
                raw = beside + canary.encode() + b"def"
                assert all(any(form in hidden for form in forms(canary))
                           for hidden in (raw, raw.hex().encode(), base64.b64encode(raw))), canary
        assert n_answers > N_REQUESTS // 4 and n_places > 20, "too little was looked at"
        held = not hits
    print("held" if held else "FAILED")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
