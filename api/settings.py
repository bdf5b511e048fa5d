"""All settings: the packages' slices composed, checked once at start."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Literal, Self, get_type_hints

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from api.accounts import VARIABLE, load_accounts
from api.client_address import Network, both_spellings, parse_networks
from api.console.passwords import LONGEST, SHORTEST
from api.encryption import KeyRing
from api.outreach.law import PER_MONTH_AT_MOST
from api.outreach.quiet import QuietHours
from kb.settings import KbSettings
from tools.errors import ConfigurationError
from tools.office_hours import OfficeHours, zone_named
from tools.settings import ModelSettings, RedisSettings, Slice, TelegramSettings, WecomSettings


class ServiceSettings(Slice):
    """The service itself."""

    kb_db_url: SecretStr | None = None
    """Empty: an embedded PostgreSQL in `KEFU_DATA_DIR`."""
    kefu_data_dir: Path = Path(".kefu")
    data_encryption_key: SecretStr | None = None
    """Keys for personal data at rest, 32 bytes in base64, comma separated, the current one first; empty: not sealed."""
    api_token: SecretStr | None = None
    kefu_burst_seconds: float = Field(default=2, ge=0, le=30)
    """Customers type in short lines: how long to wait for the next one before answering."""
    kefu_customer_messages_per_minute: int = Field(default=30, ge=1)
    """What one customer may write before the bot stops answering for a while."""
    kefu_accounts_file: Path | None = None
    """What single accounts and channels have of their own; empty: all are alike."""
    kefu_take_minutes: float = Field(default=15, gt=0)
    """How long a ticket stays with somebody at the desk who does nothing."""
    kefu_log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")
    kefu_log_format: str = Field(default="console", pattern=r"^(console|json)$")

    @field_validator("data_encryption_key")
    @classmethod
    def _are_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            KeyRing.parse(value.get_secret_value())
        return value

    @property
    def key_ring(self) -> KeyRing | None:
        """What seals personal data; None: nothing does."""
        return KeyRing.parse(self.data_encryption_key.get_secret_value()) if self.data_encryption_key else None

    @field_validator("kb_db_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not _is_postgres_url(value.get_secret_value()):
            raise ValueError("is not a PostgreSQL URL; example: postgresql://kefu:…@127.0.0.1:5432/kefu")
        return value


class AccessSettings(Slice):
    """Who is believed, who may look, and how often somebody may be wrong."""

    console_password: SecretStr | None = None
    """Of the console's user `admin`; empty: only who was added by `kefu console user add` logs in."""
    kefu_metrics_allowed_ips: str = "127.0.0.1,::1"
    """Addresses or networks that read /metrics without a token, comma separated; never through a proxy."""
    kefu_trusted_proxies: str = "127.0.0.1,::1"
    """Addresses or networks whose X-Forwarded-For names the client, comma separated; `none`: nobody's."""
    kefu_failures_per_minute: int = Field(default=30, ge=1)
    """How often an address may be refused in a minute before it is told to wait."""

    @field_validator("kefu_trusted_proxies", "kefu_metrics_allowed_ips")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        _networks(value)
        return value

    @field_validator("console_password")
    @classmethod
    def _is_a_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not SHORTEST <= len(value.get_secret_value()) <= LONGEST:
            raise ValueError(f"has not {SHORTEST} to {LONGEST} characters; example: openssl rand -hex 12")
        return value

    @property
    def trusted_proxies(self) -> list[str]:
        """Whose word counts about where a request comes from, for uvicorn, which compares addresses as they come."""
        return both_spellings(_networks(self.kefu_trusted_proxies))

    @property
    def metrics_networks(self) -> list[Network]:
        """From where /metrics is read without a token."""
        return _networks(self.kefu_metrics_allowed_ips)


def _networks(value: str) -> list[Network]:
    return [] if value.strip() == "none" else parse_networks(value, example="127.0.0.1,10.0.0.0/8")


RETENTION_ROW_DAYS = 400
"""How long a finished row of inbox and outbox is kept, emptied, so that a message that comes again is known."""


class RetentionSettings(Slice):
    """How long what was said is kept."""

    kefu_retention_inbox_days: int = Field(default=90, ge=1, le=RETENTION_ROW_DAYS)
    """Texts of handled and sent messages."""
    kefu_retention_conversation_days: int = Field(default=365, ge=7, le=3650)
    """A whole conversation after its last message; not less than the channel's own windows."""


