# SPDX-License-Identifier: Apache-2.0
"""What is made of the tables of commands: completions in real shells, manual pages, the list of metrics."""
import os
import pathlib
import pty
import re
import select
import subprocess
import time

import pytest

from support import ROOT
from test_46_cli import command_names, jwtgate


def options(name):
    """The long options and words that the help of a command shows."""
    return set(re.findall(r"^  (?:-\w,|   ) (--[a-z-]+)", jwtgate("help", name).stdout, re.M))


@pytest.fixture(scope="module")
def commands():
    return {name: options(name) for name in command_names()}


# --- completions -------------------------------------------------------------------------------


def bash(file, *words):
    script = (f'. {file}; COMP_WORDS=({" ".join(map(repr, words))}); COMP_CWORD={len(words) - 1}; _jwtgate; printf "%s\\n" "${{COMPREPLY[@]}}"')
    return set(subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True).stdout.split())


def test_bash(scratch, commands):
    file = scratch / "completion"
    file.write_text(jwtgate("completion", "bash").stdout)
    assert bash(file, "jwtgate", "") == set(commands)
    for name, wanted in commands.items():
        assert len(wanted) > 0 and bash(file, "jwtgate", name, "--") == wanted, name
    assert bash(file, "jwtgate", "keys", "g") == {"generate"} and bash(file, "jwtgate", "completion", "") >= {"bash", "zsh", "fish"}
    assert {"config", "metrics", "check"} <= bash(file, "jwtgate", "help", "")
    (scratch / "some.pem").write_text("")
    for words in (["check", "-c"], ["keys", "--output"], ["token", "--key"], ["explain", "--token-file"], ["demo", "--dir"]):
        assert bash(file, "jwtgate", *words, f"{scratch}/so") == {f"{scratch}/some.pem"}, words


def test_fish(scratch, commands):
    file = scratch / "jwtgate.fish"
    file.write_text(jwtgate("completion", "fish").stdout)

    def fish(line):
        done = subprocess.run(["fish", "--no-config", "-c", f"source {file}; complete -C '{line}'"], capture_output=True, text=True, timeout=30,
                              check=True, env=dict(os.environ, HOME=str(scratch)), cwd=scratch)
        assert not done.stderr, done.stderr
        return {row.split("\t")[0] for row in done.stdout.splitlines()}

    assert fish("jwtgate ") >= set(commands)
    for name, wanted in commands.items():
        assert fish(f"jwtgate {name} --") >= wanted - {"--help"}, name
    assert {"generate", "rotate"} <= fish("jwtgate keys ") and {"metrics", "check"} <= fish("jwtgate help ")


class Zsh:
    """An interactive one: its completion needs a terminal."""

    def __init__(self, folder):
        self.child, self.fd = pty.fork()
        if self.child == 0:
            os.environ.update(HOME=str(folder), TERM="dumb", ZDOTDIR=str(folder))
            os.execvp("zsh", ["zsh", "-f", "-i"])
        self.say(f"PS1='> '; unsetopt zle_bracketed_paste; fpath=({folder} $fpath); autoload -Uz compinit; compinit -D -u; "
                 "zstyle ':completion:*' list-prompt ''; LISTMAX=1000; echo rea''dy\n", "ready")

    def say(self, text, until, seconds=20):
        os.write(self.fd, text.encode())
        seen, end = "", time.monotonic() + seconds
        while until not in seen and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                seen += os.read(self.fd, 65536).decode(errors="replace")
        assert until in seen, seen
        return seen

    def close(self):
        os.close(self.fd)
        os.waitpid(self.child, 0)


def test_zsh(scratch, commands):
    (scratch / "_jwtgate").write_text(jwtgate("completion", "zsh").stdout)
    subprocess.run(["zsh", "-n", scratch / "_jwtgate"], check=True)
    zsh = Zsh(scratch)
    zsh.say("jwtgate che\t", "jwtgate check ")
    zsh.say("\x15jwtgate check --str\t", "--strict")
    zsh.say("\x15jwtgate keys gen\t", "generate")
    zsh.say("\x15jwtgate help metr\t", "metrics")
    zsh.close()
    text = (scratch / "_jwtgate").read_text()
    for name, wanted in commands.items():
        part = text.split(f"        {name})\n", 1)[1].split(";;", 1)[0]
        assert all(f"'{option}[" in part or f"'{option}=[" in part for option in wanted), name


# --- manual pages, metrics, version ------------------------------------------------------------


@pytest.mark.parametrize("topic, wanted", [([], "explain"), (["config"], "routes.NAME.issue_token.claims"),
                                           (["metrics"], "jwtgate_tokens_issued_total")])
def test_manual_pages_render_without_a_warning(scratch, topic, wanted):
    page = scratch / "page"
    page.write_text(jwtgate("help", *topic, "--man").stdout)
    done = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True, check=True,
                          env=dict(os.environ, MANWIDTH="100", LC_ALL="C.UTF-8", MAN_KEEP_FORMATTING="", PAGER="cat"))
    assert done.stderr == "" and wanted in done.stdout
    done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", page], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_manual_page_has_every_option(commands):
    page = jwtgate("help", "--man").stdout.replace("\\-", "-")
    for name, wanted in commands.items():
        part = page.split(f".SS {name}\n", 1)[1].split("\n.S", 1)[0]
        assert all(f"{option}\\fR" in part for option in wanted - {"--help"}), name


def test_help_metrics_names_what_the_gateway_counts(start, backend):
    from support import config_for, get
    text = jwtgate("help", "metrics").stdout
    named = dict(re.findall(r"^(\w+)\n    (counter|gauge|histogram)\n    .+\.$", text, re.M))
    gateway = start(config_for(backend))
    gateway.ask(get("/"))
    served = dict(re.findall(r"^# TYPE (\w+) (\w+)$", gateway.admin("/metrics")[1], re.M))
    assert served and served.items() <= named.items()
    table = pathlib.Path(ROOT / "gateway" / "metrics_table.h").read_text()
    assert set(named) == set(re.findall(r'"((?:jwtgate|process)_\w+)"', table))


def test_version_says_more_with_v():
    assert jwtgate("version").stdout.count("\n") == 1
    lines = jwtgate("version", "-v").stdout.splitlines()
    assert lines[0] + "\n" == jwtgate("version").stdout
    assert [line.split()[0] for line in lines[1:]] == ["OpenSSL", "libevent", "compiler"]
