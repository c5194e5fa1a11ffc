"""Where AIP-GAN's joint step spends its time, what compact bilinear pooling costs beside the outer product that it
stands for, and how much memory a step takes at two dimensions of the pooling.

Run: python benchmarks/aipgan_step.py [--size 64] [--width 0.5] [--halvings 4] [--batch 16] [--device cpu]
Bar: the CEB blocks take at most 20 % of the step.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegan.methods.aipgan import AIPGAN
from facegan.methods.aipgan_config import AIPGANConfig
from facegan.nets.bilinear import CompactBilinear

WIDTHS = AIPGANConfig().widths


def config(width: float, halvings: int, bilinear: int) -> AIPGANConfig:
    return AIPGANConfig(
        widths=tuple(int(width * w) for w in WIDTHS), pool_blocks=halvings, bilinear=bilinear,
        critic_width=int(64 * width), recogniser="trained", recogniser_size=64, recogniser_width=0.25,
    )  # fmt: skip


def batch(n: int, size: int, device: str) -> dict[str, Tensor]:
    def picture(channels: int = 3) -> Tensor:
        x = torch.rand(n, channels, size, size, device=device) * 2 - 1
        return x.contiguous(memory_format=torch.channels_last)

    labels = torch.arange(n, device=device)
    return {
        "source_image": picture(), "target_image": picture(), "target_identity_map": picture(),
        "source_landmark_map": picture(1), "source_identity": labels % 5, "target_identity": labels % 4,
        "source_expression": 1 + labels % 6,
    }  # fmt: skip


class Step:
    """The joint step without a Trainer."""

    def __init__(self, n: int, size: int, width: float, halvings: int, bilinear: int, device: str) -> None:
        torch.manual_seed(0)
        self.module: Any = AIPGAN(config(width, halvings, bilinear), size, identities=5, batch_size=n).to(
            device
        )
        optimizers = self.module.configure_optimizers()
        self.module.optimizers = lambda: optimizers
        self.module.toggled_optimizer = lambda optimizer: torch.enable_grad()
        self.module.manual_backward = lambda loss: loss.backward()
        self.module.R_i.requires_grad_(False)
        self.module.R_e.requires_grad_(False)
        self.batch = batch(n, size, device)

    def __call__(self) -> None:
        self.module.joint_step(self.batch)


def seconds(call: Callable[[], object], device: str, repeats: int = 5) -> float:
    """The least of some runs, after one that does not count."""
    call()
    times = []
    for _ in range(repeats):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def parts(step: Step, device: str) -> dict[str, float]:
    """Seconds of each part on its own, forward and backward."""
    module, x = step.module, step.batch
    G = module.generator

    def both_ways(call: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            out = call()
            tensors = [t for t in out if isinstance(t, Tensor)] if isinstance(out, tuple | list) else [out]
            torch.stack([t.float().square().mean() for t in tensors]).sum().backward()

        return run

    with torch.no_grad():
        e, (h, maps) = G.G_es(x["source_image"]), G.G_et(x["target_image"])
        picture = G.decode(e, h, maps)
    grown, of_identity = ([m.detach().requires_grad_(True) for m in found] for found in (e.maps, maps))
    drawn = picture.detach().requires_grad_(True)

    def ceb() -> list[Tensor]:
        return [module_k.pooling(grown[-int(k)], of_identity[-int(k)]) for k, module_k in G.G_de.ceb.items()]

    calls: dict[str, Callable[[], Any]] = {
        "G_es, with attention": lambda: G.G_es(x["source_image"]).code,
        "G_et": lambda: G.G_et(x["target_image"])[0],
        "G_de, with its CEB blocks": lambda: G.G_de(torch.cat([e.code, h], 1), grown, of_identity),
        "CEB blocks alone": ceb,
        "landmark and identity-map heads": lambda: (G.landmarks(e.code), G.identity_map(h)),
        "L_if and L_ef": lambda: (
            module._feature_distance(module.R_i, drawn, x["target_image"]),
            module._feature_distance(module.R_e, drawn, x["source_image"]),
        ),
        "D, on real, fake, and for G": lambda: [
            *module.D(x["target_image"]), *module.D(picture), *module.D(drawn)
        ],
    }  # fmt: skip
    return {name: seconds(both_ways(call), device) for name, call in calls.items()}


def against_outer_product(device: str) -> None:
    n, channels, side = 16, 128, 24
    a, b = (torch.randn(n, channels, side, side, device=device) for _ in range(2))
    pooling = CompactBilinear([channels, channels], 512).to(device)
    compact = seconds(lambda: pooling(a, b), device)
    whole = seconds(lambda: torch.einsum("bchw,bdhw->bhwcd", a, b), device, repeats=2)
    print(
        f"level 2 ({channels} channels, {side}x{side}, {n} pictures), forward: compact {1e3 * compact:.1f} ms for "
        f"512 numbers a place, the outer product {1e3 * whole:.1f} ms for {channels**2:,}; ratio {whole / compact:.1f}"
    )


def _resident() -> float:
    """The most MiB that this process has had; getrusage would count its parent's, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10


def memory(options: argparse.Namespace, bilinear: int) -> float:
    """Peak MiB of one step, in a process of its own."""
    asked = [sys.executable, __file__, "--memory-of", str(bilinear)]
    for name in ("size", "width", "halvings", "batch", "device"):
        asked += [f"--{name}", str(getattr(options, name))]
    return float(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--halvings", type=int, default=4, help="4 at 64 pixels, 5 at the paper's 96 (A1)")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape = (options.batch, options.size, options.width, options.halvings)
    if options.memory_of:
        Step(*shape, options.memory_of, options.device)()
        peak = torch.cuda.max_memory_allocated() / 2**20 if options.device == "cuda" else _resident()
        print(peak)
        return
    step = Step(*shape, 512, options.device)
    whole = seconds(step, options.device)
    print(
        f"joint step, {options.batch} pictures of {options.size}x{options.size}, width {options.width:g}, "
        f"{options.device}: {1e3 * whole:.0f} ms"
    )
    for name, part in parts(step, options.device).items():
        print(f"  {name:32} {1e3 * part:7.1f} ms  {part / whole:6.1%} of the step")
    against_outer_product(options.device)
    for bilinear in (512, 2048):
        print(f"peak memory with d = {bilinear}: {memory(options, bilinear):.0f} MiB")


if __name__ == "__main__":
    main()
