"""Charts of the report as SVG text.

In: plain numbers and labels. Out: one ``<svg>`` element as a string, with a title and a description for readers who
cannot see it.

Covers: estimates beside each other (forest), what is left after each step (flow), loss curves, reliability, risk
against coverage, an estimate against its null band. Does not cover: colors and fonts, which the page's style sheet
gives to the classes used here, so that light mode, dark mode and print need no second drawing.

Every chart is drawn for a width in CSS pixels and is never scaled up: text keeps its size, so a page that serves both
desktop and phone asks for two drawings. Numbers that are None or not finite are left out, never drawn as zero.

Rejected: matplotlib (its text cannot follow the page's colors, and it is heavy); scripts (a report must open anywhere).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate

STACKED_BELOW = 480  # px; narrower charts put a label above its row instead of beside it
LETTER = 0.55  # width of an average letter, in font sizes; an estimate, nobody knows the reader's font
FONT = 13  # px, as in the style sheet
BOLD = 1.14  # a bold letter's width, in widths of a plain one
LINE = 17  # px from one line of a label to the next
NUMBERS = 150  # px beside a row, for a value and its interval
MOST_POINTS = 300  # of one line; more would make the file large and change nothing that can be seen
LARGEST, SMALLEST = 1e15, 1e-15  # beyond them, axes lose their digits
LABEL_GAP = 16  # px between two labels at the end of lines
RISK_AXES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.1, (0, 0.05, 0.1)),
    (0.2, (0, 0.1, 0.2)),
    (0.4, (0, 0.1, 0.2, 0.3, 0.4)),
    (0.6, (0, 0.2, 0.4, 0.6)),
    (1.0, (0, 0.25, 0.5, 0.75, 1)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """One row of a forest chart. ``kind`` picks color and mark: tuned, prompt or baseline."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    kind: str = "baseline"
    shown: str = ""  # the value as text
    range_shown: str = ""  # the interval as text


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """One row of a flow chart: what went on, and what was left out here."""

    label: str
    count: int
    lost: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """One point of a reliability diagram; all but ``n`` are shares from 0 to 1."""

    confidence: float
    accuracy: float
    low: float | None = None
    high: float | None = None
    n: int = 0


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps ``low..high`` of the data to ``start..end`` of the drawing, in px."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


Point = tuple[float, float]


# --- the charts ---------------------------------------------------------------------------------------------------


def forest(
    estimates: Sequence[Estimate], *, title: str, description: str, width: int, ceiling: float | None = 1.0
) -> str:
    """Estimates with intervals below each other; the interval of the first tuned system is shaded across all rows.

    ``ceiling`` is the end of the axis (1 is shown as 100 %); None lets the data decide.
    """
    stacked = width < STACKED_BELOW
    widest = max((_text_width(e.label) * _weight(e) for e in estimates), default=0)
    column = 0 if stacked else min(widest + 8, width * 0.34)
    numbers = 0 if stacked else NUMBERS
    left, right = (8.0, width - 8.0) if stacked else (column + 16, float(width - numbers - 8))
    scale, ticks = _axis([v for e in estimates for v in (e.value, e.low, e.high)], ceiling, left, right)
    parts, y = [], 6.0
    for estimate in estimates:
        lines = _wrap(estimate.label, (width - 132 if stacked else column) / _weight(estimate))
        height = LINE * len(lines) + (32 if stacked else 15)
        if stacked:  # behind the mark only: the numbers stand above it
            parts += _backdrop(estimates, scale, ticks, y + LINE * len(lines) + 3, y + height - 9)
        parts.append(_forest_row(estimate, lines, scale, y, height, width, stacked))
        y += height
    frame = [] if stacked else _backdrop(estimates, scale, ticks, 2, y)
    numbers_below = _axis_numbers(scale, ticks, y + (10 if stacked else 17), width, percent=ceiling == 1.0)
    return _svg(width, y + (16 if stacked else 24), title, description, [*frame, *parts, numbers_below])


