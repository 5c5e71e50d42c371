"""The pictures of the documentation: the asset graph, and the route map of a run.

Belongs here: which assets stand where in the picture, and files. Does not: drawing a route map (`routing_assets.report.route_map`).
"""

from html import escape
from pathlib import Path

import numpy as np

from resources.settings import Settings
from routing_assets.contracts import ROUTES
from routing_assets.decisions.plan_documents import read_routing_plan
from routing_assets.definitions import make_definitions
from routing_assets.report.route_map import route_map_svg
from training_assets.contracts import Route

BOX, GAP, LINE = 196, 44, 46
STYLE = (
    ".sy{font:12px ui-sans-serif,system-ui,sans-serif;--ink:#1d2433;--faint:#5d6779;--ground:#fff;--box:#eef2f8;--edge:#9aa6b8}"
    "@media(prefers-color-scheme:dark){.sy{--ink:#e8ecf3;--faint:#a3adbd;--ground:#12161d;--box:#222a36;--edge:#5d6b80}}"
    ".sy text{fill:var(--ink)}.sy .faint{fill:var(--faint);font-size:10px}.sy .ground{fill:var(--ground)}"
    ".sy .box{fill:var(--box);stroke:var(--edge)}.sy path{fill:none;stroke:var(--edge);stroke-width:1.2}"
)


def asset_graph_svg() -> str:
    """Every asset, left to right in the order it is made, with its group and partitions."""
    graph = make_definitions(Settings()).resolve_asset_graph()
    nodes = {name: graph.get(key) for name, key in sorted((key.to_user_string(), key) for key in graph.get_all_asset_keys())}
    parents = {name: sorted(parent.to_user_string() for parent in node.parent_keys) for name, node in nodes.items()}
    depth: dict[str, int] = {}
    for _ in nodes:
        depth = {name: 1 + max((depth.get(parent, 0) for parent in found), default=-1) for name, found in parents.items()}
    columns: dict[int, list[str]] = {}
    for name in sorted(nodes, key=lambda name: (depth[name], str(nodes[name].group_name), name)):
        columns.setdefault(depth[name], []).append(name)
    # Down the page, one row a step, so that the picture fits beside text.
    widest = max(len(names) for names in columns.values())
    place = {
        name: (20 + (widest - len(names)) * (BOX + 14) / 2 + at * (BOX + 14), 16 + level * (LINE + GAP))
        for level, names in columns.items()
        for at, name in enumerate(names)
    }
    parts = [_edge(place[parent], place[name]) for name, found in parents.items() for parent in found if depth[name] - depth[parent] == 1 or len(found) == 1]
    for name, (x, y) in place.items():
        partitions = getattr(nodes[name].partitions_def, "name", None)
        parts.append(f'<rect class="box" x="{x:.0f}" y="{y}" width="{BOX}" height="{LINE}" rx="6"/><text x="{x + 10:.0f}" y="{y + 20}">{escape(name)}</text>')
        by = f" · by {partitions}" if partitions else ""
        parts.append(f'<text class="faint" x="{x + 10:.0f}" y="{y + 36}">{escape(str(nodes[name].group_name))}{escape(by)}</text>')
    width, height = 40 + widest * (BOX + 14), 32 + len(columns) * (LINE + GAP) - GAP
    title = "The asset graph, from bars at the top to models and reports at the bottom"
    size = f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="sy" {size} role="img" aria-label="{title}">'
    return f'{head}<title>{title}</title><style>{STYLE}</style><rect class="ground" width="100%" height="100%"/>{"".join(parts)}</svg>\n'


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = (start[0] + BOX / 2, start[1] + LINE), (end[0] + BOX / 2, end[1])
    middle = (y1 + y2) / 2
    return f'<path d="M{x1:.0f} {y1}C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2}"/>'


def write_route_map(output: Path, picture: Path, title: str) -> None:
    """Draw the routing plan of an output folder."""
    plan = read_routing_plan(output / "METRICS" / "routing_plan")
    targets, symbols = list(plan.targets), sorted({symbol for target in plan.targets.values() for symbol in target["symbols"]})
    routes = np.full((len(targets), len(symbols)), -1, np.int8)
    for line, target in enumerate(targets):
        for symbol, pair in plan.targets[target]["symbols"].items():
            routes[line, symbols.index(symbol)] = ROUTES.index(Route(pair["route"]))
    svg = route_map_svg(targets, symbols, routes, title)
    picture.write_text(svg + "\n", encoding="utf-8")
