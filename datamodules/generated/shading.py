"""The renderer's colours, compiled by numba: light on materials, filtering down, the camera's response."""

import math
from typing import NamedTuple

import numpy as np

from datamodules.generated.head import CHART_HALF, EYE_LEFT, EYE_RIGHT, GUMS, HAIR, MOUTH, SKIN, TEETH
from datamodules.generated.raster import f32, fast


class Lights(NamedTuple):
    """Light on the scene, in camera coordinates (x right, y down, z away), linear colours.

    ``direction`` (2, 3) points from the face to the key and the fill light, ``colour`` (2, 3);
    ``sky`` and ``ground`` (3,) are the ambient light from above and below.
    """

    direction: np.ndarray
    colour: np.ndarray
    sky: np.ndarray
    ground: np.ndarray


class Surfaces(NamedTuple):
    """What a person's surfaces look like; colours are linear RGB.

    ``skin`` (S, S, 4): albedo and bump height (cm) of the face chart; ``strands`` (H, H): hair brightness;
    ``hair``, ``hair_light``, ``iris``, ``iris_rim``, ``sclera``, ``teeth`` (3,); ``iris_angle`` and
    ``pupil_angle`` in radians; ``gloss`` of the skin.
    """

    skin: np.ndarray
    strands: np.ndarray
    hair: np.ndarray
    hair_light: np.ndarray
    iris: np.ndarray
    iris_rim: np.ndarray
    sclera: np.ndarray
    teeth: np.ndarray
    iris_angle: float
    pupil_angle: float
    gloss: float


@fast
def _power(x, squarings):
    for _ in range(squarings):
        x = x * x
    return x


