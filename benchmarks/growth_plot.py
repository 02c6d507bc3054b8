"""Draws the plot of docs/performance.md from the output of growth.py.

python benchmarks/growth.py --utterances 100 1000 10000 --json growth.json
python benchmarks/growth_plot.py growth.json docs/images/growth.svg
"""

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, SPACE = 300, 200, 62, 30, 84
COLOURS = {"features": "#0b6e99", "training": "#b3440e", "scoring": "#4a6b1f"}
DASHES = {"features": "none", "training": "6 3", "scoring": "2 3"}


def main() -> None:
    """Writes the SVG."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.write_text(plot(json.loads(options.rows.read_text())["rows"]))


def plot(rows: Sequence[dict[str, Any]]) -> str:
    """Two panels side by side: seconds on logarithmic axes, where linear growth has slope 1, and peak memory."""
    seconds = [(r["part"], r["utterances"], r["ms/utterance"] * r["utterances"] / 1e3) for r in rows]
    memory = [(r["part"], r["utterances"], r["peak memory MB"]) for r in rows]
    least = 10 ** math.floor(math.log10(min(value for *_, value in seconds)))
    most = 10 ** math.ceil(math.log10(max(value for *_, value in seconds)))
    decades = [10**n for n in range(round(math.log10(least)), round(math.log10(most)) + 1)]
    top = 500 * math.ceil(max(value for *_, value in memory) / 500)
    width, height = 2 * (LEFT + WIDTH + SPACE), TOP + HEIGHT + 44
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="Seconds and peak memory against the number of utterances">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
        + panel("seconds", 0, seconds, decades, lambda v: math.log10(v / least) / math.log10(most / least))
        + panel("peak memory, MB", LEFT + WIDTH + SPACE, memory, range(0, top + 1, 500), lambda v: v / top)
        + "</svg>\n"
    )


def panel(
    title: str,
    left: float,
    points: Sequence[tuple[str, int, float]],
    ticks: Sequence[float],
    height_of: Callable[[float], float],
) -> str:
    """One chart at `left`; `height_of` maps a value to 0..1."""
    sizes = sorted({count for _, count, _ in points})

    def x(count: int) -> float:
        return left + LEFT + WIDTH * math.log(count / sizes[0]) / math.log(sizes[-1] / sizes[0])

    def y(value: float) -> float:
        return TOP + HEIGHT * (1 - height_of(value))

    parts = [f'<text x="{left + LEFT}" y="18" font-weight="bold">{title}</text>']
    for tick in ticks:
        parts.append(f'<path d="M{left + LEFT} {y(tick):.1f}h{WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="{left + LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for count in sizes:
        parts.append(f'<text x="{x(count):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{count:,}</text>')
    parts.append(f'<text x="{left + LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 36}" text-anchor="middle">utterances</text>')
    lines = {name: [(x(count), y(value)) for part, count, value in points if part == name] for name in COLOURS}
    beside = _apart({name: places[-1][1] for name, places in lines.items()})
    for name, places in lines.items():
        colour = COLOURS[name]
        path = " ".join(f"{'L' if n else 'M'}{a:.1f},{b:.1f}" for n, (a, b) in enumerate(places))
        style = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{DASHES[name]}"'
        parts.append(f'<path d="{path}" fill="none" {style}/>')
        parts.append(f'<text x="{places[-1][0] + 6:.1f}" y="{beside[name] + 4:.1f}" fill="{colour}">{name}</text>')
    return "".join(parts)


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Heights for the labels of lines, from the top, far enough apart to be read."""
    found: dict[str, float] = {}
    for name in sorted(heights, key=lambda name: heights[name]):
        found[name] = max([heights[name], *(above + 14 for above in found.values())])
    return found


if __name__ == "__main__":
    main()
