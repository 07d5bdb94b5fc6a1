"""Asks a precis server with OpenAI's client. openai_client.py URL MEMORY ANSWER"""
import sys

import openai

url, memory, answer = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
question = dict(model="run", temperature=0, max_tokens=8, messages=[{"role": "user", "content": "Where?"}],
                extra_body={"memories": [memory]})

assert [m.id for m in client.models.list()] == ["run"]
whole = client.chat.completions.create(**question)
said = whole.choices[0].message.content
assert said.rstrip("\n") == answer, whole
assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
pieces = list(client.chat.completions.create(**question, stream=True, stream_options={"include_usage": True}))
assert "".join(p.choices[0].delta.content or "" for p in pieces if p.choices) == said
assert pieces[-1].usage == whole.usage
text = client.completions.create(model="run", prompt="It sells", temperature=0, max_tokens=4, stop=["."],
                                 extra_body={"memories": [memory]})
assert text.choices[0].finish_reason in ("stop", "length") and "." not in text.choices[0].text
for wrong, kind in [(dict(model="other"), openai.NotFoundError), (dict(temperature=9), openai.BadRequestError),
                    (dict(extra_body={"memories": ["mem-000000000000000000000000"]}), openai.NotFoundError)]:
    try:
        client.chat.completions.create(**{**question, **wrong})
        raise SystemExit(f"not refused: {wrong}")
    except kind as e:
        assert e.body["message"] and e.body["type"], e.body
print("all right")
