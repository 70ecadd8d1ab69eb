"""How the small network's scores change with how much it sees: 2 to 32 frames, every, every second, every fourth.

    python benchmarks/density.py                  some ten minutes of one core; results go to benchmarks/results
    python benchmarks/density.py --out FILE.json --folder FOLDER

It is `page4d evaluate density` on clips of the synthetic world at the network's own size, and its table is stored; the
picture that the command draws lies beside its other files. A clip has 63 frames, so that 32 frames of every second fit;
32 of every fourth, which do not, are left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from page4d.cli import main as page4d
from page4d.schema import UserError
from page4d.version import provenance

RESULTS = Path(__file__).parent / "results" / "density.json"
SETTINGS = {"sequences": 8, "world.frames": 63, "world.height": 112, "world.width": 112}
WORDS = ["benchmark=videodepth-synthetic", *(f"benchmark.settings.{name}={value}" for name, value in SETTINGS.items())]
COMMAND = ["evaluate", "density", *WORDS, "weights=tiny", "device=cpu"]


def main() -> None:
    """Run the command, then store its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--folder", type=Path, default=Path("evaluation-density"))
    args = parser.parse_args()
    if page4d([*COMMAND, f"out={args.folder}"]) != 0:
        raise UserError("the command failed for some sequences; see its last lines")
    (table,) = (args.folder / "tables").glob("density-*.csv")
    about = provenance() | {"command": " ".join(["page4d", *COMMAND])}
    rows = json.loads(pd.read_csv(table).to_json(orient="records"))
    args.out.write_text(json.dumps({"about": about, "rows": rows}, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
