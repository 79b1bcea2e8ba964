"""Baking: a known colour comes back, nothing comes from where it must not, and everything is set that should be."""
from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from tests.support.meshes import around, camera, cube, cup, known_colour, mesh, picture, plane, psnr, sphere

from blender_sd.core.errors import JobCancelled
from blender_sd.geometry.bake import Baker, Settings
from blender_sd.geometry.blend import Blend
from blender_sd.geometry.gather import Reading
from blender_sd.geometry.sheets import Sheet
from blender_sd.geometry.surface import OCCLUDER, Surface

WAVE = 0.5
POINTS = Settings(soft=0)  # for pictures that sample pixels' centres


def smooth(points, _triangles):
    return known_colour(points, WAVE)


def flat(*colours):
    """Return a colour for each texture of a mesh, and for what is only in the way."""
    table = np.array(colours, float)
    return lambda surface: lambda _points, triangles: table[surface.textures[triangles]]


def baked(surface, views, colour=smooth, settings=POINTS, sizes=(128,), **changes):
    sheets = [Sheet(number, size, size) for number, size in enumerate(sizes)]
    baker = Baker(surface, sheets, settings)
    pictures = [picture(surface, view, colour, **changes.get(str(number), {})) for number, view in enumerate(views)]
    result, report = baker.run(views, pictures)
    return baker, result, report


def truth(baker, number=0):
    """Return the known colour and the texels that have one: H×W×3 and H×W bool."""
    sheet, row, column = baker.texels.places()
    size = baker.layout.sheets[number]
    image, mask = np.zeros((size.height, size.width, 3)), np.zeros((size.height, size.width), bool)
    mine = (sheet == number) & baker.texels.inside
    image[row[mine], column[mine]] = known_colour(baker.texels.points[mine].astype(float), WAVE)
    mask[row[mine], column[mine]] = True
    return image, mask


@pytest.mark.parametrize("part", [cube(), sphere(), cup()], ids=["cube", "sphere", "cup"])
def test_a_known_colour_comes_back(part):
    surface = Surface(mesh(part))
    baker, (result,), report = baked(surface, around())
    image, mask = truth(baker)
    mask &= result.view != 65535
    assert psnr(result.colours[mask], image[mask]) > 44
    assert report.coverage > (0.5 if len(part[0]) > 5000 else 0.97) and report.blind == ()


def test_an_orthographic_camera_works_as_well():
    surface = Surface(mesh(plane()))
    baker, (result,), report = baked(surface, [camera((0, 0.001, 5), perspective=False)])
    image, mask = truth(baker)
    assert report.coverage == 1 and psnr(result.colours[mask], image[mask]) > 50


def test_figures_do_not_depend_on_scale():
    found = []
    for scale in (1e-3, 1.0, 1e3):
        vertices, triangles, uv = sphere()
        surface = Surface(mesh((vertices * scale, triangles, uv)))
        baker, (result,), report = baked(surface, around(scale=scale))
        image, mask = truth(baker)
        mask &= result.view != 65535
        found.append((psnr(result.colours[mask], image[mask]), report.coverage))
    assert np.ptp([one[0] for one in found]) < 0.2 and np.ptp([one[1] for one in found]) < 0.002


@pytest.mark.parametrize("soft", [0, 1])
def test_touching_objects_keep_their_colours(soft):
    surface = Surface(mesh(cube((-0.5, 0, 0), 0.5), cube((0.5, 0, 0), 0.5), plane(9, -3), textures=(0, 1, OCCLUDER)))
    colours = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.9, 0.1]])
    colour = flat(*colours)(surface)
    _, results, _ = baked(surface, around(), colour, Settings(soft=soft), sizes=(128, 128))
    for number, result in enumerate(results):
        assert np.abs(result.colours[result.set] - colours[number]).max() < 1 / 255


def test_antialiased_edges_are_not_read():
    surface = Surface(mesh(sphere(), plane(9, -3), textures=(0, OCCLUDER)))
    colours = np.array([[0.8, 0.1, 0.1], [0.1, 0.9, 0.1]])
    views = around(128)
    fine = [picture(surface, view, flat(*colours)(surface)) for view in around(512)]
    pictures = [one.reshape(128, 4, 128, 4, 4).mean((1, 3)) for one in fine]
    for one in pictures:
        one[..., 3] = 1
    (result,), _ = Baker(surface, [Sheet(0, 128, 128)], Settings(soft=1)).run(views, pictures)
    assert np.abs(result.colours[result.set] - colours[0]).max() < 2 / 255


