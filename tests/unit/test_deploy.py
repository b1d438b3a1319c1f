"""Image, compose file and Kubernetes manifests against each other and against the service."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
sys.path.insert(0, str(DEPLOY))
import dockerfile  # noqa: E402 -- a tool beside the package, not in it

FILE = dockerfile.read(DEPLOY / "Dockerfile")
TARGETS = ("api", "ui", "gpu")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
MANIFESTS = {
    found["kind"]: found for found in yaml.safe_load_all((DEPLOY / "k8s" / "maeum.yaml").read_text(encoding="utf-8"))
}
POD = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
PATCH = yaml.safe_load((DEPLOY / "k8s" / "models-patch.yaml").read_text(encoding="utf-8"))


def extras(target: str) -> set[str]:
    """What the wheel of an image is installed with."""
    installs = [
        step.rest
        for stage in FILE.needed(target)
        for step in FILE.stages[stage].steps
        if step.word == "RUN" and ".whl" in step.rest
    ]
    assert len(installs) == 1
    return set(re.findall(r"\.whl\)\[([\w,]+)\]", installs[0])[0].split(","))


@pytest.fixture(scope="module")
def paths() -> set[str]:
    """Addresses of the service that answer GET."""
    pytest.importorskip("fastapi")
    from maeum.serving.routes import infer, operations
    from maeum.serving.settings import ServeSettings

    # these routes look at the service only when they are asked
    service: Any = SimpleNamespace(settings=ServeSettings())
    routes = [route for module in (infer, operations) for route in module.router(service).routes]
    return {route.path for route in routes if "GET" in route.methods}


def setting_names() -> set[str]:
    from maeum.serving import settings

    own = {settings.variable(field.name) for field in dataclasses.fields(settings.ServeSettings)}
    return own | set(settings._ELSEWHERE) | {settings.KEYS_VARIABLE}


def test_the_default_image_is_the_service():
    assert FILE.default == "api"
    assert list(FILE.stages) == ["builder", "venv-api", "venv-ui", "venv-gpu", "runtime", "ui", "gpu", "api"]
    assert FILE.needed("api") == ["builder", "venv-api", "runtime", "api"]


def test_extras_are_those_of_the_project_and_only_one_image_has_torch():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = set(project["optional-dependencies"])
    assert {target: extras(target) for target in TARGETS} == {"api": {"serve"}, "ui": {"ui"}, "gpu": {"torch", "serve"}}
    assert set().union(*map(extras, TARGETS)) <= known


@pytest.mark.parametrize("target", TARGETS)
def test_images_run_offline_and_without_rights(target):
    image = FILE.image(target)
    uid, gid = map(int, image.user.split(":"))
    assert uid >= 1000
    assert gid >= 1000
    assert image.env["HF_HUB_OFFLINE"] == image.env["TRANSFORMERS_OFFLINE"] == "1"
    assert image.env["PYTHONDONTWRITEBYTECODE"] == "1"
    assert image.entrypoint[0] == "maeum"
    # nothing after USER needs root, and nothing is copied from outside the build
    words = [step.word for step in FILE.steps(target)]
    assert "RUN" not in words[words.index("USER") :]


def test_health_is_asked_where_the_service_answers(paths):
    for target in ("api", "gpu"):
        image = FILE.image(target)
        assert image.healthcheck is not None
        command, variable, path = image.healthcheck.words()
        assert command == "maeum-healthy"
        assert path in paths
        assert image.exposed == [image.env[variable]]
    image = FILE.image("ui")
    assert image.healthcheck is not None
    assert image.exposed == [image.healthcheck.words()[1]]
    from maeum.apps.cli.ui import ui

    # the words of the image are words of the command, and the port is the one it listens on
    context = ui.make_context("ui", [*image.entrypoint[2:], *image.command])
    assert (context.params["host"], context.params["no_browser"]) == ("0.0.0.0", True)
    assert image.exposed == [str(context.params["port"])]


def test_every_variable_is_a_setting():
    from maeum.serving.settings import ServeSettings

    known = setting_names()
    for target in TARGETS:
        own = {name: value for name, value in FILE.image(target).env.items() if name.startswith("MAEUM_")}
        assert set(own) <= known
        assert target == "ui" or ServeSettings.from_env(own).host == "0.0.0.0"
    for service in COMPOSE["services"].values():
        assert set(service.get("environment", {})) <= known
    for spec in (CONTAINER, PATCH["spec"]["template"]["spec"]["containers"][0]):
        assert {item["name"] for item in spec["env"]} <= known


@pytest.mark.parametrize("name", list(COMPOSE["services"]))
def test_compose_services_are_images_of_the_dockerfile(name):
    service = COMPOSE["services"][name]
    build = service["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    image = FILE.image(build["target"])
    outside, inside = service["ports"][0].rsplit(":", 1)
    assert image.exposed == [inside]
    assert outside.startswith("127.0.0.1:")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert image.env["HOME"] == "/tmp"
    assert service["tmpfs"][0].startswith("/tmp:")
    assert service["volumes"][0].endswith(f":{image.workdir}:ro")
    assert set(build["secrets"]) <= set(COMPOSE["secrets"])
    assert bool(service["deploy"]["resources"].get("reservations")) is (name == "gpu")
    if "serve" in image.command:
        drain = float(service["environment"]["MAEUM_SERVE_DRAIN_SECONDS"])
        assert dockerfile.seconds(service["stop_grace_period"]) > drain


def test_kubernetes_asks_and_stops_the_service_as_it_is_meant(paths):
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = CONTAINER[probe]["httpGet"]
        assert asked["path"] in paths
        assert asked["port"] == CONTAINER["ports"][0]["name"]
    # a draining service is alive but not ready
    assert CONTAINER["readinessProbe"]["httpGet"]["path"] != CONTAINER["livenessProbe"]["httpGet"]["path"]
    image = FILE.image("api")
    assert [str(CONTAINER["ports"][0]["containerPort"])] == image.exposed
    annotations = MANIFESTS["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] in paths
    assert [annotations["prometheus.io/port"]] == image.exposed
    env = {item["name"]: item.get("value") for item in CONTAINER["env"]}
    stopping = float(env["MAEUM_SERVE_LINGER_SECONDS"]) + float(env["MAEUM_SERVE_DRAIN_SECONDS"])
    assert POD["terminationGracePeriodSeconds"] > stopping
    assert CONTAINER["args"] == image.command


def test_kubernetes_gives_no_rights():
    user = POD["securityContext"]
    assert f"{user['runAsUser']}:{user['runAsGroup']}" == FILE.image("api").user
    assert user["runAsNonRoot"] is True
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["enableServiceLinks"] is False
    assert CONTAINER["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert MANIFESTS["NetworkPolicy"]["spec"]["egress"] == []


def test_kubernetes_names_fit_each_other():
    label = {"app.kubernetes.io/name": "maeum"}
    assert MANIFESTS["Deployment"]["spec"]["template"]["metadata"]["labels"] == label
    assert MANIFESTS["Service"]["spec"]["selector"] == label
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert MANIFESTS[kind]["spec"]["selector"]["matchLabels"] == label
    assert MANIFESTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == label
    assert MANIFESTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "maeum"
    assert PATCH["spec"]["template"]["spec"]["containers"][0]["name"] == CONTAINER["name"]


def test_the_build_sees_only_what_it_needs():
    files = {str(path) for path in dockerfile.context_files(ROOT)}
    for stage in FILE.stages.values():
        for step in stage.steps:
            if step.word == "COPY" and "from" not in step.flags:
                for name in step.rest.split()[:-1]:
                    assert name in files or any(file.startswith(f"{name}/") for file in files), name
    assert "src/maeum/__init__.py" in files
    others = {path for path in files if not path.startswith("src/maeum/")}
    assert others == {"LICENSE", "README.md", "constraints.txt", "deploy/healthcheck.py", "pyproject.toml"}
    assert not any("__pycache__" in path for path in files)


def test_the_health_check_tells_up_from_down(tmp_path):
    import http.server
    import threading

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 503)
            self.end_headers()

        def log_message(self, *words):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_port)
        assert healthy(port, "/health") == 0
        assert healthy(port, "/draining") == 1
        server.shutdown()
    assert healthy(port, "/health") == 1


def healthy(port: str, path: str) -> int:
    env = {**os.environ, "THE_PORT": port, "http_proxy": "http://127.0.0.1:1"}
    command = [sys.executable, str(DEPLOY / "healthcheck.py"), "THE_PORT", path]
    return subprocess.run(command, env=env, capture_output=True, check=False).returncode


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("FROM a AS b\nADD x y", "ADD is not known"),
        ("FROM a", "AS name"),
        ("RUN true", "before the first FROM"),
        ("FROM a AS b\nARG X=1", "ARG is only known"),
        ("FROM a AS b\nCOPY --link=true x y", "--link is not known"),
        ("FROM a AS b\nHEALTHCHECK NONE", "CMD is expected"),
        ("FROM a AS b\nRUN x \\\n", "goes on"),
        ("FROM a AS b\nRUN <<EOF", "here-documents"),
        ("FROM ${NONE} AS b", "NONE has no value"),
    ],
)
def test_the_reader_refuses_what_it_does_not_know(tmp_path, text, why):
    (tmp_path / "Dockerfile").write_text(text)
    with pytest.raises(dockerfile.DockerfileError, match=why):
        dockerfile.read(tmp_path / "Dockerfile")


def test_the_reader_reads_what_it_knows(tmp_path):
    (tmp_path / "Dockerfile").write_text(
        "ARG BASE=img:1\n# note\nFROM ${BASE} AS one\nENV A=1 \\\n    # between\n    B='two words'\nWORKDIR /w\n"
        'WORKDIR sub\nENTRYPOINT ["x"]\nCMD ["y"]\nFROM one AS two\nENV A=$A/3\nENTRYPOINT ["z"]\nFROM other AS three\n'
        "COPY --from=one /a /b\nRUN --mount=type=cache,target=/c echo $HOME\n"
    )
    file = dockerfile.read(tmp_path / "Dockerfile")
    assert file.stages["one"].base == "img:1"
    two = file.image("two")
    assert (two.env, two.workdir, two.entrypoint, two.command) == ({"A": "1/3", "B": "two words"}, "/w/sub", ["z"], [])
    assert file.needed("three") == ["one", "three"]
    copy, run = file.stages["three"].steps
    assert copy.flags == {"from": ("one",)}
    assert run.words() == ["/bin/sh", "-c", "echo $HOME"]


def test_ignore_rules_are_read_as_docker_reads_them():
    rules = ["*", "!src", "**/__pycache__", "!a/*.txt"]
    shut = {name: dockerfile.ignored(Path(name), rules) for name in ("x", "src/m.py", "src/a/__pycache__/m.pyc")}
    assert shut == {"x": True, "src/m.py": False, "src/a/__pycache__/m.pyc": True}
    assert not dockerfile.ignored(Path("a/b.txt"), rules)
    assert dockerfile.ignored(Path("a/c/b.txt"), rules)
