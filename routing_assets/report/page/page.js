// The table of pairs and the evidence on one of them, from the columns that lie in the page. Names are only ever set as text.
(async () => {
  "use strict";
  const PAGE = 50;
  const byId = (id) => document.getElementById(id);
  const element = (tag, text, classes) => {
    const node = document.createElement(tag);
    if (text !== undefined && text !== null) node.textContent = text;
    if (classes) node.className = classes;
    return node;
  };
  const shown = (value) => (value === null || value === undefined ? "not computed" : typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value));

  const read = async () => {
    const bytes = Uint8Array.from(atob(byId("data").textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  };
  let data;
  try {
    data = await read();
  } catch (error) {
    byId("count").textContent = `The pairs could not be read (${error}); they are in METRICS/routing_report.parquet.`;
    return;
  }
  const pairs = data.pairs;
  const nPairs = pairs.route.length;
  const localScore = data.local.find((measure) => measure.name === "score").value;
  const localQ = data.local.find((measure) => measure.name === "q_value").value;
  const passed = data.reasons.indexOf("PASSED");

  const reasonsOf = (pair) => {
    const named = [];
    if (pairs.policy_reason[pair] >= 0) named.push(data.reasons[pairs.policy_reason[pair]]);
    for (const [code, side] of [[pairs.cs_reason[pair], "pooled"], [pairs.local_reason[pair], "local"]]) {
      if (code >= 0 && code !== passed) named.push(`${side} ${data.reasons[code]}`);
    }
    return named.join(", ");
  };

  const ORDERS = {
    name: null,
    regret: (pair) => pairs.holdout_regret[pair],
    local: (pair) => localScore[pair],
    distance: (pair) => pairs.local_minus_pooled[pair],
  };
  let chosen = [];
  let page = 0;

  const choose = () => {
    const [target, route, reason] = ["by-target", "by-route", "by-reason"].map((id) => byId(id).value);
    const text = byId("by-symbol").value.trim().toLowerCase();
    const symbols = text ? data.symbols.map((symbol) => symbol.toLowerCase().includes(text)) : null;
    chosen = [];
    for (let pair = 0; pair < nPairs; pair += 1) {
      if (target !== "" && pairs.target[pair] !== Number(target)) continue;
      if (route !== "" && pairs.route[pair] !== Number(route)) continue;
      if (symbols && !symbols[pairs.symbol[pair]]) continue;
      if (reason !== "" && ![pairs.policy_reason[pair], pairs.cs_reason[pair], pairs.local_reason[pair]].includes(Number(reason))) continue;
      chosen.push(pair);
    }
    const key = ORDERS[byId("by-order").value];
    if (key) chosen.sort((first, second) => (key(second) ?? -Infinity) - (key(first) ?? -Infinity) || first - second);
    page = 0;
    draw();
  };

  const rowOf = (pair) => {
    const row = element("tr");
    const head = element("th", data.targets[pairs.target[pair]]);
    head.scope = "row";
    const route = data.routes[pairs.route[pair]];
    const chip = element("td");
    chip.append(element("span", route.name, `chip ${route.name}`));
    const button = element("button", data.symbols[pairs.symbol[pair]]);
    button.type = "button";
    button.setAttribute("aria-label", `Evidence on ${data.targets[pairs.target[pair]]} and ${data.symbols[pairs.symbol[pair]]}`);
    button.addEventListener("click", () => open(pair, button));
    const symbol = element("td");
    symbol.append(button);
    row.append(head, symbol, chip);
    row.append(element("td", data.states[pairs.cs_state[pair]]), element("td", data.states[pairs.local_state[pair]]), element("td", reasonsOf(pair)));
    const fixed = (value) => (value === null ? "" : value.toFixed(4));
    row.append(element("td", fixed(localScore[pair]), "number"), element("td", localQ[pair] === null ? "" : String(Number(localQ[pair].toPrecision(2))), "number"));
    row.append(element("td", fixed(pairs.holdout_score_routed[pair]), "number"), element("td", fixed(pairs.holdout_regret[pair]), "number"));
    return row;
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(chosen.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    byId("pair-table").tBodies[0].replaceChildren(...chosen.slice(page * PAGE, (page + 1) * PAGE).map(rowOf));
    byId("count").textContent = `${chosen.length.toLocaleString("en")} of ${nPairs.toLocaleString("en")} pairs`;
    byId("page").textContent = `page ${page + 1} of ${pages.toLocaleString("en")}`;
    byId("back").disabled = page === 0;
    byId("next").disabled = page === pages - 1;
  };

  const boundOf = (measure, place) => measure.bounds[measure.bound ? measure.bound[place] : 0];
  const valueOf = (measure, place) => {
    const value = measure.value[place];
    return measure.words.length ? (value < 0 ? null : measure.words[value]) : value;
  };

  const numbersOf = (title, measures, place) => {
    const table = element("table");
    table.append(element("caption", title));
    const head = table.createTHead().insertRow();
    for (const name of ["gate", "number", "value", "bound", "outcome"]) {
      const cell = element("th", name);
      cell.scope = "col";
      head.append(cell);
    }
    const body = table.createTBody();
    for (const measure of measures) {
      const outcome = measure.passed[place];
      if (outcome === 2) continue;
      const bound = boundOf(measure, place);
      const row = body.insertRow();
      const gate = element("th", measure.gate);
      gate.scope = "row";
      row.append(gate, element("td", measure.name), element("td", shown(valueOf(measure, place))));
      row.append(element("td", `${measure.comparison} ${Array.isArray(bound) ? bound.join(", ") : shown(bound)}`));
      const missed = measure.gate === "STRONG" ? ["not reached", ""] : ["refused", "fail"];
      row.append(element("td", ...(outcome ? ["passed", "pass"] : missed)));
    }
    return table;
  };

  const opposite = { ">=": "<", "<=": ">" };
  const flipOf = (pair) => {
    const side = data.flips.side[pair];
    if (side < 0) return "No single change of one number flips it.";
    const name = data.flips.names[data.flips.measure[pair]];
    const place = side === 0 ? pairs.target[pair] : pair;
    const measure = data[data.sides[side]].find((one) => one.name === name);
    const [value, bound, held] = [valueOf(measure, place), boundOf(measure, place), measure.passed[place] === 1];
    const outcome = data.routes[data.flips.outcome[pair]].code;
    const room = outcome === "ROUTE_EXPERIMENTAL_ONLY" ? " (while the lane has room)" : "";
    const subject = `Nearest change: ${data.sides[side]} ${name} ${shown(value)}`;
    if (Array.isArray(bound)) return `${subject}: would be ${outcome}${room} if ${held ? "outside" : "one of"} ${bound.join(", ")}.`;
    const [now, then] = held ? [measure.comparison, opposite[measure.comparison]] : [opposite[measure.comparison], measure.comparison];
    if (value === null) return `${subject}: would be ${outcome}${room} at ${measure.comparison} ${shown(bound)}.`;
    return `${subject} ${now} ${shown(bound)}: would be ${outcome}${room} at ${then} ${shown(bound)}.`;
  };

  const factsOf = (pair) => {
    const interval = (low, high) => (low === null || high === null ? "" : ` (${shown(low)} to ${shown(high)})`);
    const metric = data.metrics[pairs.target[pair]] || "score";
    return [
      [`local ${metric} before the holdout`, `${shown(localScore[pair])}${interval(pairs.score_ci_low[pair], pairs.score_ci_high[pair])}, chance ${shown(pairs.score_null[pair])}`],
      ["pooled on this symbol", shown(pairs.pooled_score_on_symbol[pair])],
      ["upper bound held against chance (POOLED_HARMFUL)", shown(pairs.pooled_score_on_symbol_ci_high[pair])],
      ["local less pooled", `${shown(pairs.local_minus_pooled[pair])}${interval(pairs.local_minus_pooled_ci_low[pair], pairs.local_minus_pooled_ci_high[pair])}`],
      ["holdout: pooled, local, both", [pairs.holdout_score_pooled, pairs.holdout_score_local, pairs.holdout_score_both].map((one) => shown(one[pair])).join(", ")],
      ["holdout: as routed, and regret", `${shown(pairs.holdout_score_routed[pair])}, ${shown(pairs.holdout_regret[pair])} on ${shown(pairs.holdout_n_rows[pair])} rows`],
    ];
  };

  let opener = null;
  const open = (pair, button) => {
    opener = button;
    const panel = byId("evidence");
    const list = element("dl");
    for (const [name, text] of factsOf(pair)) list.append(element("dt", name), element("dd", text));
    const close = element("button", "Close");
    close.type = "button";
    close.addEventListener("click", shut);
    const tables = element("div", null, "row");
    tables.append(numbersOf("The symbol's own side", data.local, pair), numbersOf("The pooled side of the target", data.pooled, pairs.target[pair]));
    const scroll = element("div", null, "scroll");
    scroll.append(tables);
    panel.replaceChildren(
      element("h3", `${data.targets[pairs.target[pair]]} / ${data.symbols[pairs.symbol[pair]]}: ${data.routes[pairs.route[pair]].code}`),
      element("p", `pooled ${data.states[pairs.cs_state[pair]]}, local ${data.states[pairs.local_state[pair]]}; because: ${reasonsOf(pair) || "nothing refuses"}`),
      element("p", flipOf(pair), "flip"), list, scroll, close,
    );
    panel.hidden = false;
    panel.focus();
    panel.scrollIntoView({ block: "nearest" });
  };
  const shut = () => {
    byId("evidence").hidden = true;
    if (opener && opener.isConnected) opener.focus();
  };

  const fill = (id, names) => names.forEach((name, code) => {
    if (name === null) return;
    const option = element("option", name);
    option.value = code;
    byId(id).append(option);
  });
  const used = new Set([...pairs.policy_reason, ...pairs.cs_reason, ...pairs.local_reason]);
  fill("by-target", data.targets);
  fill("by-route", data.routes.map((route) => route.name));
  fill("by-reason", data.reasons.map((reason, code) => (used.has(code) ? reason : null)));
  const form = byId("filters");
  form.addEventListener("input", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(choose));
  byId("back").addEventListener("click", () => { page -= 1; draw(); });
  byId("next").addEventListener("click", () => { page += 1; draw(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !byId("evidence").hidden) shut(); });
  byId("map").addEventListener("click", (event) => {
    const cell = event.target.closest("[data-cell]");
    if (!cell) return;
    const [target, symbol] = cell.dataset.cell.split(",").map(Number);
    for (let pair = 0; pair < nPairs; pair += 1) if (pairs.target[pair] === target && pairs.symbol[pair] === symbol) open(pair, null);
  });
  choose();
})();
