"""Settings of the knowledge base, read from the environment and `.env`."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_PLACEHOLDERS = re.compile(r"(?i)^(change[-_ ]?me|your[-_ ].*|xxx+|<.*>|todo|secret|password|example)$")


class KbSettings(BaseSettings):
    """Search, embeddings and the accepted rate of wrong answers."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    kb_top_k: int = Field(default=5, ge=1, le=50)
    kb_similarity_threshold: float | None = Field(default=None, ge=0, le=1)
    """A fixed cut-off on the similarity that overrides the calibrated confidence."""
    max_wrong_answer_rate: float = Field(default=0.02, gt=0, lt=1)
    embedding_api_base: str = ""
    """Empty: the bundled model."""
    embedding_api_key: SecretStr | None = None
    embedding_model: str = ""
    rerank_api_base: str = ""
    """Empty: the order of the search stays."""
    rerank_api_key: SecretStr | None = None
    rerank_model: str = ""

    @field_validator("rerank_api_key")
    @classmethod
    def _no_placeholder(cls, value: SecretStr | None) -> SecretStr | None:
        if value and _PLACEHOLDERS.match(value.get_secret_value().strip()):
            raise ValueError("is still a placeholder; put the real value, or leave it empty")
        return value

    @field_validator("embedding_api_base", "rerank_api_base")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("is not a URL; example: https://api.openai.com/v1")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _names_the_model(self) -> Self:
        if self.embedding_api_base and not self.embedding_model:
            raise ValueError("EMBEDDING_MODEL is missing beside EMBEDDING_API_BASE; example: text-embedding-v4")
        if self.rerank_api_base and not self.rerank_model:
            raise ValueError("RERANK_MODEL is missing beside RERANK_API_BASE; example: BAAI/bge-reranker-v2-m3")
        return self
