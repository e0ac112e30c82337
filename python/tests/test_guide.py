import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
BLOCKS = [
    (page, *block) for page in ("docs/python.md", "python/README.md") for block in BLOCK.findall((ROOT / page).read_text())
]


@pytest.mark.parametrize("page, program, printed", BLOCKS)
def test_the_guide_shows_what_happens(page, program, printed, tmp_path):
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert not printed or ended.stdout == printed
