# SPDX-License-Identifier: Apache-2.0
"""The Dockerfile and the manifests for Kubernetes: what they name exists and fits together."""
import re
import subprocess

import pytest
import yaml
from support import BINARY, ROOT, SECRET

FOLDER = ROOT / "conf" / "kubernetes"
DOCKERFILE = (ROOT / "conf" / "Dockerfile").read_text()
KINDS = {"ConfigMap": "v1", "Service": "v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1",
         "PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1"}


def documents():
    return [(file.name, document) for file in sorted(FOLDER.glob("*.yaml"))
            for document in yaml.safe_load_all(file.read_text())]


def find(kind, name):
    return next(d for _, d in documents() if d["kind"] == kind and d["metadata"]["name"] == name)


WORKLOADS = [d for _, d in documents() if d["kind"] in ("Deployment", "StatefulSet")]
CONTAINERS = [(w, c) for w in WORKLOADS for c in w["spec"]["template"]["spec"]["containers"]]


# --- the manifests -----------------------------------------------------------------------------


def test_every_document_is_whole():
    seen = set()
    for file, document in documents():
        key = (document["kind"], document["metadata"]["name"])
        assert KINDS[document["kind"]] == document["apiVersion"], (file, key)
        assert key not in seen, key
        seen.add(key)
        assert set(document) <= {"apiVersion", "kind", "metadata", "spec", "data"}, (file, key)
    assert {kind for kind, _ in seen} == set(KINDS)


def test_selectors_find_their_pods():
    labels = [w["spec"]["template"]["metadata"]["labels"] for w in WORKLOADS]
    for _, document in documents():
        spec = document.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector", {}))
        wanted = selector.get("matchLabels", selector) if document["kind"] != "ConfigMap" else {}
        assert not wanted or any(wanted.items() <= found.items() for found in labels), document["metadata"]


@pytest.mark.parametrize("workload, container", CONTAINERS, ids=[c["name"] for _, c in CONTAINERS])
def test_containers_are_shut_in(workload, container):
    pod, own = workload["spec"]["template"]["spec"], container["securityContext"]
    assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert "memory" in container["resources"]["limits"] and "requests" in container["resources"]
    assert "env" not in container, "secrets are files"


