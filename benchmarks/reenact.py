"""Frames per second of reenactment beside the released networks run as their authors' test code runs them.

    python benchmarks/reenact.py [--frames 64] [--width 128] [--size 128] [--device cpu] [--exact]

The baseline takes one frame at a time through both generators, in fp32, in PyTorch's usual layout. Ours is what
``facegan reenact`` does: the neutral face once, frames in batches, channels last, on a CPU convs with fewer products;
exact, and in bfloat16 (``--half``).
Bars on two CPU cores: 2 times as fast in exact arithmetic, 8 times in bfloat16; the exact path within 1/255.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from facegan.editing import FaceEditor
from facegan.methods.icface import ICface
from facegan.methods.icface_config import ICfaceConfig
from facegan.reenacting import at_once


def timed(work: Callable[[], Tensor], device: str) -> tuple[Tensor, float]:
    """A result, and the seconds that it took."""
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = work()
    if device != "cpu":
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def generated(net: Any, images: Tensor, attributes: Tensor) -> Tensor:
    """A generator's picture in the layout that PyTorch has by itself."""
    planes = attributes[:, :, None, None].expand(-1, -1, *images.shape[2:])
    return net.layers(torch.cat([images, planes], 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--exact", action="store_true", help="without bfloat16, which CPUs that lack it only imitate"
    )
    args = parser.parse_args()
    torch.manual_seed(0)
    module = ICface(ICfaceConfig(generator_width=args.width, w_identity=0, ema_half_life=0), args.size, 2)
    data = {"image_size": args.size, "align": "box", "landmarks": "openface"}
    editor = FaceEditor(module, {"data": data}, args.device)
    face = torch.rand(1, 3, args.size, args.size) * 2 - 1
    pose, au = torch.rand(args.frames, 3) - 0.5, torch.rand(args.frames, 17) * 5

    @torch.inference_mode()
    def plainly() -> Tensor:
        results = []
        for k in range(args.frames):
            attributes = module.attributes(pose[k : k + 1], au[k : k + 1]).to(args.device)
            neutral = generated(module.reenactor.G_N, face.to(args.device), module.neutral_attributes(1))
            results.append(generated(module.reenactor.G_A, neutral, attributes).cpu())
        return torch.cat(results)

    def ours() -> Tensor:
        neutral, few = editor.neutralise(face), at_once(editor.device.type)
        parts = zip(pose.split(few), au.split(few), strict=True)
        return torch.cat([editor.animate(neutral.expand(len(p), -1, -1, -1), p, a) for p, a in parts])

    module.to(memory_format=torch.contiguous_format)
    wanted, baseline = timed(plainly, args.device)
    module.to(memory_format=torch.channels_last)
    start = time.perf_counter()
    editor.quicken()
    preparation = time.perf_counter() - start
    print(f"{args.frames} frames of {args.size}x{args.size}, ngf {args.width}, on {args.device}")
    print(
        f"frame by frame, both generators: {args.frames / baseline:.2f}/s; made ready in {preparation:.2f} s"
    )
    for name, half in (("exact", False), ("bfloat16", True))[: 1 if args.exact else 2]:
        editor.half = half
        result, seconds = timed(ours, args.device)
        apart = (result - wanted).abs() * 127.5
        print(
            f"{name}: {args.frames / seconds:.2f}/s, {baseline / seconds:.1f} times as fast; "
            f"grey levels apart: {apart.mean():.3f} on average, {apart.max():.2f} at most"
        )


if __name__ == "__main__":
    main()
