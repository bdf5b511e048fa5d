"""Settings of the outside world, read from the environment and `.env`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict

from tools.desk_channels import DeskChannel, parse_channels

PLACEHOLDERS = re.compile(r"(?i)^(change[-_ ]?me|your[-_ ].*|xxx+|<.*>|todo|secret|password|example)$")
"""Values people leave standing from a template; refused so that nobody runs with a public secret."""


class Slice(BaseSettings):
    """One package's part of the settings: exact variable names, empty means unset."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="after")
    @classmethod
    def _no_placeholder(cls, value: object) -> object:
        if isinstance(value, SecretStr) and PLACEHOLDERS.match(value.get_secret_value().strip()):
            raise ValueError("is still a placeholder; put the real value, or leave it empty")
        return value


AUTO = "auto"
"""Stands for a list that the vendor is asked for."""

Origin = Literal["environment", ".env", "default"]
"""Where a value comes from."""


def set_variables() -> Mapping[Origin, frozenset[str]]:
    """Return the names of what is set, ours or not, by where, in upper case; what is empty is unset.

    Raises:
        UnicodeDecodeError: `.env` is not UTF-8.
    """
    sources: Mapping[Origin, Mapping[str, str | None]] = {
        "environment": EnvSettingsSource(Slice).env_vars,
        ".env": DotEnvSettingsSource(Slice).env_vars,
    }
    return {
        origin: frozenset(name.upper() for name, value in found.items() if value) for origin, found in sources.items()
    }


def _parts(value: str) -> list[str]:
    return [part for part in (piece.strip() for piece in value.split(",")) if part]


def _base_url(value: str, example: str) -> str:
    if not re.match(r"https?://[^\s/]+", value):
        raise ValueError(f"is not a URL; example: {example}")
    return value.rstrip("/") + "/"


