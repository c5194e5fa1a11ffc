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
def _between(w00, w01, w10, w11, texture, y, x, c):
    """Bilinear value of a texture (H, W, C) in the cell of which (y, x) is the first corner."""
    first = w00 * texture[y, x, c] + w01 * texture[y, x + 1, c]
    return first + w10 * texture[y + 1, x, c] + w11 * texture[y + 1, x + 1, c]


@fast
def _skin(skin, u, v):
    """Albedo at (u, v) of the face chart, and the bump's slope right and up, per cm."""
    size = skin.shape[0]
    texels, one = f32((size - 1) / (2 * CHART_HALF)), f32(1)
    tx, ty = u * f32(size - 1), v * f32(size - 1)
    x, y = min(int(tx), size - 2), min(int(ty), size - 2)
    fx, fy = tx - f32(x), ty - f32(y)
    w00, w01, w10, w11 = (one - fx) * (one - fy), fx * (one - fy), (one - fx) * fy, fx * fy
    red = _between(w00, w01, w10, w11, skin, y, x, 0)
    green = _between(w00, w01, w10, w11, skin, y, x, 1)
    blue = _between(w00, w01, w10, w11, skin, y, x, 2)
    h00, h01, h10, h11 = skin[y, x, 3], skin[y, x + 1, 3], skin[y + 1, x, 3], skin[y + 1, x + 1, 3]
    right = ((h01 - h00) * (one - fy) + (h11 - h10) * fy) * texels
    up = ((h00 - h10) * (one - fx) + (h01 - h11) * fx) * texels
    return red, green, blue, right, up


@fast
def _step(x, half, width):
    """0 to 1 where ``x`` passes ``half``, over ``width``."""
    return min(max((x - half) / width + f32(0.5), f32(0)), f32(1))


@fast
def _eye(surfaces, gaze, dx, dy, dz):
    """Albedo of an eyeball at (dx, dy, dz) from its centre: sclera, iris with its spokes and rim, pupil."""
    one = f32(1)
    r = one / math.sqrt(dx * dx + dy * dy + dz * dz + f32(1e-9))
    cosine = min((dx * gaze[0] + dy * gaze[1] + dz * gaze[2]) * r, one)
    angle = math.acos(cosine) if cosine > 0 else f32(2)
    iris, pupil_angle = f32(surfaces.iris_angle), f32(surfaces.pupil_angle)
    edge, pupil = _step(-angle, -iris, f32(0.06)), _step(-angle, -pupil_angle, f32(0.05))
    rim = _step(angle, f32(0.86) * iris, f32(0.28) * iris)
    spoke = one + f32(0.18) * math.sin(f32(17) * math.atan2(dy * r - gaze[1], dx * r - gaze[0]))
    shadow_of_lid = min(max(f32(1.25) - f32(0.9) * (dy * r + f32(0.1)), f32(0.45)), one)
    inner, outer = (one - rim) * spoke * (one - pupil), rim * (one - pupil)
    black = f32(0.004) * pupil
    white, coloured = (one - edge) * shadow_of_lid, edge * shadow_of_lid
    red = (
        surfaces.sclera[0] * white
        + (surfaces.iris[0] * inner + surfaces.iris_rim[0] * outer + black) * coloured
    )
    green = (
        surfaces.sclera[1] * white
        + (surfaces.iris[1] * inner + surfaces.iris_rim[1] * outer + black) * coloured
    )
    blue = (
        surfaces.sclera[2] * white
        + (surfaces.iris[2] * inner + surfaces.iris_rim[2] * outer + black) * coloured
    )
    return red, green, blue


@fast
def _strand(strands, u, v):
    """Brightness 0..1 of the hair at (u, v), which repeats."""
    size, one = strands.shape[0], f32(1)
    tx, ty = u * f32(size), v * f32(size)
    x0, y0 = math.floor(tx), math.floor(ty)
    fx, fy = tx - f32(x0), ty - f32(y0)
    x0, y0 = x0 % size, y0 % size
    x1, y1 = (x0 + 1) % size, (y0 + 1) % size
    upper = (one - fx) * strands[y0, x0] + fx * strands[y0, x1]
    return (one - fy) * upper + fy * ((one - fx) * strands[y1, x0] + fx * strands[y1, x1])


@fast
def _along_strands(turn, nx, ny, nz, hx, hy, hz):
    """Shine of hair that hangs down: how far the halfway vector h is from the strands' direction."""
    tx, ty, tz = turn[0, 1], turn[1, 1], turn[2, 1]
    d = tx * nx + ty * ny + tz * nz
    tx, ty, tz = tx - d * nx, ty - d * ny, tz - d * nz
    d = (tx * hx + ty * hy + tz * hz) / math.sqrt(tx * tx + ty * ty + tz * tz + f32(1e-6))
    return _power(max(f32(1) - d * d, f32(0)), 4)


