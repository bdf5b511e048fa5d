"""What `deploy/` says fits together, and fits the service: names, ports, paths, variables, times."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from api.access import MAX_BODY
from api.app import create_app
from api.cli import app
from api.settings import load_settings, variable_names
from api.worker import GRACE_SECONDS
from tools.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PUBLIC = {"/wecom/callback", "/telegram/webhook"}
PORT = 8000
OURS = {"serve", "worker", "migrate"}
FOREIGN_VARIABLES = {"MPLCONFIGDIR"}
"""Read by matplotlib."""

PINNED = re.compile(r"[\w./-]+:v?\d+(\.\d+)+(-[\w.]+)*")
DOCUMENTS = ("README.md", "README.zh-CN.md")
UNITS = ("kefu-serve.service", "kefu-worker@.service", "kefu-backup.service")
HARDENING = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "CapabilityBoundingSet": "",
    "User": "kefu",
}

Json = dict[str, Any]


def read(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


@cache
def compose() -> Json:
    return yaml.safe_load(read("compose.yaml"))


def services() -> Mapping[str, Json]:
    return compose()["services"]


@cache
def manifests() -> tuple[Json, ...]:
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return tuple(document for path in files for document in yaml.safe_load_all(path.read_text(encoding="utf-8")))


def of_kind(*kinds: str) -> list[Json]:
    found = [document for document in manifests() if document["kind"] in kinds]
    assert {document["kind"] for document in found} == set(kinds)
    return found


def pods() -> list[Json]:
    return [document["spec"]["template"] for document in of_kind("Deployment", "Job")]


def unit(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", read(f"systemd/{name}"), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


@cache
def dockerfile() -> tuple[tuple[str, str], ...]:
    lines = [line for line in read("Dockerfile").splitlines() if line and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return tuple((line.split()[0], line.split(None, 1)[1]) for line in joined.splitlines())


def last_stage() -> list[tuple[str, str]]:
    start = max(number for number, (name, _) in enumerate(dockerfile()) if name == "FROM")
    return list(dockerfile()[start:])


def problem_with(words: list[str]) -> str:
    """Say what of a `kefu` command line does not exist, nothing when all does."""
    command: Any = typer.main.get_command(app)
    rest = [str(word) for word in words]
    while rest and hasattr(command, "commands"):
        name = rest.pop(0)
        if name not in command.commands:
            return f"no command {name!r} in {words}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word not in known]
    return f"no option {unknown} in {words}" if unknown else ""


def routes() -> set[str]:
    made = create_app(load_settings(), "postgresql://nowhere", concurrency=0)
    return set(made.openapi()["paths"]) | {route.path for route in made.routes if hasattr(route, "path")}


def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


class TestCompose:
    def test_what_is_named_exists(self) -> None:
        for name, service in services().items():
            for other, how in service.get("depends_on", {}).items():
                assert other in services(), name
                if how["condition"] == "service_healthy":
                    # kefu's own image has its check in the Dockerfile.
                    assert other == "serve" or "test" in services()[other]["healthcheck"], other
            assert set(service.get("networks", {})) <= set(compose()["networks"]), name
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                assert (DEPLOY / source).exists() if source.startswith(".") else source in compose()["volumes"], volume

    def test_no_password_has_a_default_and_every_one_is_in_the_example(self) -> None:
        used = re.findall(r"\$\{(\w+)([^}]*)\}", read("compose.yaml"))
        example = dict(re.findall(r"^(\w+)=(.*)$", read("compose.env.example"), re.MULTILINE))
        assert {name for name, _ in used} == set(example)
        assert set(example.values()) == {""}
        assert all(rest.startswith(":?") for _, rest in used)

    def test_images_are_pinned_and_ours_is_this_version(self) -> None:
        assert [s["image"] for s in services().values() if not PINNED.fullmatch(s["image"])] == []
        assert {services()[name]["image"] for name in OURS} == {f"kefu:{version()}"}

    def test_only_the_proxy_is_public(self) -> None:
        ports = {name: port for name, service in services().items() for port in service.get("ports", [])}
        assert {name for name, port in ports.items() if not port.startswith("127.0.0.1:")} == {"proxy"}
        assert compose()["networks"]["data"]["internal"] is True
        assert [services()[name]["networks"] for name in ("postgres", "redis")] == [["data"], ["data"]]

    def test_only_the_proxy_is_believed_about_addresses(self) -> None:
        proxy = services()["proxy"]["networks"]["edge"]["ipv4_address"]
        assert services()["serve"]["environment"]["KEFU_TRUSTED_PROXIES"] == proxy

    def test_ours_may_little_and_knows_its_variables_and_commands(self) -> None:
        for name in OURS:
            service = services()[name]
            assert (service["read_only"], service["cap_drop"], service["env_file"]) == (True, ["ALL"], ["../.env"])
            assert set(service["environment"]) <= {*variable_names(), *FOREIGN_VARIABLES}
            assert problem_with(service["command"]) == ""
            assert int(service["stop_grace_period"].removesuffix("s")) > GRACE_SECONDS

    def test_what_runs_for_ever_is_started_again(self) -> None:
        assert {name for name, service in services().items() if service["restart"] == "no"} == {"migrate", "backup"}

    def test_prometheus_reads_one_address(self) -> None:
        (job,) = yaml.safe_load(read("compose/prometheus.yml"))["scrape_configs"]
        assert job["static_configs"] == [{"targets": [f"serve:{PORT}"]}]
        assert job["metrics_path"] in routes()


class TestDockerfile:
    def test_bases_are_pinned_and_nothing_is_fetched(self) -> None:
        assert PINNED.fullmatch(dockerfile()[0][1].partition("=")[2])
        assert {line.split()[0] for name, line in dockerfile() if name == "FROM"} == {"${PYTHON_IMAGE}"}
        assert "ADD" not in dict(dockerfile())
        assert "--require-hashes -r requirements.lock" in read("Dockerfile")

    def test_the_last_stage_runs_as_nobody_special_without_a_compiler(self) -> None:
        stage = last_stage()
        assert [line for name, line in stage if name == "USER"] == ["10001:10001"]
        assert [line for name, line in stage if re.search(r"apt-get|gcc|build-essential|pip ", line)] == []
        assert dict(stage)["VOLUME"] == "/data"
        assert "KEFU_DATA_DIR=/data" in dict(stage)["ENV"]

    def test_it_starts_the_command_itself_and_asks_for_its_health(self) -> None:
        stage = dict(last_stage())
        command = yaml.safe_load(stage["ENTRYPOINT"]) + yaml.safe_load(stage["CMD"])
        assert command[0] == "kefu"
        assert problem_with(command[1:]) == ""
        assert command[-1] == stage["EXPOSE"] == str(PORT)
        assert f"'127.0.0.1', {PORT}" in stage["HEALTHCHECK"]
        (path,) = re.findall(r"'GET', '([^']+)'", stage["HEALTHCHECK"])
        assert path in routes()

    def test_what_is_copied_exists_and_reaches_the_builder(self) -> None:
        allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        copied = {
            source
            for name, line in dockerfile()
            if name == "COPY" and "--from" not in line
            for source in line.split()[:-1]
        }
        assert copied == allowed
        assert [source for source in copied if not (ROOT / source).exists()] == []
        built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
        assert set(built["packages"]) <= copied

    def test_secrets_stay_out(self) -> None:
        lines = (ROOT / ".dockerignore").read_text().splitlines()
        assert {"*", "**/.env", "**/.env.*"} <= set(lines)
        assert max(lines.index(line) for line in lines if line.startswith("!")) < lines.index("**/.env")


class TestKubernetes:
    def test_every_manifest_has_what_it_needs(self) -> None:
        for document in manifests():
            assert {"apiVersion", "kind", "metadata"} <= set(document)
            assert document["metadata"]["name"]
            assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "kefu"

    def test_selectors_find_their_pods(self) -> None:
        labels = [pod["metadata"]["labels"] for pod in pods()]
        selectors = [d["spec"]["selector"]["matchLabels"] for d in of_kind("Deployment", "PodDisruptionBudget")]
        selectors += [d["spec"]["selector"] for d in of_kind("Service")]
        selectors += [d["spec"]["podSelector"]["matchLabels"] for d in of_kind("NetworkPolicy")]
        assert [s for s in selectors if not any(s.items() <= found.items() for found in labels)] == []
        for deployment in of_kind("Deployment"):
            wanted = deployment["spec"]["selector"]["matchLabels"]
            assert wanted == deployment["spec"]["template"]["metadata"]["labels"]

    def test_probes_and_the_ingress_ask_for_paths_of_the_app(self) -> None:
        (serve,) = [c for pod in pods() for c in pod["spec"]["containers"] if "ports" in c]
        probes = {name: serve[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
        assert {probe["path"] for probe in probes.values()} <= routes()
        assert probes["readiness"]["path"] == "/ready"
        assert {probe["port"] for probe in probes.values()} == {serve["ports"][0]["name"]}
        (ingress,) = of_kind("Ingress")
        paths = ingress["spec"]["rules"][0]["http"]["paths"]
        assert {path["path"] for path in paths} == PUBLIC
        assert {path["pathType"] for path in paths} == {"Exact"}

    def test_ports_agree(self) -> None:
        (serve,) = [c for pod in pods() for c in pod["spec"]["containers"] if "ports" in c]
        (service,) = of_kind("Service")
        (backend,) = {
            (path["backend"]["service"]["name"], path["backend"]["service"]["port"]["name"])
            for path in of_kind("Ingress")[0]["spec"]["rules"][0]["http"]["paths"]
        }
        (port,) = service["spec"]["ports"]
        assert backend == (service["metadata"]["name"], port["name"])
        assert port["targetPort"] == serve["ports"][0]["name"]
        inward = [d["spec"]["ingress"] for d in of_kind("NetworkPolicy") if "ingress" in d["spec"]]
        assert [rule["ports"] for rules in inward for rule in rules] == [[{"protocol": "TCP", "port": PORT}]]
        assert serve["ports"][0]["containerPort"] == int(serve["args"][serve["args"].index("--port") + 1]) == PORT

    def test_pods_may_little_and_run_commands_that_exist(self) -> None:
        for pod in pods():
            spec = pod["spec"]
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["automountServiceAccountToken"] is False
            assert spec.get("terminationGracePeriodSeconds", 30) > GRACE_SECONDS
            for container in spec["containers"]:
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert container["image"] == f"kefu:{version()}"
                assert problem_with(container["args"]) == ""
                mounted = {mount["name"] for mount in container["volumeMounts"]}
                assert mounted == {volume["name"] for volume in spec["volumes"]}

    def test_the_autoscaler_follows_a_number_that_is_told(self) -> None:
        (scaler,) = of_kind("HorizontalPodAutoscaler")
        (metric,) = scaler["spec"]["metrics"]
        told = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "api" / "observability").glob("*.py"))
        assert f'"{metric["external"]["metric"]["name"]}"' in told
        assert scaler["spec"]["scaleTargetRef"]["name"] in {d["metadata"]["name"] for d in of_kind("Deployment")}

    def test_its_variables_are_those_of_the_service(self) -> None:
        (config,) = of_kind("ConfigMap")
        assert set(config["data"]) <= {*variable_names(), *FOREIGN_VARIABLES}

    def test_no_placeholder_of_the_secret_is_taken_for_a_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        example = yaml.safe_load(read("kubernetes/secret.yaml.example"))["stringData"]
        assert len(example) > 5
        for name in variable_names():
            monkeypatch.delenv(name, raising=False)
        for name, value in example.items():
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                with pytest.raises(ConfigurationError, match=name):
                    load_settings()


class TestSystemd:
    @pytest.mark.parametrize("name", UNITS)
    def test_a_unit_is_hardened_and_starts_something_that_exists(self, name: str) -> None:
        found = unit(name)
        assert {key: found[key][-1] for key in HARDENING} == HARDENING
        program, *words = found["ExecStart"][0].split()
        if program.endswith("/kefu"):
            assert problem_with(words) == ""
            assert found["Restart"] == ["always"]
            assert int(found["TimeoutStopSec"][0]) > GRACE_SECONDS
        else:
            assert (DEPLOY / program.partition("/deploy/")[2]).stat().st_mode & 0o111

    def test_the_target_wants_units_that_exist(self) -> None:
        (wanted,) = unit("kefu.target")["Wants"]
        assert {re.sub(r"@\d+\.", "@.", name) for name in wanted.split()} == set(UNITS) - {"kefu-backup.service"}


class TestProxies:
    def test_nginx_passes_the_public_paths_only(self) -> None:
        text = read("nginx/kefu.conf")
        assert set(re.findall(r"location = (\S+) \{[^}]*\}[^}]*proxy_pass http://kefu;", text)) == PUBLIC
        assert re.findall(r"location (/\S*) \{\s*return 404;", text) == ["/"]
        assert text.count("proxy_pass") == len(PUBLIC)
        (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", text)
        assert int(megabytes) * 1024 * 1024 == MAX_BODY
        assert "X-Forwarded-For $remote_addr;" in text
        assert not re.search(
            r"\$request\b|\$request_uri.*\blog|\$args", text.partition("log_format")[2].partition(";")[0]
        )

    def test_caddy_passes_the_public_paths_only(self) -> None:
        text = read("caddy/Caddyfile")
        assert set(re.findall(r"^\t\tpath (\S+)$", text, re.MULTILINE)) == PUBLIC
        assert text.count("reverse_proxy") == text.count("max_size 1MiB") == len(PUBLIC)
        assert text.count("respond 404") == 1
        assert MAX_BODY == 1024 * 1024


def commands_in(text: str) -> Iterator[list[str]]:
    """Every `kefu` command a document shows, however it is started."""
    for line in re.findall(r"(?:(?<!=\.venv/)bin/|-- |`)kefu ([a-z][^`\n]*)|--rm (?:-v \S+ )?worker ([^`\n]*)", text):
        yield "".join(line).split(" #")[0].split()


@pytest.mark.parametrize("document", DOCUMENTS)
class TestDocuments:
    def test_shown_commands_exist(self, document: str) -> None:
        commands = list(commands_in(read(document)))
        assert len(commands) > 5
        assert [problem for words in commands if (problem := problem_with(words))] == []

    def test_every_file_is_explained(self, document: str) -> None:
        told = read(document)
        files = [path.relative_to(DEPLOY) for path in DEPLOY.rglob("*") if path.is_file()]
        ours = {str(path.parts[0]) for path in files} - {*DOCUMENTS, "postgres.sh"}
        assert {name for name in ours if f"]({name}" not in told} == set()
