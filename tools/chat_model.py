"""The chat model, from settings: any server that speaks the OpenAI chat protocol."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.exceptions import ContextOverflowError, LangChainException, ModelInvalidRequestError
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from openai import ContentFilterFinishReasonError, DefaultAsyncHttpxClient, LengthFinishReasonError
from pydantic import Field, SecretStr

from tools.circuit_breaker import CircuitBreaker
from tools.errors import ConfigurationError, ModelUnavailableError
from tools.settings import ModelSettings

MAX_TOKENS = 800

_ANSWERED = (ModelInvalidRequestError, ContextOverflowError, GeneratorExit)
"""The server is there: it refuses this one request, for a word or its length, or the reader has read enough."""


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


class Mask(Protocol):
    """Hides values in one request and puts them back into its reply."""

    def hide(self, text: str) -> str:
        """Return the text with marks instead of the values."""
        ...

    def restore(self, text: str) -> str:
        """Return the text with the values instead of the marks."""
        ...


class GuardedChatModel(ChatOpenAI):
    """A model whose server is left alone after several failures in a row.

    Its awaited calls raise `ModelUnavailableError` or one of LangChain's exceptions, whatever the server sends. A call
    cancelled by its caller counts as a failure: that is how a time limit around it looks from here.
    """

    breaker: CircuitBreaker = Field(exclude=True, repr=False)
    make_mask: Callable[[], Mask] | None = Field(default=None, exclude=True, repr=False)
    """Makes what hides personal values from the server; None: it sees them. Needs `disable_streaming`."""

    async def aclose(self) -> None:
        """Close the connections."""
        await self.root_async_client.close()

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        mask = self.make_mask() if self.make_mask else None
        with self._guarded():
            shown = [_changed(message, mask.hide) for message in messages] if mask else messages
            result = await super()._agenerate(shown, *args, **kwargs)
            if not result.generations:
                raise _unusable("no choices")
            if mask:
                for generation in result.generations:
                    generation.message = _changed(generation.message, mask.restore)
            return result

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        with self._guarded():
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        if not self.breaker.allow():
            raise ModelUnavailableError("the chat model did not answer several times and is not asked for a while")
        has_answered = False
        try:
            yield
            has_answered = True
        except _ANSWERED:
            has_answered = True
            raise
        except (LengthFinishReasonError, ContentFilterFinishReasonError) as error:
            # Only raised when JSON was asked for: the server is there, what it wrote was cut off.
            has_answered = True
            raise _unusable(type(error).__name__) from error
        except (LangChainException, ModelUnavailableError, TimeoutError):
            raise
        except Exception as error:
            # Whatever a server sends instead of an answer ends up somewhere in the client.
            raise _unusable(type(error).__name__) from error
        finally:
            (self.breaker.succeeded if has_answered else self.breaker.failed)()


def _unusable(why: str) -> ModelUnavailableError:
    return ModelUnavailableError(f"the chat model's server sent no usable answer ({why}); check LLM_API_BASE")


def _changed(message: BaseMessage, change: Callable[[str], str]) -> BaseMessage:
    """Return a message with its texts changed; pictures stay."""
    if isinstance(message.content, str):
        return message.model_copy(update={"content": change(message.content)})
    parts = [
        {**part, "text": change(part["text"])} if isinstance(part, dict) and "text" in part else part
        for part in message.content
    ]
    return message.model_copy(update={"content": parts})


def make_chat_model(settings: ModelSettings, make_mask: Callable[[], Mask] | None = None) -> GuardedChatModel | None:
    """Build the configured model, to be closed at the end; None when there is neither a key nor a base.

    `make_mask` is used unless the settings say that the server may see personal values.

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
    if not settings.kefu_mask_personal:
        make_mask = None
    return GuardedChatModel(
        make_mask=make_mask,
        # A mark may come in two pieces of a stream.
        disable_streaming=make_mask is not None,
        breaker=CircuitBreaker("chat model", failures=settings.llm_failures, pause_seconds=settings.llm_pause_seconds),
        base_url=settings.llm_api_base or (known.base_url if known else ""),
        model=settings.llm_model or (known.model if known else ""),
        # A server on the local network often wants no key, the client always wants one.
        api_key=settings.llm_api_key or SecretStr("none"),
        # The default one is shared by everything with this base address: nobody could close it.
        http_async_client=DefaultAsyncHttpxClient(),
        timeout=settings.llm_timeout_seconds,
        max_retries=1,
        temperature=0,
        use_responses_api=False,
        # max_tokens= would be sent as max_completion_tokens, which compatible servers do not know.
        extra_body={"max_tokens": MAX_TOKENS},
    )