def flow(levels: Sequence[Level], *, title: str, description: str, width: int) -> str:
    """What is left after each step: bars from the same origin, the part left out here at the end, in another color."""
    stacked = width < STACKED_BELOW
    widest = max((_text_width(level.label) for level in levels), default=0)
    left = 0.0 if stacked else min(widest + 8, width * 0.32) + 12
    scale = Scale(0, max((level.count + level.lost for level in levels), default=1) or 1, left, width - 150)
    parts, y = [], 4.0
    for level in levels:
        bar = y + (LINE + 3 if stacked else 4)
        kept, end = scale(level.count), scale(level.count + level.lost)
        label = _text(0, y + (12 if stacked else 17), _shorten(level.label, width if stacked else left - 12), "label")
        tail = _text(end + 10, bar + 13, f"{level.count:,}", "value", beside=f"−{level.lost:,}" if level.lost else "")
        parts += [label, _rect(left, bar, kept - left, 18, "kept"), _rect(kept, bar, end - kept, 18, "lost"), tail]
        y = bar + 18 + (12 if stacked else 8)
    return _svg(width, y, title, description, parts)


def loss_curve(train: Sequence[Point], validation: Sequence[Point], *, title: str, description: str, width: int) -> str:
    """Loss by optimizer step: every logged step (thin), their running mean (thick), validation (points)."""
    train, validation = _finite_points(train), _finite_points(validation)
    height = 210 if width < STACKED_BELOW else 250
    both = [*train, *validation]
    if not both:
        return _svg(width, 40, title, description, [_text(0, 24, "no points", "muted")])
    x = Scale(0, max(p[0] for p in both), 40, width - 84)
    low, high, ticks = _nice(min(p[1] for p in both), max(p[1] for p in both), 4)
    y = Scale(low, high, height - 40, 12)
    mean = _running_mean(train)
    lines = ((mean, "training", "line-train"), (validation, "validation", "line-validation"))
    ends = _spread([(y(line[-1][1]), name, style) for line, name, style in lines if line])
    return _svg(width, height, title, description, [
        _horizontal_grid(y, ticks, width - 84),
        _step_axis(x, height - 40, width),
        _line(_thin(train), x, y, "line-train faint"),
        _line(_thin(mean), x, y, "line-train"),
        _line(_thin(validation), x, y, "line-validation"),
        *(_circle(x(step), y(loss), 3.5, "dot-validation", f"step {step:g}: {loss:.3g}") for step, loss in validation),
        *(_text(x.end + 8, place + 4, name, f"end {style}-text") for place, name, style in ends),
    ])  # fmt: skip


def reliability(bins: Sequence[Bin], *, title: str, description: str, width: int) -> str:
    """Share of right answers by confidence, with intervals; the diagonal is a perfect match; below, cases per bin."""
    side = width - 58
    x, y = Scale(0, 1, 46, 46 + side), Scale(0, 1, 10 + side, 10)
    shown = [b for b in bins if _known(b.confidence) is not None and _known(b.accuracy) is not None]
    base = y.start + 54
    tall = Scale(0, max((b.n for b in shown), default=1) or 1, 0, 30)
    parts = [
        _horizontal_grid(y, (0, 0.25, 0.5, 0.75, 1), x.end, percent=True, start=x.start),
        _segment(x(0), y(0), x(1), y(1), "diagonal"),
        _line([(b.confidence, b.accuracy) for b in shown], x, y, "line-calibration"),
    ]
    for b in shown:
        low, high = _known(b.low), _known(b.high)
        if low is not None and high is not None:
            parts.append(_segment(x(b.confidence), y(low), x(b.confidence), y(high), "whisker"))
        parts.append(_circle(x(b.confidence), y(b.accuracy), 4.5, "dot-calibration", f"{b.n} cases"))
        parts.append(_rect(x(b.confidence) - 4, base - tall(b.n), 8, tall(b.n), "kept"))
    axis = [_text(x(t), base + 17, f"{t * 100:.0f} %", _anchor(x(t), width)) for t in (0, 0.5, 1)]
    name = _text((x.start + x.end) / 2, base + 38, "confidence", "axis middle")
    rule = _segment(x.start, base, x.end, base, "rule")
    return _svg(width, base + 44, title, description, [*parts, rule, *axis, name])


