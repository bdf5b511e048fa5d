"""Settings of who gets in: a wrong one is named with what is wrong and an example."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.settings import load_settings
from tools.errors import ConfigurationError

WECOM = {
    "WECOM_CORP_ID": "wwAccess01",
    "WECOM_AGENT_SECRET": "agent-s3cr3t",
    "WECOM_TOKEN": "t0k3n",
    "WECOM_ENCODING_AES_KEY": "k" * 43,
}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WECOM_CALLBACK_ALLOWED_IPS", "auto,10.0.0.0/33", "'10.0.0.0/33' is no address; example: auto, or"),
        ("WECOM_CALLBACK_ALLOWED_IPS", "Auto", "'Auto' is no address"),
        ("KEFU_TRUSTED_PROXIES", "localhost", "'localhost' is no address or network; example: 127.0.0.1,10.0.0.0/8"),
        ("KEFU_METRICS_ALLOWED_IPS", "10.0.0", "'10.0.0' is no address or network"),
        ("CONSOLE_PASSWORD", "sesame1", "has not 8 to 1024 characters"),
        ("CONSOLE_PASSWORD", "changeme", "is still a placeholder"),
    ],
)
def test_a_wrong_one_is_named(
    clean_environment: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name}: ")
    assert said in str(caught.value)
    assert name != "CONSOLE_PASSWORD" or value not in str(caught.value)


def test_auto_stands_beside_written_networks(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**WECOM, "WECOM_CALLBACK_ALLOWED_IPS": "auto, 192.0.2.7/24"}.items():
        monkeypatch.setenv(name, value)
    wecom = load_settings().wecom
    assert wecom.asks_for_callback_ips
    assert [str(network) for network in wecom.allowed_networks] == ["192.0.2.0/24"]


def test_none_believes_and_opens_nothing(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().access.trusted_proxies[:2] == ["127.0.0.1/32", "::1/128"]
    for name in ("KEFU_TRUSTED_PROXIES", "KEFU_METRICS_ALLOWED_IPS"):
        monkeypatch.setenv(name, "none")
    access = load_settings().access
    assert (access.trusted_proxies, access.metrics_networks) == ([], [])
