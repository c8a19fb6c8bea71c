"""A sweep by Ray: one task for each chunk of points, the table at the end.

    python3 examples/engines/ray_sweep.py examples/sweeps/small.ron results/small

The folder of results must be shared by all nodes, and `wafersim` on their path.
"""

import subprocess
import sys

import ray

CHUNK = 20


@ray.remote(num_cpus=1)
def run(sweep: str, out: str, first: int) -> int:
    """Runs a chunk of points; finished ones are not repeated. Returns the exit code."""
    points = f"{first}..{first + CHUNK}"
    command = ["wafersim", "sweep", sweep, "-o", out, "--threads", "1", "--quiet", "--point", points]
    return subprocess.run(command, check=False).returncode


def main() -> int:
    sweep, out = sys.argv[1:]
    plan = subprocess.run(
        ["wafersim", "sweep", sweep, "--plan"], check=True, capture_output=True, text=True
    )
    count = len(plan.stdout.splitlines())
    ray.init()
    codes = ray.get([run.remote(sweep, out, first) for first in range(0, count, CHUNK)])
    subprocess.run(["wafersim", "sweep", sweep, "-o", out, "--gather"], check=True)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