def risk_coverage(points: Sequence[Point], *, title: str, description: str, width: int) -> str:
    """Share of wrong answers (risk) if only the most confident share (coverage) is answered."""
    points = sorted(_finite_points(points))
    height = width - 58 + 108  # as high as the reliability diagram beside it
    top = max((risk for _, risk in points), default=1.0)
    high, ticks = next((end, ticks) for end, ticks in RISK_AXES if top <= end or end == 1)
    x, y = Scale(0, 1, 46, width - 12), Scale(0, high, height - 44, 10)
    marks = []
    for share in (0.5, 1.0):
        if points:
            place = min(points, key=lambda p: abs(p[0] - share))
            above = y(place[1]) - 12 if y(place[1]) > 40 else y(place[1]) + 22
            marks += [
                _circle(x(place[0]), y(place[1]), 4.5, "dot-calibration"),
                _text(x(place[0]), above, f"{place[1] * 100:.0f} %", "value " + _side(x(place[0]), width)),
            ]
    axis = [_text(x(t), height - 26, f"{t * 100:.0f} %", _anchor(x(t), width)) for t in (0, 0.5, 1)]
    return _svg(width, height, title, description, [
        _horizontal_grid(y, ticks, x.end, percent=True, start=x.start),
        _line(_thin(points), x, y, "line-calibration"),
        *marks, *axis,
        _text((x.start + x.end) / 2, height - 6, "answered, most confident first", "axis middle"),
    ])  # fmt: skip


def null_band(
    value: float | None, low: float | None, high: float | None, *, title: str, description: str, width: int
) -> str:
    """A share on a line from zero, and the band in which chance alone would put it."""
    value, low, high = _known(value), _known(low), _known(high)
    scale, ticks = _axis([value, low, high], None, 8, width - 16, floor=0.0)
    parts = [_segment(scale(tick), 2, scale(tick), 34, "grid") for tick in ticks]
    if low is not None and high is not None:
        parts.append(_rect(scale(low), 8, max(scale(high) - scale(low), 1), 20, "band-null"))
    if value is not None:
        parts.append(_circle(scale(value), 18, 5.5, "dot-calibration"))
    return _svg(width, 58, title, description, [*parts, _axis_numbers(scale, ticks, 51, width, percent=True)])


def difference(
    value: float | None, low: float | None, high: float | None, *, limit: float, title: str, width: int = 120
) -> str:
    """A difference with its interval around the zero line, small enough for a table cell; ``limit`` ends both sides."""
    scale = Scale(-limit, limit, 6, width - 6)
    parts = [_segment(scale(0), 1, scale(0), 23, "zero")]
    value, low, high = _known(value), _known(low), _known(high)
    if low is not None and high is not None:
        parts.append(_segment(scale(low), 12, scale(high), 12, "whisker kind-tuned"))
    if value is not None:
        parts.append(_circle(scale(value), 12, 4.5, "dot kind-tuned"))
    return _svg(width, 24, title, "", parts)


# --- rows and axes ------------------------------------------------------------------------------------------------


def _forest_row(
    estimate: Estimate, lines: Sequence[str], scale: Scale, y: float, height: float, width: int, stacked: bool
) -> str:
    """Label, interval and number of one system, in a drawing of its own at height ``y``."""
    middle = y + (LINE * len(lines) + 13 if stacked else height / 2)
    first = y + 12 if stacked else middle + 4.5 - LINE * (len(lines) - 1) / 2
    kind = f"kind-{estimate.kind}"
    style = f"label {kind}-label"
    parts = [_text(0, first + LINE * i, line, style, full=estimate.label) for i, line in enumerate(lines)]
    value, low, high = (_known(v) for v in (estimate.value, estimate.low, estimate.high))
    if value is None:
        place = (width, first, "muted end-anchor") if stacked else (scale.end + 20, middle + 4.5, "muted")
        return "".join([*parts, _text(place[0], place[1], "not measured", place[2])])
    if low is not None and high is not None:
        parts.append(_segment(scale(low), middle, scale(high), middle, f"whisker {kind}"))
    parts.append(_mark(scale(value), middle, estimate.kind))
    if stacked:
        parts.append(_text(width, first, estimate.range_shown, "muted end-anchor"))
        parts.append(_text(width - _text_width(estimate.range_shown) - 10, first, estimate.shown, "value end-anchor"))
    else:
        parts.append(_text(scale.end + 20, middle + 4.5, estimate.shown, "value"))
        parts.append(_text(width, middle + 4.5, estimate.range_shown, "muted end-anchor"))
    return "".join(parts)