@fast
def shade(
    index, screen, triangles, material, rest, normal, uv, open_sky, lit, turn, surfaces, lights, gaze,
    eye_centres, background, scale,
):  # fmt: skip
    """Linear colours (H, W, 3) of the picture at ``1 / scale`` of the resolution of ``index``.

    ``open_sky`` (N,) and ``lit`` (N, 2): unoccluded share of the ambient light and of each light; ``gaze`` (3,)
    in head coordinates; ``background`` (H, W, 3) linear.
    """
    height, width = background.shape[:2]
    out = np.zeros((height, width, 3), np.float32)
    skin, strands, direction, colour = surfaces.skin, surfaces.strands, lights.direction, lights.colour
    size = skin.shape[0]
    texels = f32((size - 1) / (2 * CHART_HALF))  # a cm
    n_strands = strands.shape[0]
    zero, one = f32(0), f32(1)
    albedo = np.empty(3, np.float32)
    wrap = np.empty(3, np.float32)
    corners = np.empty((normal.shape[0], 8), np.float32)  # what is interpolated, together in the cache
    for i in range(normal.shape[0]):
        corners[i, 0], corners[i, 1], corners[i, 2] = normal[i, 0], normal[i, 1], normal[i, 2]
        corners[i, 3], corners[i, 4], corners[i, 5] = uv[i, 0], uv[i, 1], open_sky[i]
        corners[i, 6], corners[i, 7] = lit[i, 0], lit[i, 1]
    here = np.empty(8, np.float32)
    halfway = np.empty((2, 3), np.float32)  # between each light and the camera
    for k in range(2):
        hx, hy, hz = direction[k, 0], direction[k, 1], direction[k, 2] - one
        s = one / math.sqrt(hx * hx + hy * hy + hz * hz)
        halfway[k, 0], halfway[k, 1], halfway[k, 2] = hx * s, hy * s, hz * s
    samples = scale * scale
    share, gloss_of_skin = f32(1 / samples), f32(surfaces.gloss)
    kinds = np.empty(samples, np.int32)
    down, right = np.empty(samples, np.int32), np.empty(samples, np.int32)
    for k in range(samples):
        down[k], right[k] = k // scale, k % scale
    for cell in range(height * width):
        oy, ox = cell // width, cell % width
        top, left = oy * scale, ox * scale
        for k in range(samples):
            t = index[top + down[k], left + right[k]]
            kinds[k] = material[t] if t >= 0 else -1
        for sample in range(samples):
            kind = kinds[sample]
            if kind == -2:
                continue
            row, column = top + down[sample], left + right[sample]
            px, py, weight = f32(column), f32(row), share
            if kind not in (EYE_RIGHT, EYE_LEFT):
                # The samples of one material are shaded once, in their middle; eyes are too fine for that.
                count = 1
                for k in range(sample + 1, samples):
                    if kinds[k] == kind:
                        kinds[k] = -2
                        px += f32(left + right[k])
                        py += f32(top + down[k])
                        count += 1
                px, py, weight = px / f32(count), py / f32(count), share * f32(count)
            t = index[row, column]
            if t < 0:
                for c in range(3):
                    out[oy, ox, c] += weight * background[oy, ox, c]
                continue
            ia, ib, ic = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            ax, ay = screen[ia, 0], screen[ia, 1]
            bx, by = screen[ib, 0], screen[ib, 1]
            cx, cy = screen[ic, 0], screen[ic, 1]
            s = one / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
            wb = ((px - ax) * (cy - ay) - (py - ay) * (cx - ax)) * s
            wc = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) * s
            wa = one - wb - wc
            for k in range(8):
                here[k] = wa * corners[ia, k] + wb * corners[ib, k] + wc * corners[ic, k]
            nx, ny, nz, u, v, sky = here[0], here[1], here[2], here[3], here[4], here[5]
            gloss, tight, soft = f32(0), 4, f32(0)
            wrap[0] = wrap[1] = wrap[2] = 0.1

            if kind == SKIN:
                tx, ty = u * f32(size - 1), v * f32(size - 1)
                x0, y0 = min(int(tx), size - 2), min(int(ty), size - 2)
                fx, fy = tx - f32(x0), ty - f32(y0)
                w00, w01, w10, w11 = (one - fx) * (one - fy), fx * (one - fy), (one - fx) * fy, fx * fy
                for c in range(3):
                    albedo[c] = (
                        w00 * skin[y0, x0, c] + w01 * skin[y0, x0 + 1, c]
                        + w10 * skin[y0 + 1, x0, c] + w11 * skin[y0 + 1, x0 + 1, c]
                    )  # fmt: skip
                h00, h01 = skin[y0, x0, 3], skin[y0, x0 + 1, 3]
                h10, h11 = skin[y0 + 1, x0, 3], skin[y0 + 1, x0 + 1, 3]
                slope_x = ((h01 - h00) * (one - fy) + (h11 - h10) * fy) * texels
                slope_y = ((h00 - h10) * (one - fx) + (h01 - h11) * fx) * texels
                nx -= slope_x * turn[0, 0] + slope_y * turn[0, 1]
                ny -= slope_x * turn[1, 0] + slope_y * turn[1, 1]
                nz -= slope_x * turn[2, 0] + slope_y * turn[2, 1]
                gloss = gloss_of_skin
                wrap[0], wrap[1], wrap[2] = 0.42, 0.22, 0.16
            elif kind in (EYE_RIGHT, EYE_LEFT):
                e = kind - EYE_RIGHT
                dx = wa * rest[ia, 0] + wb * rest[ib, 0] + wc * rest[ic, 0] - eye_centres[e, 0]
                dy = wa * rest[ia, 1] + wb * rest[ib, 1] + wc * rest[ic, 1] - eye_centres[e, 1]
                dz = wa * rest[ia, 2] + wb * rest[ib, 2] + wc * rest[ic, 2] - eye_centres[e, 2]
                r = 1 / math.sqrt(dx * dx + dy * dy + dz * dz + 1e-9)
                cosine = min((dx * gaze[0] + dy * gaze[1] + dz * gaze[2]) * r, 1.0)
                angle = math.acos(cosine) if cosine > 0 else 2.0
                edge = min(max((surfaces.iris_angle - angle) / 0.06 + 0.5, 0.0), 1.0)
                rim = min(max((angle - surfaces.iris_angle * 0.72) / (surfaces.iris_angle * 0.28), 0.0), 1.0)
                pupil = min(max((surfaces.pupil_angle - angle) / 0.05 + 0.5, 0.0), 1.0)
                spoke = 1 + 0.18 * math.sin(17 * math.atan2(dy * r - gaze[1], dx * r - gaze[0]))
                lid = min(max(1.25 - 0.9 * (dy * r + 0.1), 0.45), 1.0)
                for c in range(3):
                    tint = surfaces.iris[c] * (1 - rim) * spoke + surfaces.iris_rim[c] * rim
                    tint = tint * (1 - pupil) + 0.004 * pupil
                    albedo[c] = (surfaces.sclera[c] * (1 - edge) + tint * edge) * lid
                gloss, tight = f32(1.4), 8
                wrap[0] = wrap[1] = wrap[2] = 0.3
            elif kind == TEETH:
                for c in range(3):
                    albedo[c] = surfaces.teeth[c]
                gloss, sky = f32(0.25), f32(0.35) + f32(0.65) * sky
            elif kind == GUMS:
                albedo[0], albedo[1], albedo[2] = 0.34, 0.11, 0.11
                gloss, sky = f32(0.3), f32(0.2) + f32(0.8) * sky
            elif kind == MOUTH:
                albedo[0], albedo[1], albedo[2] = 0.16, 0.03, 0.03
                gloss, sky = f32(0.1), f32(0.15) + f32(0.85) * sky
            else:
                tx, ty = u * f32(n_strands), v * f32(n_strands)
                x0, y0 = math.floor(tx), math.floor(ty)
                fx, fy = tx - f32(x0), ty - f32(y0)
                x0, y0 = x0 % n_strands, y0 % n_strands
                x1, y1 = (x0 + 1) % n_strands, (y0 + 1) % n_strands
                strand = (one - fy) * ((one - fx) * strands[y0, x0] + fx * strands[y0, x1])
                strand += fy * ((one - fx) * strands[y1, x0] + fx * strands[y1, x1])
                for c in range(3):
                    albedo[c] = surfaces.hair[c] * (one - strand) + surfaces.hair_light[c] * strand
                soft = f32(0.25) + f32(0.75) * strand
                wrap[0] = wrap[1] = wrap[2] = 0.35

            s = one / math.sqrt(nx * nx + ny * ny + nz * nz)
            nx, ny, nz = nx * s, ny * s, nz * s
            up = f32(0.5) * (one - ny)
            red, green, blue = f32(0), f32(0), f32(0)
            for k in range(2):
                lx, ly, lz = direction[k, 0], direction[k, 1], direction[k, 2]
                facing = nx * lx + ny * ly + nz * lz
                seen = here[6 + k]
                if kind in (TEETH, GUMS):
                    seen = f32(0.45) + f32(0.55) * seen
                hx, hy, hz = halfway[k, 0], halfway[k, 1], halfway[k, 2]
                shine = f32(0)
                if kind == HAIR:
                    tx, ty, tz = turn[0, 1], turn[1, 1], turn[2, 1]
                    d = tx * nx + ty * ny + tz * nz
                    tx, ty, tz = tx - d * nx, ty - d * ny, tz - d * nz
                    d = (tx * hx + ty * hy + tz * hz) / math.sqrt(tx * tx + ty * ty + tz * tz + f32(1e-6))
                    shine = soft * _power(max(one - d * d, zero), 4) * max(facing + f32(0.2), zero)
                elif gloss > 0 and facing > 0:
                    mirrored = max(nx * hx + ny * hy + nz * hz, zero)
                    shine = gloss * _power(mirrored, tight) * min(facing * f32(4), one)
                bright = colour[k, 0], colour[k, 1], colour[k, 2]
                gain = f32(0.08) * shine * seen
                if kind == HAIR:
                    red += bright[0] * shine * seen * surfaces.hair_light[0] * f32(0.8)
                    green += bright[1] * shine * seen * surfaces.hair_light[1] * f32(0.8)
                    blue += bright[2] * shine * seen * surfaces.hair_light[2] * f32(0.8)
                elif kind in (EYE_RIGHT, EYE_LEFT):
                    red, green, blue = (
                        red + bright[0] * shine,
                        green + bright[1] * shine,
                        blue + bright[2] * shine,
                    )
                else:
                    red, green, blue = (
                        red + bright[0] * gain,
                        green + bright[1] * gain,
                        blue + bright[2] * gain,
                    )
                red += albedo[0] * bright[0] * seen * max((facing + wrap[0]) / (one + wrap[0]), zero)
                green += albedo[1] * bright[1] * seen * max((facing + wrap[1]) / (one + wrap[1]), zero)
                blue += albedo[2] * bright[2] * seen * max((facing + wrap[2]) / (one + wrap[2]), zero)
            red += albedo[0] * sky * (up * lights.sky[0] + (one - up) * lights.ground[0])
            green += albedo[1] * sky * (up * lights.sky[1] + (one - up) * lights.ground[1])
            blue += albedo[2] * sky * (up * lights.sky[2] + (one - up) * lights.ground[2])
            out[oy, ox, 0] += weight * red
            out[oy, ox, 1] += weight * green
            out[oy, ox, 2] += weight * blue
    return out