@pytest.mark.parametrize("workload, container", CONTAINERS, ids=[c["name"] for _, c in CONTAINERS])
def test_what_a_container_names_is_there(workload, container):
    pod = workload["spec"]["template"]["spec"]
    volumes = {v["name"]: v for v in pod["volumes"]}
    claims = {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", [])}
    for mount in container["volumeMounts"]:
        assert mount["name"] in volumes or mount["name"] in claims, mount
    for volume in volumes.values():
        if "configMap" in volume:
            find("ConfigMap", volume["configMap"]["name"])
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o440
    ports = {p["name"] for p in container["ports"]}
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container.get(name, {})
        for action in ("httpGet", "tcpSocket"):
            assert action not in probe or probe[action]["port"] in ports, (name, probe)


def test_the_gateways_pods_come_and_go_without_a_loss():
    deployment = find("Deployment", "jwtgate")
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert find("PodDisruptionBudget", "jwtgate")["spec"]["minAvailable"] < deployment["spec"]["replicas"]
    assert [container[p]["httpGet"]["path"] for p in ("startupProbe", "readinessProbe", "livenessProbe")] == [
        "/readyz", "/readyz", "/livez"]
    assert all(container[p]["httpGet"]["port"] == "admin" for p in ("startupProbe", "readinessProbe", "livenessProbe"))
    command = container["lifecycle"]["preStop"]["exec"]["command"]
    waits = int(re.fullmatch(r"(\d+)s", command[command.index("--wait") + 1]).group(1))
    grace = int(re.search(r'"shutdown_grace": "(\d+)s"', configuration()).group(1))
    assert pod["terminationGracePeriodSeconds"] > waits + grace
    done = subprocess.run([BINARY, command[1], "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--wait" in done.stdout


def test_only_the_watchers_reach_the_admin_port():
    rules = find("NetworkPolicy", "jwtgate")["spec"]["ingress"]
    assert [r for r in rules if {"port": "admin", "protocol": "TCP"} in r["ports"] and not r.get("from")] == []
    assert all(len(r["ports"]) == 1 for r in rules)
    assert [p["targetPort"] for p in find("Service", "jwtgate")["spec"]["ports"]] == ["http"]


def configuration():
    return find("ConfigMap", "jwtgate")["data"]["jwtgate.jsonc"]


def test_the_configuration_is_valid(scratch):
    """With the secrets as a Secret's volume has them: links to files of root's, which a group may read."""
    (scratch / "..data").mkdir()
    for name in ("hs256", "admin-token", "redis-password"):
        file = scratch / "..data" / name
        file.write_text(SECRET)
        file.chmod(0o440)
        (scratch / name).symlink_to(f"..data/{name}")
    file = scratch / "jwtgate.jsonc"
    file.write_text(configuration().replace("/etc/jwtgate/secrets", str(scratch)).replace("/var/lib/jwtgate", str(scratch)))
    done = subprocess.run([BINARY, "check", "-c", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
    assert re.findall(r"\[([a-z-]+)\]", done.stderr) in ([], ["admin-public"]), done.stderr


def test_the_gateways_find_the_sentinels():
    names = re.findall(r'"(redis-\d\.redis\.default\.svc\.cluster\.local)"', configuration())
    redis = find("StatefulSet", "redis")
    assert names == [f"redis-{n}.{redis['spec']['serviceName']}.default.svc.cluster.local"
                     for n in range(redis["spec"]["replicas"])]
    assert find("Service", "redis")["spec"]["clusterIP"] == "None"
    master = re.search(r'"master_name": "(\w+)"', configuration()).group(1)
    assert f"sentinel monitor {master} " in find("ConfigMap", "redis")["data"]["sentinel.sh"]


@pytest.mark.parametrize("name", ["common.sh", "redis.sh", "sentinel.sh"])
def test_the_scripts_are_right(name, scratch):
    data = find("ConfigMap", "redis")["data"]
    for other, text in data.items():
        (scratch / other).write_text(text)
    subprocess.run(["sh", "-n", str(scratch / name)], check=True)
    done = subprocess.run(["shellcheck", "-s", "sh", "-x", "--exclude=SC1091,SC2034,SC2154", str(scratch / name)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# --- the Dockerfile ----------------------------------------------------------------------------


def instructions():
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", DOCKERFILE))
    return [line.split(None, 1) for line in text.splitlines() if line.strip()]


def test_the_image_is_small_and_not_roots():
    words = [name for name, _ in instructions()]
    assert words.count("FROM") == 2 and "ADD" not in words
    last = instructions()[len(words) - 1 - words[::-1].index("FROM"):]
    final = {name: rest for name, rest in last}
    assert final["USER"] == "65532:65532"
    assert final["HEALTHCHECK"].endswith('CMD ["/usr/sbin/jwtgate", "status", "--ready"]')
    assert final["ENTRYPOINT"] == '["/usr/sbin/jwtgate"]'
    assert all(rest.startswith("debian:12-slim") for name, rest in instructions() if name == "FROM")
    assert all("--no-install-recommends" in rest and rest.endswith("rm -rf /var/lib/apt/lists/*")
               for name, rest in instructions() if name == "RUN" and "apt-get install" in rest)
    assert not re.search(r"https?://|curl |wget ", re.sub(r"(?m)^#.*\n", "", DOCKERFILE))


def test_the_image_has_the_libraries_that_the_program_needs():
    done = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True)
    package = {"libcurl": "libcurl4", "libevent_core": "libevent-core-2.1-7", "libevent_extra": "libevent-extra-2.1-7",
               "libhiredis": "libhiredis0.14", "liblmdb": "liblmdb0", "libssl": "libssl3", "libyajl": "libyajl2"}
    final = DOCKERFILE.rsplit("FROM", 1)[1]
    for library, name in package.items():
        assert f"{library}." in done.stdout or f"{library}-" in done.stdout, library
        assert re.search(rf"\b{re.escape(name)}\b", final), name
    built = set(re.findall(r"\b(lib[\w.-]+-dev)\b", DOCKERFILE))
    wanted = re.search(r"PACKAGES_BUILD=\(([^)]*)\)", (ROOT / "dev").read_text()).group(1).split()
    assert built == {name for name in wanted if name.startswith("lib") and name.endswith("-dev")}
