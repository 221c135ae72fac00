# SPDX-License-Identifier: Apache-2.0
"""`jwtgate fmt`: one form for each content, comments kept, nothing else changed."""
import json
import os
import random
import re

import pytest

from support import ROOT, SECRET
from test_46_cli import BASE, jwtgate, write
from test_48_schema import RICH, without_comments

EXAMPLES = sorted((ROOT / "conf").glob("*.jsonc"))
COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|(//[^\n]*|/\*.*?\*/)', re.S)


def fmt(*arguments, **more):
    done = jwtgate("fmt", *arguments, **more)
    assert "Sanitizer" not in done.stderr, done.stderr
    return done


def comments(text):
    """All of them, without what may change: the blanks at the ends of lines and before further lines."""
    return sorted("\n".join(line.strip() for line in m.split("\n")) for m in COMMENT.findall(text) if m)


def check_formatted(file):
    """The formatted text, which says the same."""
    before = file.read_text()
    after = fmt(file).stdout
    assert file.read_text() == before
    assert list(pairs(after)) == list(pairs(before))
    assert comments(after) == comments(before)
    file.write_text(after)
    assert fmt(file).stdout == after
    file.write_text(before)
    return after


def pairs(text):
    """Values with their order."""
    return json.loads(without_comments(text), object_pairs_hook=lambda items: ["object", *items], parse_float=str)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_means_the_same(scratch, file):
    copy = scratch / file.name
    copy.write_text(file.read_text())
    printed = jwtgate("check", "--print", "--quiet", "-c", copy, JWTGATE_HS256_SECRET=SECRET)
    copy.write_text(check_formatted(copy))
    again = jwtgate("check", "--print", "--quiet", "-c", copy, JWTGATE_HS256_SECRET=SECRET)
    assert printed.returncode == 0 and printed.stdout == again.stdout


def shaken(text, dice):
    """The same tokens with other blanks and comments between them."""
    tokens = re.findall(r'"(?:\\.|[^"\\])*"|[{}\[\],:]|[^\s{}\[\],:"]+', text)
    gaps = ["", " ", "\n", "\n\n", "\n\n\n\n", "\t", "\r\n", "// line // \n", "/* block */", "/* a\n     b\n c */", " // \"x\n", "/**/"]
    return "".join(token + "".join(dice.choices(gaps, [9, 9, 9, 2, 1, 1, 1, 1, 1, 1, 1, 1], k=dice.randrange(4))) for token in ["", *tokens])


@pytest.mark.parametrize("seed", range(12))
def test_however_it_was_laid_out(scratch, seed):
    dice = random.Random(seed)
    for config in (RICH, BASE, {"a": [[], {}, [1, -2.50e+3, "\\u00e9\\/\""], None, True]}):
        file = scratch / "c.jsonc"
        file.write_text(shaken(json.dumps(config), dice))
        check_formatted(file)


def test_without_comments_there_is_one_form(scratch):
    file, forms = scratch / "c.jsonc", set()
    for indent in (None, 0, 1, 8):
        file.write_text(json.dumps(RICH, indent=indent))
        forms.add(fmt(file).stdout)
    assert len(forms) == 1
    assert all(len(line) <= 100 for line in forms.pop().splitlines())


def test_the_layout(scratch):
    (scratch / "c.jsonc").write_text('''// top
{"version":1,   // of the format

"upstreams":{"a":{"targets":["127.0.0.1:1","127.0.0.1:2"]},


/* the other
   one */
"b":{"targets":["127.0.0.1:3"] /* spare */}},"routes":{}
// end
}''')
    assert fmt(scratch / "c.jsonc").stdout == '''// top
{
  "version": 1, // of the format

  "upstreams": {
    "a": { "targets": ["127.0.0.1:1", "127.0.0.1:2"] },

    /* the other
       one */
    "b": {
      "targets": ["127.0.0.1:3"] /* spare */
    }
  },
  "routes": {}
  // end
}
'''


@pytest.mark.parametrize("text", ['{"a": 1,}', '{"a": 1 "b": 2}', '{"a": 1', '{"a": 1} x', '{"a": 1, "a": 2}', "", "// only", '{"a": 1 /* }',
                                  "\ufeff{}", '{"a": tru}', "[" * 40 + "]" * 40])
def test_what_has_a_mistake_is_left_alone(scratch, text):
    file = scratch / "c.jsonc"
    file.write_text(text)
    for arguments in ([file], ["-w", file]):
        done = fmt(*arguments)
        assert done.returncode == 1 and done.stdout == "" and re.match(rf"{file}:\d+:\d+: error: ", done.stderr), done
        assert file.read_text() == text
    assert os.listdir(scratch) == ["c.jsonc"]


def test_in_place(scratch):
    file = write(scratch, BASE)
    file.chmod(0o640)
    formatted, before = fmt(file).stdout, file.stat()
    (scratch / "link.jsonc").symlink_to(file.name)
    done = fmt("-w", scratch / "link.jsonc")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    after = file.stat()
    assert file.read_text() == formatted and (scratch / "link.jsonc").is_symlink()
    assert after.st_mode == before.st_mode and after.st_ino != before.st_ino
    assert fmt("-w", file).returncode == 0 and file.stat().st_ino == after.st_ino  # nothing to do
    assert sorted(os.listdir(scratch)) == ["jwtgate.jsonc", "link.jsonc"]


def test_several_files(scratch):
    good, bad = scratch / "good.jsonc", scratch / "bad.jsonc"
    good.write_text('{"a":1}')
    bad.write_text('{"a":1')
    assert fmt("-w", bad, good, scratch / "none.jsonc").returncode == 3
    assert good.read_text() == '{\n  "a": 1\n}\n' and bad.read_text() == '{"a":1'
    assert fmt(good, good).stdout == 2 * good.read_text()
    assert fmt().returncode == 2 and fmt(scratch).returncode == 3
    assert fmt("--", good, "-w").returncode == 3  # a file of that name