class WecomSettings(Slice):
    """企业微信 / 微信客服."""

    wecom_corp_id: str = ""
    wecom_agent_id: int | None = None
    wecom_agent_secret: SecretStr | None = None
    wecom_kf_secret: SecretStr | None = None
    wecom_contact_secret: SecretStr | None = None
    wecom_token: SecretStr | None = None
    wecom_encoding_aes_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("WECOM_ENCODING_AES_KEY", "WECOM_AES_KEY")
    )
    wecom_callback_allowed_ips: str = ""
    """Addresses or networks callbacks may come from, comma separated, `auto` for WeCom's own list; empty: any."""
    wecom_api_base: str = "https://qyapi.weixin.qq.com/cgi-bin/"
    kefu_app_channel: bool = False
    """Whether members of the company who write to the app are customers, but for those who answer in it."""

    @field_validator("wecom_encoding_aes_key")
    @classmethod
    def _aes_key_shape(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not re.fullmatch(r"[0-9A-Za-z]{43}", value.get_secret_value()):
            raise ValueError("must be the 43 letters and digits shown as EncodingAESKey in the WeCom console")
        return value

    @field_validator("wecom_callback_allowed_ips")
    @classmethod
    def _networks(cls, value: str) -> str:
        for part in _parts(value):
            try:
                if part != AUTO:
                    ipaddress.ip_network(part, strict=False)
            except ValueError:
                raise ValueError(f"{part!r} is no address; example: auto, or 101.226.103.0/24,81.69.1.2") from None
        return value

    @field_validator("wecom_api_base")
    @classmethod
    def _api_base(cls, value: str) -> str:
        return _base_url(value, "https://qyapi.weixin.qq.com/cgi-bin/")

    @model_validator(mode="after")
    def _all_or_nothing(self) -> WecomSettings:
        needed = {
            "WECOM_CORP_ID": bool(self.wecom_corp_id),
            "WECOM_AGENT_SECRET (or WECOM_KF_SECRET)": bool(self.wecom_agent_secret or self.wecom_kf_secret),
            "WECOM_TOKEN": self.wecom_token is not None,
            "WECOM_ENCODING_AES_KEY": self.wecom_encoding_aes_key is not None,
        }
        missing = [name for name, is_set in needed.items() if not is_set]
        if missing and len(missing) < len(needed):
            raise ValueError(f"{', '.join(missing)}: missing; WeCom needs all of {', '.join(needed)}")
        app = {
            "WECOM_CORP_ID": bool(self.wecom_corp_id),
            "WECOM_AGENT_ID": self.wecom_agent_id is not None,
            "WECOM_AGENT_SECRET": self.wecom_agent_secret is not None,
        }
        missing = [name for name, is_set in app.items() if not is_set]
        if self.kefu_app_channel and missing:
            raise ValueError(f"{', '.join(missing)}: missing, but KEFU_APP_CHANNEL is on; see the app's page in WeCom")
        return self

    @property
    def is_configured(self) -> bool:
        """Whether WeCom is set up; half a set-up does not pass validation."""
        return bool(self.wecom_corp_id)

    @property
    def allowed_networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Where callbacks may come from, as far as it is written down here."""
        parts = _parts(self.wecom_callback_allowed_ips)
        return [ipaddress.ip_network(part, strict=False) for part in parts if part != AUTO]

    @property
    def asks_for_callback_ips(self) -> bool:
        """Whether WeCom is asked from where it calls back."""
        return self.is_configured and AUTO in _parts(self.wecom_callback_allowed_ips)

    @property
    def kf_secret(self) -> SecretStr:
        """The secret for kf calls: its own, else the app's."""
        secret = self.wecom_kf_secret or self.wecom_agent_secret
        assert secret is not None, "checked by _all_or_nothing"
        return secret

    @property
    def contact_secret(self) -> SecretStr:
        """The secret for customer-contact calls: its own, else the app's."""
        return self.wecom_contact_secret or self.wecom_agent_secret or self.kf_secret


class TelegramSettings(Slice):
    """The desks, and Telegram."""

    notification_enabled: bool = True
    notification_channel: str = Field(default="", repr=False)
    """`telegram:<chat id>`, `wecom:<userid|userid>`, `wecom-webhook:<key>`; several, comma separated, in order."""
    telegram_bot_token: SecretStr | None = None
    telegram_api_base: str = "https://api.telegram.org"
    telegram_mode: Literal["polling", "webhook"] = "polling"
    telegram_webhook_secret: SecretStr | None = None
    telegram_webhook_url: str = ""
    """Where Telegram reaches us; empty when the webhook is registered by other means."""

    @field_validator("telegram_api_base")
    @classmethod
    def _api_base(cls, value: str) -> str:
        return _base_url(value, "https://api.telegram.org").rstrip("/")

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _secret_shape(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not re.fullmatch(r"[0-9A-Za-z_-]{1,256}", value.get_secret_value()):
            raise ValueError("must be 1 to 256 of A-Z a-z 0-9 _ - (Telegram setWebhook)")
        return value

    @field_validator("notification_channel")
    @classmethod
    def _channels_shape(cls, value: str) -> str:
        parse_channels(value)
        return value

    @model_validator(mode="after")
    def _complete(self) -> TelegramSettings:
        if self.chat_id is not None and self.telegram_bot_token is None:
            raise ValueError(
                "TELEGRAM_BOT_TOKEN: missing, but NOTIFICATION_CHANNEL names a Telegram chat; get one from @BotFather"
            )
        if self.telegram_mode == "webhook" and self.telegram_webhook_secret is None:
            raise ValueError(
                "TELEGRAM_WEBHOOK_SECRET: missing; TELEGRAM_MODE=webhook needs one, example: openssl rand -hex 32"
            )
        return self

    @property
    def channels(self) -> tuple[DeskChannel, ...]:
        """Where people are told of customers, in order; empty when nowhere."""
        return parse_channels(self.notification_channel) if self.notification_enabled else ()

    @property
    def chat_id(self) -> int | None:
        """The Telegram chat where people answer; None when there is none."""
        return next((channel.chat_id for channel in self.channels if channel.kind == "telegram"), None)

    @property
    def members(self) -> tuple[str, ...]:
        """The WeCom members who answer inside WeCom."""
        return next((channel.members for channel in self.channels if channel.kind == "wecom"), ())


class RedisSettings(Slice):
    """Redis, optional."""

    redis_url: SecretStr | None = None
    """Empty: everything shared stays in the process."""

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not re.match(r"(redis|rediss|unix)://", value.get_secret_value()):
            raise ValueError("is not a Redis URL; example: redis://127.0.0.1:6379/0")
        return value


class ModelSettings(Slice):
    """The chat model, optional: without one, answers are taken verbatim from the knowledge base."""

    llm_provider: str = ""
    llm_api_key: SecretStr | None = None
    llm_api_base: str = ""
    llm_model: str = ""
    llm_timeout_seconds: float = Field(default=20, gt=0, validation_alias="KEFU_LLM_TIMEOUT_SECONDS")
    llm_failures: int = Field(default=3, ge=1, validation_alias="KEFU_LLM_FAILURES")
    """Failures in a row after which the model is not asked for a while."""
    llm_pause_seconds: float = Field(default=30, ge=0, validation_alias="KEFU_LLM_PAUSE_SECONDS")
    """How long it is not asked then; after that one question tries it."""
    kefu_mask_personal: bool = True
    """Whether phone, card and identity numbers and addresses are marks in what a model is sent."""
    llm_price_input: float = Field(default=0, ge=0)
    """Price of a million tokens read, in any currency; 0: costs are not counted."""
    llm_price_output: float = Field(default=0, ge=0)
    """Price of a million tokens written."""
    llm_vision_model: str = ""
    """A model of the same server that sees; empty: pictures are not looked at."""
    speech_api_base: str = ""
    """An OpenAI-compatible server that hears; empty: voice messages are not listened to."""
    speech_api_key: SecretStr | None = None
    speech_model: str = "whisper-1"

    @field_validator("speech_api_base")
    @classmethod
    def _speech_base(cls, value: str) -> str:
        return _base_url(value, "https://api.openai.com/v1") if value else ""
