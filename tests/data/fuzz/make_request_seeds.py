"""Writes request/: what the openai client and curl-like clients really send, and requests at the caps.

    .cache/venv/bin/python tests/data/fuzz/make_request_seeds.py

A seed's first byte says what the rest is: 0 a head, 1 a chat's body, 2 a completion's body.
"""
import http.server
import json
import pathlib
import threading

import openai

FOLDER = pathlib.Path(__file__).parent / "request"
seen = []


class Recorder(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        # The length of a value depends on the client's version; the platform's names are dropped.
        fields = [(k, v) for k, v in self.headers.items()
                  if not k.lower().startswith("x-stainless") and k.lower() != "user-agent"]
        head = self.requestline + "\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields) + "\r\n"
        seen.append((self.path, head.encode(), body))
        self.send_response(400)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST

    def log_message(self, *_):
        pass


def record(client):
    story = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "A fox?"}]
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    calls = [
        lambda: client.chat.completions.create(model="m", messages=story),
        lambda: client.chat.completions.create(
            model="m", messages=story, stream=True, stream_options={"include_usage": True},
            temperature=0.5, top_p=0.9, seed=7, stop=["\n\n", "END"], max_tokens=9, n=1,
            extra_body={"ignore_eos": True, "chat_template_kwargs": {"enable_thinking": False}}),
        lambda: client.chat.completions.create(
            model="m", max_completion_tokens=3, tools=[tool], tool_choice="auto", messages=story + [
                {"role": "assistant", "content": None, "tool_calls": [
                    {"id": "1", "type": "function",
                     "function": {"name": "weather", "arguments": "{}"}}]},
                {"role": "tool", "content": "sun", "tool_call_id": "1"},
                {"role": "user", "content": [{"type": "text", "text": "h\u00e9 \U0001f98a"}]}]),
        lambda: client.completions.create(model="m", prompt="Once", max_tokens=3, echo=False),
        lambda: client.completions.create(model="m", prompt=[1, 2, 3], seed=-1, logit_bias={}),
    ]
    for call in calls:
        try:
            call()
        except openai.BadRequestError:
            pass


def at_the_caps(past):
    """Requests that are as large as they may be, or larger by `past`."""
    chat = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
    depth = 63 + past  # Inside the request's own level.
    yield 1, json.dumps(chat | {"stop": ["s"] * (16 + past)})
    yield 1, json.dumps(chat | {"stop": "s" * (256 + past)})
    yield 1, json.dumps(chat)[:-1] + ', "user": ' + "[" * depth + "]" * depth + "}"
    yield 1, json.dumps(chat | {"messages": chat["messages"] * (1024 + past)})
    yield 2, json.dumps({"model": "m", "prompt": ["\ud83e\udd8a"], "temperature": 2 + past, "top_p": 1})
    yield 0, "GET / HTTP/1.1\r\n" + "A: b\r\n" * (100 + past) + "\r\n"


def main():
    FOLDER.mkdir(exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    record(openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none",
                         max_retries=0))
    server.shutdown()
    seeds = []
    for path, head, body in seen:
        seeds += [(0, head), (1 if "chat" in path else 2, body)]
    for past in (0, 1):
        seeds += [(kind, text.encode()) for kind, text in at_the_caps(past)]
    for i, (kind, data) in enumerate(seeds):
        (FOLDER / f"{('head', 'chat', 'text')[kind]}-{i:02}").write_bytes(bytes([kind]) + data)


if __name__ == "__main__":
    main()
