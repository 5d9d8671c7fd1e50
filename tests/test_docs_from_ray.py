"""Programs in the style of Ray's introduction run with ``ray`` replaced by ``shm``; so does what docs/from-ray.md shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[1] / "docs" / "from-ray.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)

TASKS = """
import ray
ray.init()

@ray.remote
def square(x):
    return x * x

futures = [square.remote(i) for i in range(4)]
print(ray.get(futures))
"""

ACTORS = """
import ray
ray.init()

@ray.remote
class Counter:
    def __init__(self):
        self.value = 0

    def increment(self):
        self.value += 1
        return self.value

    def get(self):
        return self.value

counter = Counter.remote()
print(ray.get([counter.increment.remote() for _ in range(4)]))
print(ray.get(counter.get.remote()))
"""

OBJECTS = """
import numpy as np
import ray
ray.init()

@ray.remote
def total(matrix):
    return int(matrix.sum())

@ray.remote
class Store:
    def keep(self, matrix, scale):
        self.matrix = matrix * scale

    def total(self):
        return ray.get(total.remote(self.matrix))

matrix = ray.put(np.ones((1000, 1000)))
print(ray.get(total.remote(matrix)))
store = Store.remote()
store.keep.remote(matrix, total.options(num_returns=1).remote(np.ones(2)))
print(ray.get(store.total.remote(), timeout=50))
ready, unready = ray.wait([total.remote(matrix)], num_returns=1, timeout=50)
print(len(ready), len(unready))
ray.kill(store)
ray.shutdown()
"""

PRODUCER_AND_CONSUMER = """
import numpy as np
import ray
ray.init()

@ray.remote
def produce():
    return np.ones((1024, 1024), dtype=np.float32)

@ray.remote
def consume(array):
    return array.shape, array.dtype.name, float(array.sum())

print(ray.get(consume.remote(produce.remote())))
"""


def run(code: str) -> str:
    """What a program prints that ends well."""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        pytest.param(TASKS, "[0, 1, 4, 9]\n", id="tasks"),
        pytest.param(ACTORS, "[1, 2, 3, 4]\n4\n", id="actors"),
        pytest.param(OBJECTS, "1000000\n2000000\n1 0\n", id="objects"),
        pytest.param(PRODUCER_AND_CONSUMER, "((1024, 1024), 'float32', 1048576.0)\n", id="producer-consumer"),
    ],
)
def test_a_program_for_ray_runs_with_its_name_replaced(runtime_folder, program, answer):
    code = re.sub(r"\bray\b", "shm", program.replace("import ray", "import jupyter_shm as shm"))

    assert run(code) == answer


def test_what_the_page_shows_runs(runtime_folder):
    assert run("\n".join(BLOCKS)) == "[0, 1, 4, 9]\n10\n1000 2 0\n"


def test_the_page_names_only_what_there_is():
    import jupyter_shm as shm

    named = set(re.findall(r"\bshm\.(\w+)", TEXT))
    assert named <= set(shm.__all__)
    assert set(re.findall(r"\b[A-Z]\w+Error\b", TEXT.split("`shm.errors`:")[1])) <= set(dir(shm.errors))
