"""The chat model, from settings: any server that speaks the OpenAI chat protocol."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tools.errors import ConfigurationError
from tools.settings import ModelSettings

MAX_TOKENS = 800


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where a provider's server is and which of its models suits a help desk."""

    base_url: str
    model: str


PROVIDERS = {
    "kimi": Provider(base_url="https://api.moonshot.cn/v1", model="kimi-latest"),
    "openai": Provider(base_url="https://api.openai.com/v1", model="gpt-4o-mini"),
    "deepseek": Provider(base_url="https://api.deepseek.com/v1", model="deepseek-chat"),
    "qwen": Provider(base_url="https://dashscope.aliyuncs.com/compatible-mode/v1", model="qwen-plus"),
}


def make_chat_model(settings: ModelSettings) -> BaseChatModel | None:
    """Build the configured model; None when there is neither a key nor a base.

    Raises:
        ConfigurationError: the provider is unknown, or a model or base is missing.
    """
    name = settings.llm_provider.lower()
    if name == "none" or (settings.llm_api_key is None and not settings.llm_api_base):
        return None
    known = PROVIDERS.get(name)
    if known is None and not (settings.llm_api_base and settings.llm_model):
        raise ConfigurationError(
            f"LLM_PROVIDER: {settings.llm_provider!r} is not one of {', '.join([*PROVIDERS, 'none'])}; "
            "for any other server set LLM_API_BASE and LLM_MODEL"
        )
    return ChatOpenAI(
        base_url=settings.llm_api_base or (known.base_url if known else ""),
        model=settings.llm_model or (known.model if known else ""),
        # A server on the local network often wants no key, the client always wants one.
        api_key=settings.llm_api_key or SecretStr("none"),
        timeout=settings.llm_timeout_seconds,
        max_retries=1,
        temperature=0,
        use_responses_api=False,
        # max_tokens= would be sent as max_completion_tokens, which compatible servers do not know.
        extra_body={"max_tokens": MAX_TOKENS},
    )
