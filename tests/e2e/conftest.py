# SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from support import Backend, Gateway, config_for  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "threads: also run under the thread sanitizer")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    """What the gateways had to say belongs to the report of a failure."""
    report = (yield).get_result()
    Gateway.started[:] = [gateway for gateway in Gateway.started if gateway.folder.exists()]
    if report.failed:
        for gateway in Gateway.started:
            access = gateway.access_file.read_text(errors="replace")
            report.sections.append((f"log of {gateway.folder}", gateway.log()[-6000:]))
            report.sections.append((f"access log of {gateway.folder}", access[-2000:]))


@contextlib.contextmanager
def scratch_folder():
    folder = tempfile.mkdtemp(prefix="jwtgate-e2e.")
    try:
        yield pathlib.Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def scratch():
    with scratch_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def module_scratch():
    with scratch_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def shared_backend():
    backend = Backend()
    yield backend
    backend.stop()


@pytest.fixture
def backend(shared_backend):
    """The module's backend, without the past."""
    shared_backend.clear()
    return shared_backend


@pytest.fixture
def start(scratch):
    """start(config, ...) a gateway of this test's own; it must end well."""
    running = []

    def make(config, wait=True, begin=True, **options):
        folder = scratch / f"gateway{len(running)}"
        folder.mkdir()
        gateway = Gateway(folder, config, **options)
        running.append(gateway)
        return gateway.start(wait) if begin else gateway

    yield make
    for gateway in running:
        gateway.stop()


@pytest.fixture(scope="module")
def gateway(module_scratch, shared_backend, request):
    """One gateway for the module; `CONFIG(backend, folder)` of the module makes its configuration."""
    make = getattr(request.module, "CONFIG", None)
    config = make(shared_backend, module_scratch) if make else config_for(shared_backend)
    gateway = Gateway(module_scratch, config).start()
    yield gateway
    gateway.stop()