def test_nothing_shines_through_a_thin_wall():
    front, back = plane(1.0, 0.0), plane(1.0, -0.002)
    surface = Surface(mesh(front, back))
    _, results, report = baked(surface, [camera((0.5, 0.3, 4), fov=0.8)], sizes=(64, 64))
    assert (results[0].view[results[0].inside] == 0).all()
    hidden = results[1].view[results[1].inside] == 65535
    assert hidden.mean() > 0.97  # a strip at the border is seen past the upper plane's edge


def test_a_view_from_behind_or_elsewhere_sees_nothing_and_says_so():
    surface = Surface(mesh(plane()))
    views = [camera((0, 0.1, 4)), camera((0, 0.1, -4)), camera((9, 9, 9), (20, 20, 20))]
    _, (result,), report = baked(surface, views)
    assert report.blind == (1, 2) and report.coverage > 0.99 and report.backs > 0.4
    _, (result,), report = baked(surface, views[1:])
    assert report.coverage == 0 and not result.set.any() and report.blind == (0, 1)


def test_an_object_inside_another_and_a_camera_inside_an_object_get_nothing():
    surface = Surface(mesh(cube(), cube(size=0.3)))
    _, results, report = baked(surface, around(), sizes=(64, 64))
    assert not (results[1].view != 65535).any() and (results[0].view != 65535).any()
    surface = Surface(mesh(cube()))
    assert baked(surface, [camera((0, 0.1, 0), (1, 0.1, 0))])[2].coverage == 0


def test_transparent_pixels_are_not_read():
    surface = Surface(mesh(plane()))
    view = camera((0, 0.001, 4))
    image = picture(surface, view, smooth)
    image[:, :128, 3] = 0
    image[:, :128, :3] = 9
    (result,), report = Baker(surface, [Sheet(0, 64, 64)], Settings(soft=0, fill=False)).run([view], [image])
    assert 0.45 < report.coverage < 0.55 and result.colours.max() < 1.01


def test_everything_is_filled_and_continued_beyond_the_islands():
    surface = Surface(mesh(cube()))
    _, (result,), report = baked(surface, [camera((6, 4, 3))], sizes=(256,))
    assert 0.4 < report.coverage < 0.6 and result.set[result.covered].all()
    row, column = np.nonzero(result.covered)
    for down, right in ((0, 16), (16, 0), (0, -16), (-16, 0), (11, 11), (-11, -11)):
        inside = (row + down >= 0) & (row + down < 256) & (column + right >= 0) & (column + right < 256)
        assert result.set[row[inside] + down, column[inside] + right].all()
    assert np.isfinite(result.colours).all()


def test_the_margin_does_not_run_into_what_is_not_seen():
    surface = Surface(mesh(sphere()))
    view = camera((0, 6, 0))
    image = picture(surface, view, smooth)
    (result,), _ = Baker(surface, [Sheet(0, 128, 128)], Settings(soft=0, fill=False)).run([view], [image])
    unseen = result.covered & (result.view == 65535)
    assert unseen.sum() > 1000 and not result.set[unseen].any() and not result.quality[unseen].any()
    assert (result.set & ~result.covered).any()


def test_fill_takes_the_colours_of_the_same_side():
    lid = plane(0.2, 0.5)
    surface = Surface(mesh(plane(1, 0, 8), lid, textures=(0, OCCLUDER)))
    colour = flat([0.7, 0.2, 0.1], [0, 0, 1])(surface)
    _, (result,), report = baked(surface, [camera((0, 0.01, 6))], colour)
    assert report.coverage < 0.99 and np.abs(result.colours[result.set] - [0.7, 0.2, 0.1]).max() < 1e-3


