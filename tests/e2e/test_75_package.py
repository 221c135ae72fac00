# SPDX-License-Identifier: Apache-2.0
"""What is installed, the units of systemd, the Debian package."""
import json
import pathlib
import re
import stat
import subprocess

import pytest
from support import PLAIN_BINARY, ROOT, config_for

BUILD = pathlib.Path(PLAIN_BINARY).resolve().parents[1]
FILES = {"sbin/jwtgate": 0o755, "lib/systemd/system/jwtgate.service": 0o644, "lib/systemd/system/jwtgate.socket": 0o644,
         "etc/jwtgate/jwtgate.jsonc": 0o644, "etc/jwtgate/conf.d": 0o755, "etc/jwtgate/secrets": 0o700,
         "share/man/man1/jwtgate.1": 0o644, "share/man/man5/jwtgate.jsonc.5": 0o644,
         "share/man/man7/jwtgate-metrics.7": 0o644,
         "share/jwtgate/jwtgate.schema.json": 0o644, "share/jwtgate/clients.schema.json": 0o644,
         "share/bash-completion/completions/jwtgate": 0o644,
         "share/zsh/vendor-completions/_jwtgate": 0o644, "share/fish/vendor_completions.d/jwtgate.fish": 0o644,
         "share/doc/jwtgate/examples/gateway.jsonc": 0o644, "share/doc/jwtgate/examples/minimal.jsonc": 0o644}


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def leaves(folder):
    """Files and empty folders under it."""
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")
            if path.is_file() or not any(path.iterdir())}


@pytest.fixture(scope="module")
def installed(module_scratch):
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", module_scratch / "root")
    options = json.loads(run("meson", "introspect", "--buildoptions", BUILD))
    prefix = next(option["value"] for option in options if option["name"] == "prefix")
    return module_scratch / "root" / prefix.lstrip("/"), prefix


def test_everything_is_in_its_place(installed):
    assert leaves(installed[0]) == FILES


def test_what_somebody_has_changed_stays(installed):
    file = installed[0] / "etc/jwtgate/jwtgate.jsonc"
    before = file.read_text()
    try:
        file.write_text("mine")
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", module_root(installed))
        assert file.read_text() == "mine"
    finally:
        file.write_text(before)


def module_root(installed):
    folder, prefix = installed
    return str(folder)[:-len(prefix)]


def test_the_installed_program_accepts_its_configuration(installed):
    folder = installed[0]
    run(folder / "sbin/jwtgate", "check", "--strict", "-c", folder / "etc/jwtgate/jwtgate.jsonc")


def test_the_manual_pages_can_be_read(installed):
    for page, words in (("man1/jwtgate.1", ("jwtgate run", "EXIT STATUS")),
                        ("man5/jwtgate.jsonc.5", ("server.shutdown_grace", "admin.address"))):
        text = run("man", "--warnings", "-l", installed[0] / "share/man" / page,
                   env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
        assert all(word in text for word in words), page


@pytest.fixture
def units(installed, scratch):
    """The units as installed, but for the program, which is where this machine has it."""
    folder, prefix = installed
    for name in ("jwtgate.service", "jwtgate.socket"):
        text = (folder / "lib/systemd/system" / name).read_text()
        (scratch / name).write_text(text.replace(f"{prefix}/sbin/jwtgate", str(BUILD / "gateway/jwtgate")))
    return scratch


def test_the_units_are_right(units):
    run("systemd-analyze", "verify", "--man=no", units / "jwtgate.service", units / "jwtgate.socket")


def test_the_service_is_shut_in(units):
    """2.0 at most, of 10."""
    text = run("systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", units / "jwtgate.service")
    assert float(re.search(r"Overall exposure level for jwtgate.service: ([\d.]+)", text).group(1)) <= 2.0


def test_the_socket_unit_is_for_the_listener_of_the_configuration(installed):
    folder = installed[0]
    address = re.search(r"ListenStream=(\S+)", (folder / "lib/systemd/system/jwtgate.socket").read_text()).group(1)
    assert f'"public": {{ "address": "{address}" }}' in (folder / "etc/jwtgate/jwtgate.jsonc").read_text()


def test_the_units_options_are_what_the_program_does(installed):
    """What the unit calls exists, and its stop waits longer than the drain takes at most."""
    folder, prefix = installed
    text = (folder / "lib/systemd/system/jwtgate.service").read_text()
    config = f"{prefix}/etc/jwtgate/jwtgate.jsonc"
    assert f"ExecStart={prefix}/sbin/jwtgate run --config {config}\n" in text
    assert f"ExecReload={prefix}/sbin/jwtgate check --config {config}\n" in text
    assert int(re.search(r"TimeoutStopSec=(\d+)s", text).group(1)) > 30


# --- the Debian package ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package():
    """Built by the command that people use; lintian has no error."""
    names = run(ROOT / "dev", "package").split()
    return next(ROOT / name for name in names if "/jwtgate_" in name)


def test_the_package_holds_what_is_installed(package, scratch):
    run("dpkg-deb", "-x", package, scratch)
    moved = {name if name.startswith(("etc/", "lib/")) else f"usr/{name}" + (".gz" if "/man/" in name else ""): mode
             for name, mode in FILES.items()}
    found = leaves(scratch)
    assert {name: mode for name, mode in found.items() if name in moved} == moved
    assert {name for name in found if name not in moved} == {
        "usr/share/doc/jwtgate/changelog.gz", "usr/share/doc/jwtgate/copyright", "usr/share/lintian/overrides/jwtgate"}
    assert run(scratch / "usr/sbin/jwtgate", "version") == run(PLAIN_BINARY, "version")
    run(scratch / "usr/sbin/jwtgate", "check", "--strict", "-c", scratch / "etc/jwtgate/jwtgate.jsonc")
    unit = (scratch / "lib/systemd/system/jwtgate.service").read_text()
    assert "ExecStart=/usr/sbin/jwtgate run --config /etc/jwtgate/jwtgate.jsonc\n" in unit


def test_the_packages_papers(package, scratch):
    fields = {name: run("dpkg-deb", "-f", package, name).strip() for name in ("Version", "Depends")}
    assert fields["Version"] == run(PLAIN_BINARY, "version").split()[1]
    for library in ("libcurl4", "libevent", "libhiredis", "liblmdb0", "libssl3", "libyajl2"):
        assert library in fields["Depends"]
    run("dpkg-deb", "-e", package, scratch)
    assert (scratch / "conffiles").read_text().split() == ["/etc/jwtgate/jwtgate.jsonc"]
    script = (scratch / "postinst").read_text()
    assert "--signal=USR2 jwtgate.service" in script, "an upgrade refuses nobody"
    assert "deb-systemd-invoke" not in script, "it does not start: nobody has configured it yet"
    assert "stop jwtgate.socket jwtgate.service" in (scratch / "prerm").read_text()


def test_the_packaged_program_serves(package, scratch, start, backend):
    run("dpkg-deb", "-x", package, scratch / "root")
    gateway = start(config_for(backend), binary=str(scratch / "root/usr/sbin/jwtgate"))
    assert gateway.admin("/readyz")[0] == 200