def _weight(estimate: Estimate) -> float:
    """The label of a tuned system is bold, hence wider."""
    return BOLD if estimate.kind == "tuned" else 1.0


def _mark(x: float, y: float, kind: str) -> str:
    """Disk, square or ring: the kinds differ in shape as well as in color."""
    if kind == "prompt":
        return f'<rect x="{_n(x - 4.5)}" y="{_n(y - 4.5)}" width="9" height="9" class="dot kind-{_css(kind)}"/>'
    return _circle(x, y, 6 if kind == "tuned" else 5, f"dot kind-{_css(kind)}")


def _backdrop(
    estimates: Sequence[Estimate], scale: Scale, ticks: Iterable[float], top: float, bottom: float
) -> list[str]:
    """Grid lines, and the interval of the first tuned system as a band."""
    parts = [_segment(scale(tick), top, scale(tick), bottom, "grid") for tick in ticks]
    for e in estimates:
        low, high = _known(e.low), _known(e.high)
        if e.kind == "tuned" and low is not None and high is not None:
            return [*parts, _rect(scale(low), top, scale(high) - scale(low), bottom - top, "band-tuned")]
    return parts


def _axis(
    values: Iterable[float | None], ceiling: float | None, start: float, end: float, floor: float | None = None
) -> tuple[Scale, Sequence[float]]:
    """A scale and its ticks: zero to the ceiling where there is one, else what holds all values."""
    known = [v for v in map(_known, values) if v is not None]
    if ceiling is not None and all(0 <= v <= ceiling for v in known):
        return Scale(0, ceiling, start, end), [ceiling * part for part in (0, 0.25, 0.5, 0.75, 1)]
    low, high, ticks = _nice(floor if floor is not None else min(known, default=0), max(known, default=1), 4)
    return Scale(low, high, start, end), ticks


def _axis_numbers(scale: Scale, ticks: Iterable[float], y: float, width: float, *, percent: bool) -> str:
    shown = ((scale(tick), f"{_tick(tick * 100)} %" if percent else _tick(tick)) for tick in ticks)
    return "".join(_text(x, y, number, _anchor(x, width)) for x, number in shown)


def _horizontal_grid(
    scale: Scale, ticks: Iterable[float], end: float, *, percent: bool = False, start: float = 40
) -> str:
    parts = []
    for tick in ticks:
        y = scale(tick)
        parts.append(_segment(start, y, end, y, "grid"))
        shown = f"{_tick(tick * 100)} %" if percent else _tick(tick)
        parts.append(_text(start - 8, y + 4, shown, "axis end-anchor"))
    return "".join(parts)


def _step_axis(scale: Scale, y: float, width: float) -> str:
    _, _, ticks = _nice(0, scale.high, 3 if width < STACKED_BELOW else 6)
    numbers = [_text(scale(t), y + 18, f"{t:,.0f}", "axis middle") for t in ticks if t <= scale.high]
    return "".join([*numbers, _text((scale.start + scale.end) / 2, y + 36, "step", "axis middle")])