class HandoffSettings(Slice):
    """What happens while a person has a conversation, and when nobody comes."""

    kefu_handoff_mode: Literal["silent", "assist", "resume"] = "silent"
    """`silent` until handed back, `assist`: the bot answers what it is sure of, `resume`: it takes over again."""
    kefu_handoff_resume_minutes: float = Field(default=30, gt=0)
    """How long without a person before the bot takes over again in the mode `resume`."""
    kefu_handoff_remind_minutes: float = Field(default=5, gt=0)
    """How long a customer waits before the desk is reminded."""
    kefu_handoff_tell_minutes: float = Field(default=15, gt=0)
    """How long a customer waits before they are told that nobody is free."""
    kefu_office_hours: str = ""
    """`Mon-Fri 09:00-18:00; Sat 10:00-16:00`; empty: always open."""
    kefu_timezone: str = "Asia/Shanghai"

    kefu_rules_file: Path | None = None
    """The rules that call a person; empty: the shipped `prompts/escalation_rules.yaml`."""

    @field_validator("kefu_timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        zone_named(value)
        return value

    @field_validator("kefu_office_hours")
    @classmethod
    def _are_hours(cls, value: str) -> str:
        OfficeHours.parse(value, "UTC")
        return value

    @property
    def hours(self) -> OfficeHours:
        """When people are there."""
        return OfficeHours.parse(self.kefu_office_hours, self.kefu_timezone)


REMARK_FIELDS = frozenset({"customer_name", "source", "staff"})


class WelcomeSettings(Slice):
    """Who just came: greetings, and friends of the staff."""

    kefu_company: str = ""
    """`{company}` in the texts that greet."""
    kefu_greeting_questions: int = Field(default=3, ge=0, le=9)
    """How many questions a greeting offers; 0: it is a text. WeCom takes at most ten items."""
    kefu_friend_tags: str = "新客户"
    """Tags every new friend gets, comma separated; `-`: none."""
    kefu_tag_group: str = Field(default="来源", min_length=1, max_length=30)
    """The group in which tags are looked up and made."""
    kefu_friend_remark: str = ""
    """What the staff see as a new friend's name, for example `{source}-{customer_name}`; empty: left as it is."""

    @field_validator("kefu_friend_remark")
    @classmethod
    def _is_a_remark(cls, value: str) -> str:
        try:
            parts = list(Formatter().parse(value))
        except ValueError:
            raise ValueError("has a brace too many or too few; example: {source}-{customer_name}") from None
        if any(field is not None and (field not in REMARK_FIELDS or spec or how) for _, field, spec, how in parts):
            raise ValueError("may use only {customer_name}, {source} and {staff}; example: {source}-{customer_name}")
        return value

    @property
    def friend_tags(self) -> tuple[str, ...]:
        """The tags one by one."""
        tags = (tag.strip() for tag in re.split("[,，]", self.kefu_friend_tags))
        return tuple(tag for tag in tags if tag not in {"", "-"})


class OutreachSettings(Slice):
    """What campaigns may do."""

    kefu_outreach_per_month: int = 4
    """Messages a customer gets in a calendar month from all campaigns together."""
    kefu_outreach_quiet: str = "21:00-09:00"
    """When nothing is sent, in `KEFU_TIMEZONE`."""

    @field_validator("kefu_outreach_per_month")
    @classmethod
    def _is_allowed(cls, value: int) -> int:
        if not 1 <= value <= PER_MONTH_AT_MOST:
            raise ValueError(
                f"{value} is not 1 to {PER_MONTH_AT_MOST}; WeCom lets a customer get one message a day; example: 4"
            )
        return value

    @field_validator("kefu_outreach_quiet")
    @classmethod
    def _are_quiet_hours(cls, value: str) -> str:
        QuietHours.parse(value, "UTC")
        return value


class TraceSettings(Slice):
    """Where traces of turns go."""

    kefu_trace_text: Literal["masked", "full", "off"] = "masked"
    """Words on traces: told by their length, as they are, or with all that goes in and out left away."""
    langsmith_tracing: bool = False
    langsmith_api_key: SecretStr | None = None
    langsmith_endpoint: str = "https://api.smith.langchain.com"
    langsmith_project: str = "kefu"
    otel_exporter_otlp_endpoint: str = ""
    """Base address of an OpenTelemetry collector that takes OTLP over HTTP; empty: none."""
    otel_exporter_otlp_headers: SecretStr | None = None
    """`name=value`, comma separated."""

    @field_validator("langsmith_endpoint", "otel_exporter_otlp_endpoint")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value and not re.match(r"https?://[^/\s]", value):
            raise ValueError("is not an address; example: http://127.0.0.1:4318")
        return value

    @field_validator("otel_exporter_otlp_headers")
    @classmethod
    def _are_headers(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not all(re.match(r"[^=\s]+=.", pair.strip()) for pair in value.get_secret_value().split(",")):
            raise ValueError("is not name=value, comma separated; example: authorization=Bearer abc123")
        return value

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.langsmith_tracing and self.langsmith_api_key is None:
            raise ValueError(
                "LANGSMITH_API_KEY: missing, but LANGSMITH_TRACING is on; it is made in LangSmith's settings"
            )
        return self

    @property
    def otlp_headers(self) -> dict[str, str]:
        """The headers by their names."""
        text = self.otel_exporter_otlp_headers.get_secret_value() if self.otel_exporter_otlp_headers else ""
        pairs = (pair.strip().partition("=") for pair in text.split(",") if pair.strip())
        return {name: value for name, _, value in pairs}


def _is_postgres_url(text: str) -> bool:
    try:
        conninfo_to_dict(text)
    except ProgrammingError:
        return False
    return text.startswith(("postgresql://", "postgres://"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every slice."""

    service: ServiceSettings = field(default_factory=ServiceSettings)
    wecom: WecomSettings = field(default_factory=WecomSettings)
    telegram: TelegramSettings = field(default_factory=TelegramSettings)
    redis: RedisSettings = field(default_factory=RedisSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    kb: KbSettings = field(default_factory=KbSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    handoff: HandoffSettings = field(default_factory=HandoffSettings)
    welcome: WelcomeSettings = field(default_factory=WelcomeSettings)
    outreach: OutreachSettings = field(default_factory=OutreachSettings)
    trace: TraceSettings = field(default_factory=TraceSettings)


def load_settings() -> Settings:
    """Read the environment and `.env`.

    Raises:
        ConfigurationError: a variable is wrong; one line naming it, what is wrong, and an example.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        # Not chained: pydantic's own text shows the values, secrets among them.
        raise ConfigurationError(explain(error)) from None
    except UnicodeDecodeError:
        raise ConfigurationError(".env: is not UTF-8; save it again with that encoding") from None
    if problem := wecom_desk_problem(settings):
        raise ConfigurationError(problem)
    _check_accounts(settings)
    return settings


def _check_accounts(settings: Settings) -> None:
    desks = {channel.kind for channel in settings.telegram.channels}
    is_asked = settings.telegram.notification_enabled
    for account in load_accounts(settings.service.kefu_accounts_file).by_name.values():
        if is_asked and account.desk is not None and account.desk not in desks:
            raise ConfigurationError(
                f"{VARIABLE}: {account.name}: desk {account.desk} is not one of those in NOTIFICATION_CHANNEL"
            )


def wecom_desk_problem(settings: Settings) -> str:
    """Say what the desk inside WeCom lacks, empty when nothing; one slice alone cannot tell."""
    wecom = settings.wecom
    if not settings.telegram.members:
        return ""
    if not wecom.is_configured:
        return "WECOM_CORP_ID: missing, but NOTIFICATION_CHANNEL names WeCom members; WeCom must be set up for them"
    if wecom.wecom_agent_id is None:
        return (
            "WECOM_AGENT_ID: missing, but NOTIFICATION_CHANNEL names WeCom members, who are written to by an app;"
            " it stands on the app's page, example: WECOM_AGENT_ID=1000002"
        )
    if wecom.wecom_agent_secret is None:
        return "WECOM_AGENT_SECRET: missing, but NOTIFICATION_CHANNEL names WeCom members; it stands on the app's page"
    return ""


def explain(error: ValidationError) -> str:
    """Name every wrong variable and what is wrong with it, without its value."""
    problems = []
    for problem in error.errors(include_input=False, include_url=False):
        name = "".join(str(part) for part in problem["loc"]).upper()
        text = problem["msg"].removeprefix("Value error, ")
        problems.append(f"{name}: {text}" if name else text)
    return "; ".join(problems)


def variable_names() -> list[str]:
    """List every variable that is read, for the check of `.env.example`."""
    names: list[str] = []
    for part in get_type_hints(Settings).values():
        for name, info in part.model_fields.items():
            alias = info.validation_alias
            choices = getattr(alias, "choices", [alias] if alias else [name.upper()])
            names.extend(str(choice) for choice in choices)
    return names
