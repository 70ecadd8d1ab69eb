"""How much memory loading the full network takes: peak resident memory against the size of the weights.

    python benchmarks/load_memory.py            the full 1.26 B network, about 5 GB of disk and of memory
    python benchmarks/load_memory.py --small    the same half as wide with 4 block pairs, seconds

Random weights are written once for each file format; each is loaded in a process of its own, in which afterwards every
weight is read once, so that mapped pages count as well. Writing the float32 safetensors file takes twice its size.

Known:   a float16 file peaks at 1.5 times the network: a third of that is the mapped file, which the system takes back
         when it needs memory; the float32 copy is what stays.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from stored import store

from page4d.model import PAGE4D, PAGE4DConfig
from page4d.model.weights import save_weights

SMALL = PAGE4DConfig(
    embed_dim=512, depth=4, num_heads=8, patch_embed="conv", mask_source=1, masked_pairs=(2,), dpt_pairs=(0, 1, 2, 3),
    enable_track=False,
)  # fmt: skip
FORMATS = ("float32.pt", "float32.safetensors", "float16.safetensors")


def write(folder: Path, name: str, config: PAGE4DConfig) -> Path:
    """One file of random weights; its values do not matter, only that no page is a hole in the file."""
    with torch.device("meta"):
        model = PAGE4D(config)
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1 << 20, generator=generator)
    filled = {
        key: noise.repeat(tensor.numel() // len(noise) + 1)[: tensor.numel()].clone().view(tensor.shape)
        for key, tensor in model.state_dict().items()
    }
    path = folder / name
    if path.suffix == ".pt":
        torch.save({"model": filled}, path)
    else:
        model.load_state_dict(filled, assign=True)
        save_weights(model, path, getattr(torch, path.stem))
    return path


def resident(field: str) -> int:
    """Bytes of a line of /proc/self/status: VmHWM (peak), VmRSS, RssAnon, RssFile."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def measure(path: Path) -> dict[str, float]:
    """Load in this process; all figures but seconds and ratio in GB."""
    before, start = resident("VmRSS"), time.perf_counter()
    model = PAGE4D.from_pretrained(path, mask=False)
    loaded = time.perf_counter() - start
    for tensor in model.state_dict().values():
        tensor.view(torch.int32).max()
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    peak = resident("VmHWM") - before
    figures = {"network": size, "file": path.stat().st_size, "peak": peak, "anonymous": resident("RssAnon")}
    return {name: value / 1e9 for name, value in figures.items()} | {"seconds": loaded, "ratio": peak / size}


def main() -> None:
    """Print one line a format, store all under `full` or `small`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--folder", type=Path, help="where the files are written (default: the temporary folder)")
    parser.add_argument("--out", type=Path, help="JSON file in which the part `full` or `small` is replaced")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure)))
        return
    rows = {}
    print(f"{'format':22}{'network':>9}{'file':>8}{'peak':>8}{'peak/network':>14}{'seconds':>9}")
    for name in args.formats:
        if args.small and name.endswith(".pt"):
            continue  # a file without configuration is the full network
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            command = [sys.executable, __file__, "--measure", str(write(Path(folder), name, config(args.small)))]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        f = json.loads(said)
        rows[name] = {figure: round(value, 3) for figure, value in f.items()}
        print(
            f"{name:22}{f['network']:9.2f}{f['file']:8.2f}{f['peak']:8.2f}{f['ratio']:14.2f}{f['seconds']:9.2f}",
            flush=True,
        )
    store(args.out, "small" if args.small else "full", {"rows": rows})


def config(small: bool) -> PAGE4DConfig:
    """The network to measure with."""
    return SMALL if small else PAGE4DConfig()


if __name__ == "__main__":
    main()