def _nice(low: float, high: float, about: int) -> tuple[float, float, list[float]]:
    """Round ends and round ticks that hold ``low..high``, in steps of 1, 2 or 5 times a power of ten.

    Where ``high`` is not above ``low``, the axis holds ``low`` in its middle.
    """
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.5 * (abs(low) or 1), low + 0.5 * (abs(low) or 1)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [number * step for number in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def _anchor(x: float, width: float) -> str:
    """Numbers near an edge of the drawing are set towards its inside."""
    return "axis start-anchor" if x < 18 else "axis end-anchor" if x > width - 18 else "axis middle"


def _side(x: float, width: float) -> str:
    return "end-anchor" if x > width - 40 else "middle"


# --- points -------------------------------------------------------------------------------------------------------


def _known(value: float | None) -> float | None:
    """The number, or None where there is none, or none that a drawing could hold."""
    return (
        float(value) if value is not None and abs(value) <= LARGEST and (value == 0 or abs(value) >= SMALLEST) else None
    )


def _finite_points(points: Iterable[Point]) -> list[Point]:
    return [(x, y) for x, y in points if _known(x) is not None and _known(y) is not None]


def _thin(points: Sequence[Point]) -> Sequence[Point]:
    """At most ``MOST_POINTS`` points, each the mean of neighbors; the last one stays."""
    size = math.ceil(len(points) / MOST_POINTS)
    if size <= 1:
        return points
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [*((sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups), points[-1]]


def _running_mean(points: Sequence[Point]) -> list[Point]:
    """Mean over about a twentieth of the points around each; at least three."""
    reach, sums = max(1, len(points) // 40), [0.0, *accumulate(y for _, y in points)]
    windows = [(max(0, i - reach), min(len(points), i + reach + 1)) for i in range(len(points))]
    return [
        (x, (sums[end] - sums[start]) / (end - start)) for (x, _), (start, end) in zip(points, windows, strict=True)
    ]


def _spread(labels: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """The same labels, moved apart where they would cover each other."""
    placed: list[tuple[float, str, str]] = []
    for y, name, style in sorted(labels):
        placed.append((max(y, placed[-1][0] + LABEL_GAP) if placed else y, name, style))
    return placed


# --- text ---------------------------------------------------------------------------------------------------------


def _text_width(text: str) -> float:
    return len(text) * FONT * LETTER


def _shorten(text: str, width: float) -> str:
    room = max(int(width / (FONT * LETTER)), 2)
    return text if len(text) <= room else text[: room - 1].rstrip() + "…"


def _wrap(text: str, width: float) -> list[str]:
    """One or two lines that fit into ``width`` px; what does not fit ends in an ellipsis."""
    room = max(int(width / (FONT * LETTER)), 2)
    if len(text) <= room:
        return [text]
    cut = text.rfind(" ", 0, room + 1)
    cut = cut if cut > 0 else room
    return [text[:cut].rstrip(), _shorten(text[cut:].strip(), width)]


def _tick(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")


# --- SVG ----------------------------------------------------------------------------------------------------------


def _svg(width: float, height: float, title: str, description: str, parts: Iterable[str]) -> str:
    described = f"<desc>{escape(description)}</desc>" if description else ""
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" '
        f'height="{_n(height)}"><title>{escape(title)}</title>{described}{"".join(parts)}</svg>'
    )


def _n(value: float) -> str:
    """A coordinate in px; a bug that makes it infinite must not reach the page."""
    if not math.isfinite(value):
        raise ValueError(f"coordinate {value} is not finite")
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _css(name: str) -> str:
    """A class name; what could end the attribute is left out."""
    return "".join(letter for letter in name if letter.isalnum() or letter in "-_ ")


def _text(x: float, y: float, text: str, style: str, *, full: str = "", beside: str = "") -> str:
    """A line of text. ``full`` is what a pointer shows where the text was cut; ``beside`` follows, marked as lost."""
    whole = f"<title>{escape(full)}</title>" if full and full != text else ""
    more = f'<tspan dx="8" class="lost-text">{escape(beside)}</tspan>' if beside else ""
    return f'<text x="{_n(x)}" y="{_n(y)}" class="{_css(style)}">{whole}{escape(text)}{more}</text>'


def _segment(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" class="{_css(style)}"/>'


def _rect(x: float, y: float, width: float, height: float, style: str) -> str:
    if width <= 0 or height <= 0:
        return ""
    return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" class="{_css(style)}"/>'


def _circle(x: float, y: float, radius: float, style: str, note: str = "") -> str:
    inside = f"<title>{escape(note)}</title>" if note else ""
    return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" class="{_css(style)}">{inside}</circle>'


def _line(points: Sequence[Point], x: Scale, y: Scale, style: str) -> str:
    if not points:
        return ""
    path = " ".join(f"{_n(x(a))},{_n(y(b))}" for a, b in points)
    return f'<polyline points="{path}" class="{_css(style)}"/>'