def test_gains_are_evened_out_and_borders_do_not_step():
    surface = Surface(mesh(sphere(64, 128)))
    views = around()
    gains = [0.9, 1.1, 1.0, 1.08, 0.93, 1.02, 0.95, 1.05]
    changes = {str(number): {"gain": gain} for number, gain in enumerate(gains)}
    baker, (result,), report = baked(surface, views, **changes)
    evened = np.array(report.gains).mean(1) * gains
    assert evened.std() < 0.015
    plain, (stepped,), _ = baked(surface, views, settings=Settings(soft=0, harmonise=False), **changes)
    image, mask = truth(baker)
    mask &= result.view != 65535
    factor = (image[mask] * result.colours[mask]).sum() / (image[mask] ** 2).sum()
    assert psnr(result.colours[mask] / factor, image[mask]) > 36 > psnr(stepped.colours[mask], image[mask])


def test_pictures_that_agree_are_left_as_they_are():
    _, _, report = baked(Surface(mesh(sphere())), around())
    assert np.array_equal(report.gains, np.ones((8, 3)))


def test_seams_close():
    """What is filled on one side of a seam meets what is seen on the other."""
    surface = Surface(mesh(sphere(64, 128)))
    view = camera((0, 6, 0.2))  # the seam lies at the edge of what it sees
    jumps = {}
    for close in (False, True):
        baker = Baker(surface, [Sheet(0, 256, 256)], Settings(soft=0, close_seams=close))
        (result,), _ = baker.run([view], [picture(surface, view, smooth)])
        samples, borders = baker.layout.border_samples, baker.layout.borders
        paired = borders.twin[samples.edge] >= 0
        jump = bilinear(result.colours, samples.here[paired]) - bilinear(result.colours, samples.there[paired])
        jumps[close] = np.abs(jump).mean()
    assert jumps[True] < 0.0005 and jumps[True] < 0.8 * jumps[False]


def bilinear(image, points):
    x, y = points.T - 0.5
    return np.stack([ndimage.map_coordinates(image[..., k], [y, x], order=1) for k in range(3)], 1)


def test_a_bake_can_be_cancelled_at_every_stage():
    surface = Surface(mesh(cube()))
    views = around(64)
    pictures = [picture(surface, view, smooth) for view in views]
    calls = []

    def count():
        calls.append(1)
        return False

    Baker(surface, [Sheet(0, 64, 64)], POINTS, count).run(views, pictures)
    assert len(calls) > 10
    for stop in range(1, len(calls), max(1, len(calls) // 8)):
        answers = iter([False] * stop)
        with pytest.raises(JobCancelled):
            Baker(surface, [Sheet(0, 64, 64)], POINTS, partial(next, answers, True)).run(views, pictures)


@pytest.mark.parametrize(("agreed", "share"), [(False, 0.65), (True, 1.0)])
def test_the_best_view_keeps_more_of_its_details_among_views_that_agree(agreed, share):
    blend = Blend.empty(2, agreed)
    for number, (colour, quality) in enumerate(((0.0, 0.95), (1.0, 1.0))):
        both = np.array([quality, 0.2 * quality], np.float32)
        blend.add(Reading(np.array([0, 1]), np.full((2, 3), colour, np.float32), both), number)
    assert np.abs(blend.best() - share).max() < 0.01 and (blend.view == 1).all()
    assert blend.part(slice(0, 1)).agreed == blend.chosen(np.array([0])).agreed == agreed


def test_images_are_repainted_before_they_are_finished():
    surface = Surface(mesh(cube()))
    view = camera((0.01, -6, 0.01))
    asked = []

    def repaint(number, shown, unseen):
        asked.append((number, unseen.mean()))
        assert shown.dtype == np.uint8 and shown.shape == (*unseen.shape, 3)
        return np.where(unseen[..., None], np.uint8(255), shown)

    plain, painted = (Baker(surface, [Sheet(0, 128, 128)], POINTS, repaint=own).run(
        [view], [picture(surface, view, lambda points, _: np.full_like(points, 0.2))])[0][0] for own in (None, repaint))
    assert asked == [(0, asked[0][1])] and 0.3 < asked[0][1] < 0.6
    unseen = painted.covered & (painted.view == 65535)
    inside, kept = (ndimage.binary_erosion(mask, iterations=10) for mask in (unseen, plain.covered & ~unseen))
    assert inside.any() and np.allclose(painted.colours[inside], 1)
    assert kept.any() and np.array_equal(painted.colours[kept], plain.colours[kept])
