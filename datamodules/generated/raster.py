"""The renderer's geometry, compiled by numba: deform, project, normals, z-buffer, soft shadows."""

import math

import numpy as np
from numba import njit

f32 = np.float32  # a bare literal would turn all that it meets into doubles
fast = njit(cache=True, fastmath=True, error_model="numpy")


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
    """Head coordinates (N, 3) to camera coordinates; ``stiff`` (N,) blends the body's turn into the head's."""
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
def project(camera, recess, focal, centre_x, centre_y, scale):
    """Where vertices (N, 3) in camera coordinates lie: pixels (N, 2), the same on the grid ``scale`` times as fine,
    and their inverse depth (N,), moved back by ``recess`` (N,) cm.

    Pixel k of the picture is the mean of samples k * scale ... k * scale + scale - 1.
    """
    n = camera.shape[0]
    place, screen, near = np.empty((n, 2), np.float32), np.empty((n, 2), np.float32), np.empty(n, np.float32)
    shift = f32(0.5 * (scale - 1))
    for i in range(n):
        zoom = focal / camera[i, 2]
        x, y = camera[i, 0] * zoom + centre_x, camera[i, 1] * zoom + centre_y
        place[i, 0], place[i, 1] = x, y
        screen[i, 0], screen[i, 1] = x * scale + shift, y * scale + shift
        near[i] = f32(1) / (camera[i, 2] + recess[i])
    return place, screen, near


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
    """Z-buffer: the nearest front-facing triangle at each pixel's centre, -1 where there is none, and its depth.

    ``screen`` (N, 2) pixels, ``inverse_depth`` (N,) larger is nearer; returns (H, W) int32 and (H, W) float32.
    """
    nearest = np.zeros((height, width), np.float32)
    index = np.full((height, width), -1, np.int32)
    zero, one = f32(0), f32(1)
    right, bottom = f32(width - 1), f32(height - 1)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = screen[a, 0], screen[a, 1]
        bx, by = screen[b, 0], screen[b, 1]
        cx, cy = screen[c, 0], screen[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= zero:
            continue
        x0, x1 = np.int32(math.ceil(max(min(ax, bx, cx), zero))), np.int32(min(max(ax, bx, cx), right) + one)
        y0, y1 = np.int32(math.ceil(max(min(ay, by, cy), zero))), np.int32(min(max(ay, by, cy), bottom) + one)
        if x0 >= x1 or y0 >= y1:
            continue
        s = one / area
        za = inverse_depth[a]
        slope_b, slope_c = inverse_depth[b] - za, inverse_depth[c] - za
        right_b, right_c = (cy - ay) * s, -(by - ay) * s  # change of the weights of b and c by one pixel
        down_b, down_c = -(cx - ax) * s, (bx - ax) * s
        right_z = right_b * slope_b + right_c * slope_c
        left, up = f32(x0) - ax, f32(y0) - ay
        row_b, row_c = left * right_b + up * down_b, left * right_c + up * down_c
        for y in range(y0, y1):
            wb, wc, z = row_b, row_c, za + row_b * slope_b + row_c * slope_c
            for x in range(x0, x1):
                # one test for all three edges: which of them a pixel fails is hard to foresee
                if min(wb, wc, one - wb - wc) >= zero and z > nearest[y, x]:
                    nearest[y, x] = z
                    index[y, x] = t
                wb, wc, z = wb + right_b, wc + right_c, z + right_z
            row_b, row_c = row_b + down_b, row_c + down_c
    return index, nearest


@fast
def depth_map(screen, inverse_depth, triangles, height, width):
    """The depth alone, (H, W) float32, 0 where there is nothing."""
    return rasterise(screen, inverse_depth, triangles, height, width)[1]


@fast
def light_visibility(visibility, directions):
    """Unoccluded share (N, L) of lights in head coordinates (L, 3), from second-order spherical harmonics (N, 9)."""
    n, lights = visibility.shape[0], directions.shape[0]
    basis = np.empty((lights, 9), np.float32)
    for k in range(lights):
        x, y, z = directions[k]
        basis[k] = np.array([1.0, x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], np.float32)
    out = np.empty((n, lights), np.float32)
    zero, one = f32(0), f32(1)
    for i in range(n):
        for k in range(lights):
            value = zero
            for j in range(9):
                value += visibility[i, j] * basis[k, j]
            out[i, k] = min(max(value, zero), one)
    return out
