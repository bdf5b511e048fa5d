"""All settings: the packages' slices composed, checked once at start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, ValidationError, field_validator

from kb.settings import KbSettings
from tools.errors import ConfigurationError
from tools.settings import ModelSettings, RedisSettings, Slice, TelegramSettings, WecomSettings


class ServiceSettings(Slice):
    """The service itself."""

    kb_db_url: SecretStr | None = None
    """Empty: an embedded PostgreSQL in `KEFU_DATA_DIR`."""
    kefu_data_dir: Path = Path(".kefu")
    api_token: SecretStr | None = None
    kefu_log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")
    kefu_log_format: str = Field(default="console", pattern=r"^(console|json)$")

    @field_validator("kb_db_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not _is_postgres_url(value.get_secret_value()):
            raise ValueError("is not a PostgreSQL URL; example: postgresql://kefu:…@127.0.0.1:5432/kefu")
        return value


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


def load_settings() -> Settings:
    """Read the environment and `.env`.

    Raises:
        ConfigurationError: a variable is wrong; one line naming it, what is wrong, and an example.
    """
    try:
        return Settings()
    except ValidationError as error:
        # Not chained: pydantic's own text shows the values, secrets among them.
        raise ConfigurationError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    problems = []
    for problem in error.errors(include_input=False, include_url=False):
        name = "".join(str(part) for part in problem["loc"]).upper()
        text = problem["msg"].removeprefix("Value error, ")
        problems.append(f"{name}: {text}" if name else text)
    return "; ".join(problems)


def variable_names() -> list[str]:
    """List every variable that is read, for the check of `.env.example`."""
    names: list[str] = []
    for part in (ServiceSettings, WecomSettings, TelegramSettings, RedisSettings, ModelSettings, KbSettings):
        for name, info in part.model_fields.items():
            alias = info.validation_alias
            choices = getattr(alias, "choices", [alias] if alias else [name.upper()])
            names.extend(str(choice) for choice in choices)
    return names
