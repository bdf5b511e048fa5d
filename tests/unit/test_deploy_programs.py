"""The vendors' own programs read `deploy/`: those that this machine has."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DEPLOY = Path(__file__).parents[2] / "deploy"
PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNITS = ("kefu.target", "kefu-serve.service", "kefu-worker@.service", "kefu-backup.service", "kefu-backup.timer")


def certificate(folder: Path) -> None:
    """Make a certificate for the proxies' checks."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kefu.example.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    encoding = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "kefu.example.com.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(encoding))
    (folder / "kefu.example.com.key").write_bytes(key.private_bytes(encoding, *plain))


def checks(folder: Path) -> Iterator[list[str]]:
    """What the vendors' own programs would be asked, wherever they are installed."""
    scripts = sorted(map(str, DEPLOY.glob("*.sh")))
    yield from (["bash", "-n", script] for script in scripts)
    yield ["shellcheck", "-x", *scripts]
    yield ["caddy", "validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "caddy" / "Caddyfile")]
    certificate(folder)
    conf = (
        (DEPLOY / "nginx" / "kefu.conf")
        .read_text(encoding="utf-8")
        .replace("/etc/nginx/certs", str(folder))
        .replace("/var/log/nginx", str(folder))
    )
    # Even a check binds the ports: take ones that anybody may.
    conf = re.sub(r"listen \[::\].*", "", conf).replace("listen 80;", "listen 127.0.0.1:18080;")
    conf = conf.replace("listen 443 ", "listen 127.0.0.1:18443 ")
    (folder / "nginx.conf").write_text(f"pid {folder}/pid; error_log {folder}/log; events {{}} http {{ {conf} }}")
    yield ["nginx", "-t", "-c", str(folder / "nginx.conf")]
    yield ["promtool", "check", "config", "--syntax-only", str(DEPLOY / "compose" / "prometheus.yml")]
    for path in (DEPLOY / "systemd").iterdir():
        text = path.read_text(encoding="utf-8")
        # The programs a unit starts are not installed here.
        (folder / path.name).write_text(re.sub(r"(?m)^(Exec\w+)=(?!/bin/sh).*$", r"\1=/bin/true", text))
    units = [str(folder / name.replace("@", "@1")) for name in UNITS]
    yield ["systemd-analyze", "verify", "--man=no", *units]


def test_the_programs_at_hand_find_nothing_wrong(tmp_path: Path) -> None:
    found = {}
    ran = set()
    for command in checks(tmp_path):
        if program := shutil.which(command[0], path=PLACES):
            done = subprocess.run([program, *command[1:]], capture_output=True, text=True, cwd=tmp_path, check=False)
            ran.add(command[0])
            if done.returncode:
                found[" ".join(command)] = done.stdout + done.stderr
    assert found == {}
    assert "bash" in ran
