"""The routing report as one HTML file that needs no network, no other file and no server.

Belongs here: the page around the sections. Does not: sections (`report.sections`), the pairs' data (`report.page_data`), numbers (`report`). The style and the
script lie beside this file in `page/` as what they are, and are put into the page whole; a content policy in the page refuses every request.
"""

from html import escape
from importlib.resources import files

from routing_assets.report.markdown_page import HOW_TO_READ
from routing_assets.report.page_data import packed_data
from routing_assets.report.report import RoutingReport
from routing_assets.report.sections import (
    gates_section,
    holdout_section,
    leakage_section,
    map_section,
    models_section,
    stability_section,
    summary_section,
)

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
SECTIONS = (
    ("summary", "Did routing help?", summary_section),
    ("map", "Route map", map_section),
    ("gates", "Gates", gates_section),
    ("holdout", "Holdout", holdout_section),
    ("pairs", "Pairs", lambda report: PAIRS),
    ("leakage", "Leakage", leakage_section),
    ("stability", "Stability", stability_section),
    ("models", "Models", models_section),
    ("reading", "How to read this", lambda report: f"<p>{escape(HOW_TO_READ)}</p>"),
)
# Filled in by the script: as rows of one page at a time, so that a hundred thousand pairs stay quick.
PAIRS = """
<form id="filters" aria-label="Filter the pairs">
<label>Target <select id="by-target"><option value="">all</option></select></label>
<label>Symbol <input id="by-symbol" type="search" autocomplete="off" spellcheck="false"></label>
<label>Route <select id="by-route"><option value="">all</option></select></label>
<label>Reason <select id="by-reason"><option value="">all</option></select></label>
<label>Order <select id="by-order"><option value="name">target, symbol</option><option value="regret">largest regret</option>
<option value="local">local score</option><option value="distance">local less pooled</option></select></label>
<button type="reset">Clear</button>
</form>
<p>A symbol opens the page of its pair, a target its own. Each has an address, so that a link can lead straight to it.</p>
<p id="count" role="status">The pairs are being read.</p>
<div class="scroll" tabindex="0" role="group" aria-label="Pairs"><table id="pair-table"><caption>Pairs and their routes</caption><thead><tr>
<th scope="col">target</th><th scope="col">symbol</th><th scope="col">route</th><th scope="col">pooled</th><th scope="col">local</th>
<th scope="col">reasons</th><th scope="col" class="number">local score</th><th scope="col" class="number">q</th>
<th scope="col" class="number">holdout routed</th><th scope="col" class="number">regret</th></tr></thead><tbody></tbody></table></div>
<nav class="pages" aria-label="Pages of pairs"><button type="button" id="back">Previous</button> <span id="page"></span>
<button type="button" id="next">Next</button></nav>
<dialog id="evidence" aria-labelledby="evidence-title"><h3 id="evidence-title"></h3></dialog>
<noscript><p>The table of pairs needs scripts; every pair is in METRICS/routing_report.parquet and METRICS/routing_plan/routing_plan.json.</p></noscript>
"""


def report_html(report: RoutingReport) -> str:
    """The whole page: light and dark, for keyboards, screen readers and paper."""
    page = files("routing_assets").joinpath("report", "page")
    style, script = (page.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    links = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in SECTIONS)
    sections = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{escape(title)}</h2>{make(report)}</section>'
        for name, title, make in SECTIONS
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>Routing report {escape(str(report.plan_metadata.get('plan_id'))[:8])}</title><style>{style}</style></head><body>"
        f'<a class="skip" href="#main">Skip to the report</a><header><h1>Routing report</h1>{_about(report)}'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header><main id="main">{sections}</main>'
        f'<script type="text/plain" id="data">{packed_data(report)}</script><script>{script}</script></body></html>\n'
    )


def _about(report: RoutingReport) -> str:
    metadata = report.plan_metadata
    facts = {
        "plan": metadata.get("plan_id"),
        "data": metadata.get("data_hash"),
        "config": metadata.get("config_hash"),
        "pairs": f"{len(report.table):,}, of {len(report.decisions.candidates.targets):,} targets",
        "holdout": f"{report.holdout_start[:16]} to {report.holdout_end[:16]} UTC, {report.n_holdout_times:,} bars",
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts.items() if value is not None)
    warning = '<p class="warning">Made in dev_mode: the leakage and sample gates were relaxed. Not for production.</p>' if metadata.get("dev_mode") else ""
    return f"<dl>{listed}</dl>{warning}"