@fast
def shade(
    index, screen, triangles, material, rest, normal, uv, open_sky, lit, turn, surfaces, lights, gaze,
    eye_centres, background, scale,
):  # fmt: skip
    """Linear colours (H, W, 3) of the picture at ``1 / scale`` of the resolution of ``index``.

    ``open_sky`` (N,) and ``lit`` (N, 2): unoccluded share of the ambient light and of each light; ``gaze`` (3,)
    in head coordinates; ``background`` (3, H, W) linear.
    """
    height, width = background.shape[1:]
    out = np.empty((height, width, 3), np.float32)
    direction, colour, sky_colour, ground = lights.direction, lights.colour, lights.sky, lights.ground
    zero, one = f32(0), f32(1)
    corners = np.empty((normal.shape[0], 8), np.float32)  # what is interpolated, together in the cache
    for i in range(normal.shape[0]):
        corners[i, 0], corners[i, 1], corners[i, 2] = normal[i, 0], normal[i, 1], normal[i, 2]
        corners[i, 3], corners[i, 4], corners[i, 5] = uv[i, 0], uv[i, 1], open_sky[i]
        corners[i, 6], corners[i, 7] = lit[i, 0], lit[i, 1]
    halfway = np.empty((2, 3), np.float32)  # between each light and the camera
    for k in range(2):
        hx, hy, hz = direction[k, 0], direction[k, 1], direction[k, 2] - one
        s = one / math.sqrt(hx * hx + hy * hy + hz * hz)
        halfway[k, 0], halfway[k, 1], halfway[k, 2] = hx * s, hy * s, hz * s
    samples, middle = scale * scale, f32(0.5 * (scale - 1))
    gloss_of_skin = f32(surfaces.gloss)
    kinds = np.empty(samples, np.int32)
    for cell in range(height * width):
        oy, ox = np.uint32(cell) // np.uint32(width), np.uint32(cell) % np.uint32(width)
        top, left = oy * scale, ox * scale
        uniform, k = True, 0
        for row in range(top, top + scale):
            for column in range(left, left + scale):
                t = index[row, column]
                kinds[k] = material[t] if t >= 0 else -1
                uniform = uniform and kinds[k] == kinds[0]
                k += 1
        kind = kinds[0]
        if uniform and kind == -1:
            out[oy, ox, 0] = background[0, oy, ox]
            out[oy, ox, 1] = background[1, oy, ox]
            out[oy, ox, 2] = background[2, oy, ox]
            continue
        red, green, blue = zero, zero, zero
        # The samples of one material are shaded once, in their middle; eyes are too fine for that.
        uniform = uniform and kind != EYE_RIGHT and kind != EYE_LEFT
        for sample in range(1 if uniform else samples):
            kind = kinds[sample]
            if kind == -2:
                continue
            eye = kind in (EYE_RIGHT, EYE_LEFT)
            row, column = top + sample // scale, left + sample % scale
            px, py, weight = f32(left) + middle, f32(top) + middle, one
            if not uniform:
                px, py, count = f32(column), f32(row), 1
                for k in range(sample + 1, samples):
                    if kinds[k] == kind and not eye:
                        kinds[k] = -2
                        px += f32(left + k % scale)
                        py += f32(top + k // scale)
                        count += 1
                px, py, weight = px / f32(count), py / f32(count), f32(count) / f32(samples)
            t = index[row, column]
            if t < 0:
                red += weight * background[0, oy, ox]
                green += weight * background[1, oy, ox]
                blue += weight * background[2, oy, ox]
                continue
            ia, ib, ic = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            ax, ay = screen[ia, 0], screen[ia, 1]
            bx, by = screen[ib, 0], screen[ib, 1]
            cx, cy = screen[ic, 0], screen[ic, 1]
            s = one / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
            wb = ((px - ax) * (cy - ay) - (py - ay) * (cx - ax)) * s
            wc = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) * s
            wa = one - wb - wc
            nx = wa * corners[ia, 0] + wb * corners[ib, 0] + wc * corners[ic, 0]
            ny = wa * corners[ia, 1] + wb * corners[ib, 1] + wc * corners[ic, 1]
            nz = wa * corners[ia, 2] + wb * corners[ib, 2] + wc * corners[ic, 2]
            u = wa * corners[ia, 3] + wb * corners[ib, 3] + wc * corners[ic, 3]
            v = wa * corners[ia, 4] + wb * corners[ib, 4] + wc * corners[ic, 4]
            sky = wa * corners[ia, 5] + wb * corners[ib, 5] + wc * corners[ic, 5]
            gloss, tight, strand = zero, 4, zero
            wrap_red, wrap_green, wrap_blue = f32(0.1), f32(0.1), f32(0.1)

            if kind == SKIN:
                r, g, b, slope_x, slope_y = _skin(surfaces.skin, u, v)
                nx -= slope_x * turn[0, 0] + slope_y * turn[0, 1]
                ny -= slope_x * turn[1, 0] + slope_y * turn[1, 1]
                nz -= slope_x * turn[2, 0] + slope_y * turn[2, 1]
                gloss = gloss_of_skin
                wrap_red, wrap_green, wrap_blue = f32(0.42), f32(0.22), f32(0.16)
            elif eye:
                e = kind - EYE_RIGHT
                dx = wa * rest[ia, 0] + wb * rest[ib, 0] + wc * rest[ic, 0] - eye_centres[e, 0]
                dy = wa * rest[ia, 1] + wb * rest[ib, 1] + wc * rest[ic, 1] - eye_centres[e, 1]
                dz = wa * rest[ia, 2] + wb * rest[ib, 2] + wc * rest[ic, 2] - eye_centres[e, 2]
                r, g, b = _eye(surfaces, gaze, dx, dy, dz)
                gloss, tight = f32(1.4), 8
                wrap_red, wrap_green, wrap_blue = f32(0.3), f32(0.3), f32(0.3)
            elif kind == TEETH:
                r, g, b = surfaces.teeth[0], surfaces.teeth[1], surfaces.teeth[2]
                gloss, sky = f32(0.25), f32(0.35) + f32(0.65) * sky
            elif kind == GUMS:
                r, g, b = f32(0.34), f32(0.11), f32(0.11)
                gloss, sky = f32(0.3), f32(0.2) + f32(0.8) * sky
            elif kind == MOUTH:
                r, g, b = f32(0.16), f32(0.03), f32(0.03)
                gloss, sky = f32(0.1), f32(0.15) + f32(0.85) * sky
            else:
                strand = _strand(surfaces.strands, u, v)
                r = surfaces.hair[0] * (one - strand) + surfaces.hair_light[0] * strand
                g = surfaces.hair[1] * (one - strand) + surfaces.hair_light[1] * strand
                b = surfaces.hair[2] * (one - strand) + surfaces.hair_light[2] * strand
                wrap_red, wrap_green, wrap_blue = f32(0.35), f32(0.35), f32(0.35)

            s = one / math.sqrt(nx * nx + ny * ny + nz * nz)
            nx, ny, nz = nx * s, ny * s, nz * s
            up = f32(0.5) * (one - ny)
            sum_r = r * sky * (up * sky_colour[0] + (one - up) * ground[0])
            sum_g = g * sky * (up * sky_colour[1] + (one - up) * ground[1])
            sum_b = b * sky * (up * sky_colour[2] + (one - up) * ground[2])
            lambert_r, lambert_g = r / (one + wrap_red), g / (one + wrap_green)
            lambert_b = b / (one + wrap_blue)
            for k in range(2):
                facing = nx * direction[k, 0] + ny * direction[k, 1] + nz * direction[k, 2]
                seen = wa * corners[ia, 6 + k] + wb * corners[ib, 6 + k] + wc * corners[ic, 6 + k]
                if kind in (TEETH, GUMS):
                    seen = f32(0.45) + f32(0.55) * seen
                hx, hy, hz = halfway[k, 0], halfway[k, 1], halfway[k, 2]
                shine_r, shine_g, shine_b = zero, zero, zero
                if kind == HAIR:
                    shine = (f32(0.2) + f32(0.6) * strand) * seen * max(facing + f32(0.2), zero)
                    shine *= _along_strands(turn, nx, ny, nz, hx, hy, hz)
                    shine_r = shine * surfaces.hair_light[0]
                    shine_g = shine * surfaces.hair_light[1]
                    shine_b = shine * surfaces.hair_light[2]
                elif gloss > 0 and facing > 0:
                    shine = gloss * _power(max(nx * hx + ny * hy + nz * hz, zero), tight)
                    shine *= min(facing * f32(4), one) * (one if eye else f32(0.08) * seen)
                    shine_r, shine_g, shine_b = shine, shine, shine
                sum_r += colour[k, 0] * (shine_r + lambert_r * seen * max(facing + wrap_red, zero))
                sum_g += colour[k, 1] * (shine_g + lambert_g * seen * max(facing + wrap_green, zero))
                sum_b += colour[k, 2] * (shine_b + lambert_b * seen * max(facing + wrap_blue, zero))
            red += weight * sum_r
            green += weight * sum_g
            blue += weight * sum_b
        out[oy, ox, 0], out[oy, ox, 1], out[oy, ox, 2] = red, green, blue
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