@fast
def develop(linear, grain, amount):
    """Linear colours (N,) to grey levels (N,) uint8: soft highlights, gamma 2, ``grain`` (N,) times ``amount``."""
    out = np.empty(linear.shape[0], np.uint8)
    zero, knee, top = f32(0), f32(0.8), f32(255)
    for i in range(linear.shape[0]):
        over = max(linear[i] - knee, zero)
        value = max(min(linear[i], knee), zero) + over / (f32(1) + f32(5) * over)  # never above 1
        value = top * math.sqrt(value) + amount * grain[i] + f32(0.5)
        out[i] = np.uint8(np.int32(min(max(value, zero), top)))
    return out


@fast
def furrow(skin, furrows, boxes, active, strength):
    """The skin (S, S, 4) with the grooves ``furrows[active]`` pressed in and darkened by ``strength``.

    ``boxes`` (17, 4): first and last row and column of each groove.
    """
    out = skin.copy()
    for k in range(active.shape[0]):
        au = active[k]
        for y in range(boxes[au, 0], boxes[au, 1]):
            for x in range(boxes[au, 2], boxes[au, 3]):
                groove = strength[k] * furrows[au, y, x]
                out[y, x, 3] -= 0.085 * groove
                for c in range(3):
                    out[y, x, c] *= 1 - (0.2 + 0.07 * c) * groove
    return out


@fast
def blend(colour, mask, strength, target):
    """Mix ``target`` (3,) into ``colour`` (S, S, 3) in place, by ``strength * mask`` (S, S) cut to 0..1."""
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            share = min(max(strength * mask[y, x], 0.0), 1.0)
            if share > 0:
                for c in range(3):
                    colour[y, x, c] += share * (target[c] - colour[y, x, c])
