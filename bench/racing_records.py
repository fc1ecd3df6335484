"""100 records that 10 clones push at once to one remote: none is lost or there twice, and how long that takes."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.git.records.test_racing_records import race


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clones", type=int, default=10)
    parser.add_argument("--records", type=int, default=10, help="of each clone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gitops-ml-bench-records-") as folder:
        started = time.monotonic()
        race(Path(folder), options.clones, options.records)
        seconds = time.monotonic() - started
    print(
        f"{options.clones * options.records} records of {options.clones} clones in {seconds:.0f} s; none lost or twice"
    )


if __name__ == "__main__":
    main()
