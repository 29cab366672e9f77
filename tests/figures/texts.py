"""What is written in a figure, where it lies, and whether anything is in its way."""

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from gdpure.plots.files import without_text
from gdpure.plots.palette import contrast
from gdpure.plots.style import style


def no_text_is_clipped_or_overlaps(fig, theme="light"):
    """Whatever is written lies inside the figure, and nothing is written over anything else."""
    boxes = [(text.get_text(), box) for text, box in written(fig, theme)]
    for i, (text, box) in enumerate(boxes):
        assert np.all((box.vertices >= 0) & (box.vertices <= fig.bbox.size)), text
        for other, that in boxes[:i]:
            assert not box.intersects_path(that, filled=True), (text, other)


def every_text_can_be_read(fig, look):
    """Small text has a contrast of 4.5 with what lies under it; a halo of paper lies there, too."""
    texts = written(fig, look)
    with style(look), without_text(fig):
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
        ground = np.asarray(canvas.buffer_rgba())[::-1, :, :3] / 255
    for text, box in texts:
        if text.get_path_effects():
            under = look.paper
        else:
            (left, bottom), (right, top) = np.round(box.get_extents().get_points()).astype(int)
            under = np.median(ground[bottom:top, left:right].reshape(-1, 3), axis=0)
        assert contrast(text.get_color(), under) >= 4.5, (text.get_text(), under)


def written(fig, theme):
    """Every visible text of a figure that is not empty, and the outline of it in pixels."""
    fig.set_dpi(200)
    with style(theme):
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
        renderer = canvas.get_renderer()
        texts = fig.findobj(lambda a: isinstance(a, matplotlib.text.Text) and a.get_text().strip())
        boxes = [(text, outline(text, renderer)) for text in texts if text.get_visible()]
        undrawn = set(undrawn_labels(fig))  # afterwards: to ask for ticks moves them
    return [(text, box) for text, box in boxes if text not in undrawn]


def outline(text, renderer):
    """The rectangle around a text, turned with it, less a pixel at each side."""
    center = np.mean(text.get_window_extent(renderer).get_points(), 0)
    angle = text.get_rotation()
    text.set_rotation(0)
    half = text.get_window_extent(renderer).size / 2 - 1
    text.set_rotation(angle)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    turn = matplotlib.transforms.Affine2D().rotate_deg(angle).translate(*center)
    return matplotlib.path.Path(turn.transform(corners), closed=False)


def undrawn_labels(fig):
    """The labels that ticks outside the limits keep."""
    for axes in fig.axes:
        for axis in axes._axis_map.values():
            drawn = axis._update_ticks()
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if tick not in drawn:
                    yield from (tick.label1, tick.label2)
