"""The renderer's inner loops, compiled by numba: deform, project, z-buffer, shade, filter down."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from datamodules.generated.head import CHART_HALF, EYE_LEFT, EYE_RIGHT, GUMS, HAIR, MOUTH, SKIN, TEETH

fast = njit(cache=True, fastmath=True, error_model="numpy")


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
def deform(rest, weights, mode_start, mode_vertex, mode_shift, lids, eye_centres, eye_radius):
    """Rest vertices (N, 3) plus the modes by ``weights`` (M,); eyelids are kept outside the eyeballs."""
    out = rest.copy()
    for mode in range(weights.shape[0]):
        w = weights[mode]
        if w == 0:
            continue
        for k in range(mode_start[mode], mode_start[mode + 1]):
            v = mode_vertex[k]
            out[v, 0] += w * mode_shift[k, 0]
            out[v, 1] += w * mode_shift[k, 1]
            out[v, 2] += w * mode_shift[k, 2]
    for side in range(2):
        cx, cy, cz = eye_centres[side]
        limit = eye_radius[side] * 1.045
        for k in range(lids.shape[1]):
            v = lids[side, k]
            dx, dy, dz = out[v, 0] - cx, out[v, 1] - cy, out[v, 2] - cz
            r = math.sqrt(dx * dx + dy * dy + dz * dz)
            if 0.3 < r < limit and dz > 0:
                out[v, 2] = cz + math.sqrt(max(limit * limit - dx * dx - dy * dy, dz * dz))
    return out


@fast
def to_camera(points, turn, body_turn, stiff, shift):
    """Head coordinates (N, 3) to camera coordinates; ``stiff`` (N,) blends the body's turn into the
    head's."""
    out = np.empty_like(points)
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        w = stiff[i]
        for c in range(3):
            head = turn[c, 0] * x + turn[c, 1] * y + turn[c, 2] * z
            body = body_turn[c, 0] * x + body_turn[c, 1] * y + body_turn[c, 2] * z
            out[i, c] = w * head + (1 - w) * body + shift[c]
    return out


@fast
def normals(points, triangles):
    """Unit vertex normals (N, 3), pointing outwards for triangles counter-clockwise seen from outside."""
    out = np.zeros_like(points)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            out[v, 0] += nx
            out[v, 1] += ny
            out[v, 2] += nz
    for i in range(points.shape[0]):
        x, y, z = out[i, 0], out[i, 1], out[i, 2]
        s = 1 / math.sqrt(x * x + y * y + z * z + 1e-20)
        out[i, 0], out[i, 1], out[i, 2] = x * s, y * s, z * s
    return out


