#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What TLS costs, side by side with nginx on this machine.

  ./dev bench --tls [--rounds N] [--seconds N] [--only NAME,...] [--rsa] [--no-idle]

CPU time of the gateway per full handshake, per resumed one, and per keep-alive request; memory of an
idle connection.  Both have the same certificate (ECDSA P-256, or RSA-2048 with --rsa), versions,
ciphers and groups, and tickets in place of a session cache.  The rest is as in bench.py: interleaved
rounds, the gateway on CPU 0, the load on CPU 1, ratios are medians of the rounds' ratios."""
import argparse
import contextlib
import json
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

import bench
from bench import BACKEND, GW_CPU, LOAD_CPU, PORT, WARM_UP, WORK, cpu_of, memory_of, running, tree_of

CIPHERS = ("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
           "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305")
NGINX_TLS = """ssl; ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers {ciphers}; ssl_prefer_server_ciphers off; ssl_ecdh_curve X25519:prime256v1:secp384r1;
    ssl_session_cache off; ssl_session_tickets on;"""
# name: (version, kind)
KINDS = {"full-1.3": ("1.3", "full"), "resumed-1.3": ("1.3", "resumed"), "full-1.2": ("1.2", "full"),
         "resumed-1.2": ("1.2", "resumed"), "request": ("1.3", "request"), "request-1m": ("1.3", "request")}
PROGRAMS = ("nginx", "jwtgate")


def make_certificate(is_rsa):
    name = "rsa" if is_rsa else "ecdsa"
    cert, key = WORK / f"{name}.crt", WORK / f"{name}.key"
    kind = ["rsa:2048"] if is_rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-keyout", key, "-out", cert, "-days", "30", "-subj",
                    "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test"], check=True, capture_output=True)
    key.chmod(0o600)
    return cert, key


def command_of(program, pair, folder):
    if program == "nginx":
        text = bench.NGINX.format(dir=folder, workers=1, port=PORT, backend=BACKEND)
        tls = NGINX_TLS.format(cert=pair[0], key=pair[1], ciphers=CIPHERS)
        (folder / "nginx.conf").write_text(text.replace(" reuseport;", " reuseport " + tls))
        return bench.nginx_command(folder)
    config = bench.jwtgate_config("none", 1, 1)
    config["listeners"]["public"]["tls"] = {"certificates": [{"cert_file": str(pair[0]), "key_file": str(pair[1])}]}
    (folder / "jwtgate.jsonc").write_text(json.dumps(config))
    return [bench.BINARY, "run", "-c", folder / "jwtgate.jsonc"]


@contextlib.contextmanager
def gateway(program, pair):
    with tempfile.TemporaryDirectory(prefix="run.", dir=WORK) as name:
        folder = bench.pathlib.Path(name)
        folder.chmod(0o755)
        with running(LOAD_CPU, [WORK / "backend", BACKEND], BACKEND), \
                running(GW_CPU, command_of(program, pair, folder), PORT) as process:
            yield process


def load(kind, seconds):
    """How many handshakes or requests there were."""
    version, what = KINDS[kind]
    if what == "request":
        return bench.load(64, "/1m" if kind.endswith("1m") else "/", 0, "none", seconds, LOAD_CPU, scheme="https")
    done = subprocess.run(["taskset", "-c", LOAD_CPU, WORK / "handshakes", str(PORT), str(seconds), version, what, "8"],
                          capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    if what == "resumed" and result["resumed"] < result["handshakes"] - 16:
        raise RuntimeError(f"not resumed: {result}")
    return {"requests": result["handshakes"], "errors": result["errors"], "non2xx": 0}


def measure(program, kind, pair, seconds):
    with gateway(program, pair) as process:
        load(kind, 1)
        pids = tree_of(process.pid)
        user0, system0 = cpu_of(pids)
        result = load(kind, seconds)
        user1, system1 = cpu_of(pids)
    number = max(result["requests"], 1)
    user, system = (user1 - user0) / number * 1e6, (system1 - system0) / number * 1e6
    return {"us": user + system, "user": user, "system": system, "number": number, "errors": result["errors"] + result["non2xx"]}


def idle_bytes(program, pair, count):
    """Memory of an idle connection that has had one request."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\n\r\n".encode()

    def ask(sock):
        sock.sendall(request)
        data = b""
        while b":1}\n" not in data:
            data += sock.recv(65536) or sys.exit("closed")

    def connect():
        sock = context.wrap_socket(socket.create_connection(("127.0.0.1", PORT), 10), server_hostname="bench.test")
        ask(sock)
        return sock

    with gateway(program, pair) as process:
        for sock in [connect() for _ in range(50)]:
            sock.close()
        first = [connect() for _ in range(8)]
        for sock in first * WARM_UP:
            ask(sock)
        time.sleep(0.5)
        before = memory_of(tree_of(process.pid))
        rest = [connect() for _ in range(count)]
        time.sleep(1)
        after = memory_of(tree_of(process.pid))
        for sock in first + rest:
            sock.close()
    return (after - before) * 1024 / count


def report(rounds, idle):
    print("| what | nginx us (user + system) | jwtgate us (user + system) | errors | jwtgate / nginx | aim | reached |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for kind in KINDS:
        rows = [r[kind] for r in rounds if set(r.get(kind, ())) == set(PROGRAMS)]
        if not rows:
            continue
        mid = {p: {k: statistics.median(r[p][k] for r in rows) for k in ("us", "user", "system")} for p in PROGRAMS}
        value = statistics.median(r["jwtgate"]["us"] / r["nginx"]["us"] for r in rows)
        texts = [f"{mid[p]['us']:.1f} ({mid[p]['user']:.1f} + {mid[p]['system']:.1f})" for p in PROGRAMS]
        errors = sum(r[p]["errors"] for r in rows for p in PROGRAMS)
        print(f"| {kind} | {texts[0]} | {texts[1]} | {errors} | {value:.3f} | <= 1.00 | {'yes' if value <= 1 else 'NO'} |")
    if idle:
        value = idle["jwtgate"] / idle["nginx"]
        print(f"| idle connection, bytes | {idle['nginx']:.0f} | {idle['jwtgate']:.0f} | 0 | {value:.3f} | <= 1.00 | "
              f"{'yes' if value <= 1 else 'NO'} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--only", default=",".join(KINDS), help="with commas: " + " ".join(KINDS))
    parser.add_argument("--rsa", action="store_true", help="RSA-2048 in place of ECDSA P-256")
    parser.add_argument("--no-idle", action="store_true")
    options = parser.parse_args()
    bench.build_tools({"backend": [], "handshakes": ["-lssl", "-lcrypto", "-lpthread"]})
    pair = make_certificate(options.rsa)
    rounds = []
    for number in range(1, options.rounds + 1):
        rounds.append({})
        for kind in options.only.split(","):
            rounds[-1][kind] = {program: measure(program, kind, pair, options.seconds) for program in PROGRAMS}
            print(f"round {number} {kind}: " + ", ".join(f"{p} {r['us']:.1f} us ({r['number']})" for p, r in rounds[-1][kind].items()),
                  file=sys.stderr, flush=True)
    idle = {} if options.no_idle else {program: idle_bytes(program, pair, 1000) for program in PROGRAMS}
    report(rounds, idle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
