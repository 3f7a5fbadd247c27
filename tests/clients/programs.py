"""
Programs that make one call through a library, and agents with one question: what `test_further_clients` runs.

Rule of this file: a program sets a breakpoint where the library can, prints the answer, and lets errors through.
"""

from dataclasses import dataclass, field

LITELLM = """
import litellm
marked = {"type": "text", "text": "Be careful.", "cache_control": {"type": "ephemeral"}}
messages = [{"role": "system", "content": [marked]}, {"role": "user", "content": "hello"}]
answer = litellm.completion(model="anthropic/claude-sonnet-4-5", max_tokens=64, messages=messages)
print(answer.choices[0].message.content)
"""
LANGCHAIN = """
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage
marked = {"type": "text", "text": "Be careful.", "cache_control": {"type": "ephemeral"}}
chat = ChatAnthropic(model="claude-sonnet-4-5", max_tokens=64)
print(chat.invoke([SystemMessage(content=[marked]), HumanMessage("hello")]).content)
"""
PYDANTIC_AI = """
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModelSettings
settings = AnthropicModelSettings(anthropic_cache_instructions=True)
agent = Agent("anthropic:claude-sonnet-4-5", instructions="Be careful.", model_settings=settings)
print(agent.run_sync("hello").output)
"""
STRANDS = """
from strands import Agent
from strands.models import CacheConfig
from strands.models.anthropic import AnthropicModel
model = AnthropicModel(model_id="claude-sonnet-4-5", max_tokens=64, cache_config=CacheConfig(strategy="auto"))
print(Agent(model=model, system_prompt="Be careful.", callback_handler=None)("hello"))
"""
_LOAD = """
import { createRequire } from "module";
import { pathToFileURL } from "url";
const require = createRequire(process.argv[2] + "/package.json");
const load = (name) => import(pathToFileURL(require.resolve(name)));
"""
AI_SDK = f"""{_LOAD}
const {{ generateText }} = await load("ai");
const {{ anthropic }} = await load("@ai-sdk/anthropic");
const marked = {{ anthropic: {{ cacheControl: {{ type: "ephemeral" }} }} }};
const content = [{{ type: "text", text: "hello", providerOptions: marked }}];
const {{ text }} = await generateText({{
    model: anthropic("claude-sonnet-4-5"), messages: [{{ role: "user", content }}],
}});
console.log(text);
"""
LANGCHAIN_JS = f"""{_LOAD}
const {{ ChatAnthropic }} = await load("@langchain/anthropic");
const chat = new ChatAnthropic({{ model: "claude-sonnet-4-5", maxTokens: 64 }});
const content = [{{ type: "text", text: "hello", cache_control: {{ type: "ephemeral" }} }}];
console.log((await chat.invoke([["human", content]])).content);
"""


@dataclass(frozen=True)
class FurtherClient:
    """
    A client as the test runs it.
    """

    name: str
    """Its row in `savemode_cli/clients.toml`, and its folder."""

    command: tuple[str, ...] = ()
    """An agent's command, with the question."""

    python: str = ""
    """A library's program; `command` is empty then."""

    node: str = ""

    skip: str = ""
    """The code of the skip, for a client whose requests have nothing to upgrade; empty for all others."""

    shows: bool = True
    """Whether it shows the answer; mini-swe-agent looks for a tool call in it."""

    exit_code: int | None = 1
    """How it leaves when it is refused; None: it does not say."""

    environ: dict[str, str] = field(default_factory=dict)


LOCAL = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # otherwise LiteLLM waits for a host that nothing here reaches

FURTHER = (
    FurtherClient("litellm", python=LITELLM, environ=LOCAL),
    FurtherClient("langchain-python", python=LANGCHAIN),
    FurtherClient("pydantic-ai", python=PYDANTIC_AI, skip="client-ttl"),
    FurtherClient("strands", python=STRANDS),
    FurtherClient("llm", ("llm", "-m", "claude-sonnet-4.5", "-o", "cache", "1", "say hello")),
    FurtherClient(
        "mini-swe-agent",
        ("mini", "-y", "--exit-immediately", "-m", "anthropic/claude-sonnet-4-5", "-t", "say hello"),
        shows=False,
        exit_code=None,
        environ=LOCAL | {"MSWEA_CONFIGURED": "true", "MSWEA_COST_TRACKING": "ignore_errors"},
    ),
    FurtherClient(
        "aider",
        (
            "aider",
            "--model=anthropic/claude-sonnet-4-5-20250929",
            "--no-git",
            "--yes-always",
            "--no-check-update",
            "--no-show-model-warnings",
            "--no-stream",
            "--analytics-disable",
            "--message=say hello",
        ),
        skip="no-markers",
        exit_code=None,
        environ=LOCAL,
    ),
    FurtherClient("ai-sdk", node=AI_SDK),
    FurtherClient("langchain-typescript", node=LANGCHAIN_JS),
    FurtherClient("opencode", ("opencode", "run", "say hello", "-m", "anthropic/claude-sonnet-4-5")),
    FurtherClient("pi", ("pi", "-p", "say hello")),
    FurtherClient("continue", ("cn", "-p", "say hello")),
    FurtherClient("cline", ("cline", "say hello")),
)