@fast
def rasterise(screen, inverse_depth, triangles, height, width):
    """Z-buffer: the nearest front-facing triangle at each pixel's centre, -1 where there is none, and its
    depth.

    ``screen`` (N, 2) pixels, ``inverse_depth`` (N,) larger is nearer; returns (H, W) int32 and (H, W)
    float32.
    """
    nearest = np.zeros((height, width), np.float32)
    index = np.full((height, width), -1, np.int32)
    zero, one = np.float32(0), np.float32(1)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = screen[a, 0], screen[a, 1]
        bx, by = screen[b, 0], screen[b, 1]
        cx, cy = screen[c, 0], screen[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= zero:
            continue
        x0 = max(0, math.ceil(min(ax, bx, cx)))
        x1 = min(width - 1, math.floor(max(ax, bx, cx)))
        y0 = max(0, math.ceil(min(ay, by, cy)))
        y1 = min(height - 1, math.floor(max(ay, by, cy)))
        if x0 > x1 or y0 > y1:
            continue
        s = one / area
        za, zb, zc = inverse_depth[a], inverse_depth[b], inverse_depth[c]
        step1, step2 = (cy - ay) * s, -(by - ay) * s
        left = np.float32(x0) - ax
        slope_b, slope_c = zb - za, zc - za
        for y in range(y0, y1 + 1):
            entered = False
            down = np.float32(y) - ay
            w1 = (left * (cy - ay) - down * (cx - ax)) * s
            w2 = ((bx - ax) * down - (by - ay) * left) * s
            for x in range(x0, x1 + 1):
                if w1 >= zero and w2 >= zero and w1 + w2 <= one:
                    z = za + w1 * slope_b + w2 * slope_c
                    if z > nearest[y, x]:
                        nearest[y, x] = z
                        index[y, x] = t
                    entered = True
                elif entered:
                    break
                w1 += step1
                w2 += step2
    return index, nearest


@fast
def depth_map(screen, inverse_depth, triangles, height, width):
    """The depth alone, (H, W) float32, 0 where there is nothing."""
    return rasterise(screen, inverse_depth, triangles, height, width)[1]


@fast
def light_visibility(visibility, direction):
    """Unoccluded share (N,) of a light in head coordinates, from second-order spherical harmonics (N, 9)."""
    x, y, z = direction
    basis = np.array([1.0, x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], np.float32)
    out = np.empty(visibility.shape[0], np.float32)
    for i in range(visibility.shape[0]):
        value = np.float32(0)
        for k in range(9):
            value += visibility[i, k] * basis[k]
        out[i] = min(max(value, 0.0), 1.0)
    return out


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

    ``open_sky`` (N,) and ``lit`` (N, 2): unoccluded share of the ambient light and of each light; ``gaze``
    (3,) in
    head coordinates; ``background`` (H, W, 3) linear.
    """
    height, width = background.shape[:2]
    out = np.zeros((height, width, 3), np.float32)
    skin, strands, direction, colour = surfaces.skin, surfaces.strands, lights.direction, lights.colour
    size = skin.shape[0]
    texels = np.float32((size - 1) / (2 * CHART_HALF))  # a cm
    n_strands = strands.shape[0]
    zero, half, one = np.float32(0), np.float32(0.5 * (scale - 1)), np.float32(1)
    albedo = np.empty(3, np.float32)
    wrap = np.empty(3, np.float32)
    for cell in range(height * width):
        oy, ox = cell // width, cell % width
        # Where one material fills a pixel its middle is enough; eyes are too fine for that.
        first = index[oy * scale, ox * scale]
        whole = first < 0 or (material[first] != EYE_RIGHT and material[first] != EYE_LEFT)
        for k in range(1, scale * scale):
            other = index[oy * scale + k // scale, ox * scale + k % scale]
            if (other < 0) != (first < 0) or (first >= 0 and material[other] != material[first]):
                whole = False
        samples = 1 if whole else scale * scale
        share = np.float32(1 / samples)
        for sample in range(samples):
            row, column = oy * scale + sample // scale, ox * scale + sample % scale
            t = index[row, column]
            middle = half if whole else zero
            px, py = np.float32(column) + middle, np.float32(row) + middle
            if t < 0:
                for c in range(3):
                    out[oy, ox, c] += share * background[oy, ox, c]
                continue
            ia, ib, ic = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            ax, ay = screen[ia, 0], screen[ia, 1]
            bx, by = screen[ib, 0], screen[ib, 1]
            cx, cy = screen[ic, 0], screen[ic, 1]
            s = one / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
            wb = ((px - ax) * (cy - ay) - (py - ay) * (cx - ax)) * s
            wc = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) * s
            wa = one - wb - wc
            nx = wa * normal[ia, 0] + wb * normal[ib, 0] + wc * normal[ic, 0]
            ny = wa * normal[ia, 1] + wb * normal[ib, 1] + wc * normal[ic, 1]
            nz = wa * normal[ia, 2] + wb * normal[ib, 2] + wc * normal[ic, 2]
            u = wa * uv[ia, 0] + wb * uv[ib, 0] + wc * uv[ic, 0]
            v = wa * uv[ia, 1] + wb * uv[ib, 1] + wc * uv[ic, 1]
            sky = wa * open_sky[ia] + wb * open_sky[ib] + wc * open_sky[ic]
            kind = material[t]
            gloss, tight, soft = np.float32(0), 4, np.float32(0)
            wrap[0] = wrap[1] = wrap[2] = 0.1

            if kind == SKIN:
                tx, ty = u * np.float32(size - 1), v * np.float32(size - 1)
                x0, y0 = min(int(tx), size - 2), min(int(ty), size - 2)
                fx, fy = tx - np.float32(x0), ty - np.float32(y0)
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
                gloss = surfaces.gloss
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
                gloss, tight = np.float32(1.4), 8
                wrap[0] = wrap[1] = wrap[2] = 0.3
            elif kind == TEETH:
                for c in range(3):
                    albedo[c] = surfaces.teeth[c]
                gloss, sky = np.float32(0.25), 0.35 + 0.65 * sky
            elif kind == GUMS:
                albedo[0], albedo[1], albedo[2] = 0.34, 0.11, 0.11
                gloss, sky = np.float32(0.3), 0.2 + 0.8 * sky
            elif kind == MOUTH:
                albedo[0], albedo[1], albedo[2] = 0.16, 0.03, 0.03
                gloss, sky = np.float32(0.1), 0.15 + 0.85 * sky
            else:
                tx, ty = u * n_strands, v * n_strands
                x0, y0 = math.floor(tx), math.floor(ty)
                fx, fy = tx - x0, ty - y0
                x0, y0 = x0 % n_strands, y0 % n_strands
                x1, y1 = (x0 + 1) % n_strands, (y0 + 1) % n_strands
                strand = (1 - fy) * ((1 - fx) * strands[y0, x0] + fx * strands[y0, x1])
                strand += fy * ((1 - fx) * strands[y1, x0] + fx * strands[y1, x1])
                for c in range(3):
                    albedo[c] = surfaces.hair[c] * (1 - strand) + surfaces.hair_light[c] * strand
                soft = np.float32(0.25 + 0.75 * strand)
                wrap[0] = wrap[1] = wrap[2] = 0.35

            s = one / math.sqrt(nx * nx + ny * ny + nz * nz)
            nx, ny, nz = nx * s, ny * s, nz * s
            up = np.float32(0.5) * (one - ny)
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            for k in range(2):
                lx, ly, lz = direction[k, 0], direction[k, 1], direction[k, 2]
                facing = nx * lx + ny * ly + nz * lz
                seen = wa * lit[ia, k] + wb * lit[ib, k] + wc * lit[ic, k]
                if kind in (TEETH, GUMS):
                    seen = 0.45 + 0.55 * seen
                hx, hy, hz = lx, ly, lz - one
                s = one / math.sqrt(hx * hx + hy * hy + hz * hz)
                shine = np.float32(0)
                if kind == HAIR:
                    tx, ty, tz = turn[0, 1], turn[1, 1], turn[2, 1]
                    d = tx * nx + ty * ny + tz * nz
                    tx, ty, tz = tx - d * nx, ty - d * ny, tz - d * nz
                    d = (tx * hx + ty * hy + tz * hz) * s / math.sqrt(tx * tx + ty * ty + tz * tz + 1e-6)
                    shine = soft * _power(max(1 - d * d, 0.0), 4) * max(facing + 0.2, 0.0)
                elif gloss > 0 and facing > 0:
                    mirrored = max((nx * hx + ny * hy + nz * hz) * s, zero)
                    shine = gloss * _power(mirrored, tight) * min(facing * np.float32(4), one)
                bright = colour[k, 0], colour[k, 1], colour[k, 2]
                gain = np.float32(0.08) * shine * seen
                if kind == HAIR:
                    red += bright[0] * shine * seen * surfaces.hair_light[0] * 0.8
                    green += bright[1] * shine * seen * surfaces.hair_light[1] * 0.8
                    blue += bright[2] * shine * seen * surfaces.hair_light[2] * 0.8
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
            out[oy, ox, 0] += share * red
            out[oy, ox, 1] += share * green
            out[oy, ox, 2] += share * blue
    return out


@fast
def develop(linear, grain, amount):
    """Linear colours (H, W, 3) to a uint8 picture: soft highlights, gamma 2, ``grain`` (H, W, 3) times
    ``amount``."""
    height, width = linear.shape[:2]
    out = np.empty((height, width, 3), np.uint8)
    for y in range(height):
        for x in range(width):
            for c in range(3):
                value = linear[y, x, c]
                if value > 0.8:
                    value = 0.8 + 0.2 * (1 - math.exp(-(value - 0.8) / 0.2))
                value = 255 * math.sqrt(max(value, 0.0)) + amount * grain[y, x, c] + 0.5
                out[y, x, c] = np.uint8(min(max(value, 0.0), 255.0))
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
