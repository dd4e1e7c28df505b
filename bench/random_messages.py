#!/usr/bin/env python3
"""Random conversations through chat templates, ours and those of transformers.

    random_messages.py SHOAL_BINARY N_CASES TEMPLATE_FILE...

Usual and unusual ones: tools with every kind of schema, calls and results, empty, missing and
multi-part content, reasoning, switches, roles out of order. N_CASES of each template. A text must
be equal, an error an error, and one that the template raises must have its message. Needs PyPI's
transformers. Prints a line per template, and the first few cases that differ; fails if any does.
"""
import datetime
import json
import random
import subprocess
import sys

import jinja2
from transformers.utils import chat_template_utils

NOW = datetime.datetime(2026, 3, 4, 15, 6, 7)
N_SHOWN = 3
BITS = ["hello", "World", " ", "  ", "\n", "\n\n", "</think>", "<think>", "<think>\n",
        "\n</think>\n\n", "[/INST]", "<|im_end|>", "{{ x }}", "{% if %}", "\u00e9", "\u4e2d", "\u3000",
        "\t", "'", '"', "\\", "<tool_call>", "</tool_response>", "<tool_response>", "1.5", "None",
        "true", "/no_think", "/think", "\u2028", "&lt;", "<", "\u00df", "|", "\r\n", "final",
        "<|channel|>final<|message|>", "\U0001f642", "\x0b", "\x1c", "\x85", "\u200b", "system"]
NUMBERS = [0, 1, -3, 10**12, 1.5, 1e-7, 1e22, 2.0, -0.0, 1e16, 123456789.123, 0.1, 5e-324]
TYPES = ["string", "number", "integer", "array", "boolean", "object", None,
         ["string", "null"], ["number", "string", "array"], "any"]
SWITCHES = {"enable_thinking": [True, False, None, "no"], "thinking": [True, False],
            "reasoning_effort": ["low", "high", ""], "custom_instructions": ["Be brief.", ""],
            "tools_in_user_message": [True, False], "date_string": ["1 Jan 2025"],
            "xml_tools": [["a", '{"name": "x"}']], "python_tools": [["a"], []],
            "builtin_tools": [["python"], ["browser", "python"], []]}


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = FixedClock


class Source:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def often(self, share):
        return self.random.random() < share

    def text(self):
        return "".join(self.random.choice(BITS) for _ in range(self.random.randint(0, 9)))

    def value(self, depth=0):
        kind = self.random.random()
        if kind < .35 or depth > 2:
            return self.text()
        if kind < .6:
            return self.random.choice([*NUMBERS, True, False, None])
        n = self.random.randint(0, 3)
        if kind < .8:
            return [self.value(depth + 1) for _ in range(n)]
        keys = ["a", "items", "keys", "x y", "\u00e9", "type", "description", "get", "0", ""]
        return {self.random.choice(keys): self.value(depth + 1) for _ in range(n)}

    def schema(self, depth=0):
        members = {
            "type": (.9, lambda: self.random.choice(TYPES)),
            "description": (.7, self.text),
            "enum": (.3, lambda: ["a", self.text()]),
            "items": (.3, lambda: self.schema(depth + 1)),
            "default": (.25, lambda: self.value(2)),
            "nullable": (.15, lambda: self.often(.5)),
            "anyOf": (.1, lambda: [self.schema(depth + 1)]),
            "properties": (.2, lambda: {"p": self.schema(depth + 1), "items": {}}),
            "additionalProperties": (.15, lambda: {"type": "string"}),
        }
        return {key: make() for key, (share, make) in members.items()
                if self.often(share if depth < 3 else share / 8)}

    def tool(self):
        parameters = {"type": "object"}
        if self.often(.9):
            names = self.random.sample(["p", "q", "r", "items", "x y"], self.random.randint(0, 3))
            parameters["properties"] = {name: self.schema() for name in names}
        if self.often(.6):
            parameters["required"] = self.random.sample(["p", "q"], self.random.randint(0, 2))
        function = {"name": self.random.choice(["f", "python", "\u00e9"])}
        if self.often(.9):
            function["description"] = self.text()
        if self.often(.9):
            function["parameters"] = parameters
        return {"type": "function", "function": function} if self.often(.95) else function

    def content(self):
        part = self.random.choice([{"type": "text", "text": self.text()}, {"type": "image"}])
        return self.random.choice([self.text()] * 16 + ["", None, [part, part], [], [part]])

    def calls(self):
        arguments = [{"p": self.value(1)}, {"p": self.text(), "q": 1}, {}, '{"p": 1}', "", None]
        return [{"id": f"abcdefgh{i}", "type": "function",
                 "function": {"name": "f", "arguments": self.random.choice(arguments)}}
                for i in range(self.random.choice([0, 1, 1, 2]))]

    def messages(self):
        out = []
        if self.often(.45):
            out.append({"role": self.random.choice(["system"] * 4 + ["developer"]),
                        "content": self.content()})
        for _ in range(self.random.randint(0 if out else 1, 4)):
            out.append({"role": "user", "content": self.content()})
            if self.often(.2):
                continue
            answer = {"role": "assistant"}
            if self.often(.9):
                answer["content"] = self.content()
            for key in "reasoning_content", "thinking":
                if self.often(.2):
                    answer[key] = self.random.choice([self.text(), self.text(), "", None])
            out.append(answer)
            if self.often(.35):
                answer["tool_calls"] = self.calls()
                for call in answer["tool_calls"]:
                    out.append({"role": "tool", "content": self.content(), "name": "f",
                                "tool_call_id": call["id"]})
        if self.often(.04):
            self.random.shuffle(out)
        return out

    def variables(self):
        tools = [self.tool() for _ in range(self.random.randint(0, 3))]
        out = {"messages": self.messages(), "tools": tools if self.often(.4) else None,
               "add_generation_prompt": self.often(.6), "documents": None,
               "bos_token": "<s>", "eos_token": "</s>"}
        out |= {k: self.random.choice(v) for k, v in SWITCHES.items() if self.often(.1)}
        return out


def truth_of(template, variables):
    """The text, or None and what the template raises, "" for any other error."""
    try:
        return template.render(**json.loads(json.dumps(variables))), None
    except jinja2.exceptions.TemplateError as error:
        return None, str(error) if type(error) is jinja2.exceptions.TemplateError else ""
    except (TypeError, AttributeError, KeyError, ValueError, IndexError, RecursionError):
        return None, ""


def compare(shoal, n_cases, path):
    with open(path, encoding="utf-8", newline="") as file:
        template = chat_template_utils._compile_jinja_template(file.read())
    source = Source(path)
    n_errors = n_differ = 0
    for _ in range(n_cases):
        variables = source.variables()
        text, error = truth_of(template, variables)
        run = subprocess.run([shoal, "template", "--chat-template", path, "--now",
                              NOW.isoformat()], input=json.dumps(variables).encode(),
                             capture_output=True, check=False)
        n_errors += error is not None
        if error is None:
            equal = run.returncode == 0 and run.stdout.decode() == text
        else:
            equal = run.returncode == 1 and error in run.stderr.decode()
        if equal:
            continue
        n_differ += 1
        if n_differ <= N_SHOWN:
            print(f"  {json.dumps(variables)}\n    is   {text if error is None else error!a}\n"
                  f"    here {(run.stdout or run.stderr).decode()!a}")
    print(f"{path}: {n_cases} cases, {n_errors} of them errors; {n_differ} differ", flush=True)
    return n_differ == 0


def main():
    equal = [compare(sys.argv[1], int(sys.argv[2]), path) for path in sys.argv[3:]]
    sys.exit(not all(equal))


main()
