"""--chat-template and --pre of `shoal up`, and models that lack a template or a known pre-tokenizer.

    text_options_test.py SHOAL_BINARY
"""
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

MODEL = pathlib.Path("models/tales-moe-11m-q8_0.gguf").read_bytes()
SHOAL = sys.argv[1]
KEY = b"tokenizer.chat_template"
PRE = b"tokenizer.ggml.pre"


def without_template():
    """The model with the key of its template misspelt."""
    assert MODEL.count(KEY) == 1
    return MODEL.replace(KEY, b"tokenizer.chat_tomplate")


def with_unknown_pre():
    at = MODEL.index(PRE) + len(PRE) + 4
    length = int.from_bytes(MODEL[at:at + 8], "little")
    return MODEL[:at + 8] + b"x" * length + MODEL[at + 8 + length:], MODEL[at + 8:][:length].decode()


class Up:
    """A running `shoal up` of `model`; on exit it is stopped."""

    def __init__(self, model, *options, workers=0):
        self.folder = tempfile.TemporaryDirectory(prefix="shoal-text-")
        path = pathlib.Path(self.folder.name, "model.gguf")
        path.write_bytes(model)
        self.process = subprocess.Popen(
            [SHOAL, "up", str(path), "--workers", str(workers), "--listen", "127.0.0.1:0",
             "--data-dir", self.folder.name + "/data", "--threads", "2", "--model-name", "m",
             *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        line = self.process.stdout.readline()
        assert line.startswith("listening on http://"), line + self.process.stderr.read()
        self.url = line.split()[-1]
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)
        self.folder.cleanup()

    def failure(self):
        """Of one that does not start: its exit code and what it says."""
        out, err = self.process.communicate(timeout=60)
        self.folder.cleanup()
        return self.process.returncode, out + err

    def post(self, path, **body):
        body = json.dumps({"model": "m", "max_tokens": 12, "temperature": 0, **body}).encode()
        request = urllib.request.Request(self.url + path, body)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def complete(self, prompt):
        return self.post("/v1/completions", prompt=prompt)["choices"][0]["text"]

    def chat(self, content):
        return self.post("/v1/chat/completions",
                         messages=[{"role": "user", "content": content}])


class TemplateTest(unittest.TestCase):
    def test_without_a_template_completions_work_and_chat_is_refused(self):
        with Up(without_template()) as up:
            self.assertTrue(up.complete("A fox"))
            error = up.chat("A fox")["error"]
            self.assertIn("no chat template", error["message"])
            self.assertIn("--chat-template FILE", error["message"])

    def test_a_file_sets_one_with_workers_too(self):
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as file:
            file.write("{{ messages[-1].content }}")
            file.flush()
            for workers in 0, 2:
                with Up(without_template(), "--chat-template", file.name, workers=workers) as up:
                    answer = up.chat("A fox")["choices"][0]["message"]["content"]
                    self.assertEqual(answer.strip(), up.complete("A fox").strip())

    def test_bad_files_are_refused(self):
        code, text = Up(MODEL, "--chat-template", "/no/such/file").failure()
        self.assertEqual(code, 1)
        self.assertIn("--chat-template: cannot read /no/such/file", text)
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as file:
            file.write("a\n{% include 'x' %}")
            file.flush()
            code, text = Up(MODEL, "--chat-template", file.name).failure()
        self.assertEqual(code, 1)
        self.assertIn("line 2: the tag `include` is not known", text)


class PreTest(unittest.TestCase):
    def test_an_unknown_one_is_refused_and_can_be_set(self):
        model, name = with_unknown_pre()
        code, text = Up(model).failure()
        self.assertEqual(code, 1)
        self.assertIn("is not a known pre-tokenizer; known: gpt-2", text)
        self.assertIn("--pre NAME", text)
        with Up(MODEL) as up:
            expected = up.complete("A fox isn't 12.")
        for workers in 0, 2:
            with Up(model, "--pre", name, workers=workers) as up:
                self.assertEqual(up.complete("A fox isn't 12."), expected)

    def test_a_bad_name_is_bad_usage(self):
        code, text = Up(MODEL, "--pre", "nope").failure()
        self.assertNotEqual(code, 0)
        self.assertIn("nope", text)
        self.assertIn("llama-bpe", text)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
