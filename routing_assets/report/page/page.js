// The table of pairs, and the pages of a pair and of a target, from the columns that lie in the page. Names are only ever set as text.
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

  const addressOf = (target, symbol) => `#${new URLSearchParams(symbol === undefined ? { target } : { target, symbol })}`;
  const link = (text, address, label) => {
    const node = element("a", text);
    node.href = address;
    if (label) node.setAttribute("aria-label", label);
    return node;
  };

  const rowOf = (pair) => {
    const row = element("tr");
    const [target, symbolName] = [data.targets[pairs.target[pair]], data.symbols[pairs.symbol[pair]]];
    const head = element("th");
    head.scope = "row";
    head.append(link(target, addressOf(target), `Target ${target}`));
    const route = data.routes[pairs.route[pair]];
    const chip = element("td");
    chip.append(element("span", route.name, `chip ${route.name}`));
    const symbol = element("td");
    symbol.append(link(symbolName, addressOf(target, symbolName), `Evidence on ${target} and ${symbolName}`));
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
      const missed = ["STRONG", "EVIDENCE"].includes(measure.gate) ? ["not reached", ""] : ["refused", "fail"];
      row.append(element("td", ...(outcome ? ["passed", "pass"] : missed)));
    }
    return table;
  };

  const opposite = { ">=": "<", "<=": ">", ">": "<=", "<": ">=" };
  const flipOf = (pair) => {
    const side = data.flips.side[pair];
    if (side < 0) return "No single change of one number flips it.";
    const name = data.flips.names[data.flips.measure[pair]];
    const ofTarget = side === 0 ? data.pooled.find((one) => one.name === name) : undefined;
    const place = ofTarget ? pairs.target[pair] : pair;
    const measure = ofTarget ?? data.local.find((one) => one.name === name);
    const [value, bound, held] = [valueOf(measure, place), boundOf(measure, place), measure.passed[place] === 1];
    const outcome = data.routes[data.flips.outcome[pair]].code;
    const room = outcome === "ROUTE_EXPERIMENTAL_ONLY" ? " (while the lane has room)" : "";
    const subject = `Nearest change: ${data.sides[side]} ${name} ${shown(value)}`;
    const words = measure.words.filter((_, code) => (data.flips.words[pair] >> code) & 1);
    if (words.length) return `${subject}: would be ${outcome}${room} if ${words.length > 1 ? "one of " : ""}${words.join(", ")}.`;
    const [now, then] = held ? [measure.comparison, opposite[measure.comparison]] : [opposite[measure.comparison], measure.comparison];
    if (value === null) return `${subject}: would be ${outcome}${room} at ${then} ${shown(bound)}.`;
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

  const listOf = (facts) => {
    const list = element("dl");
    for (const [name, text] of facts) list.append(element("dt", name), element("dd", text));
    return list;
  };
  const scrolling = (...nodes) => {
    const tables = element("div", null, "row");
    tables.append(...nodes);
    const scroll = element("div", null, "scroll");
    scroll.tabIndex = 0;
    scroll.append(tables);
    return scroll;
  };
  const plainTable = (caption, headers, rows) => {
    const table = element("table");
    table.append(element("caption", caption));
    const head = table.createTHead().insertRow();
    for (const name of headers) head.append(Object.assign(element("th", name), { scope: "col" }));
    const body = table.createTBody();
    for (const cells of rows) {
      const row = body.insertRow();
      row.append(Object.assign(element("th", cells[0]), { scope: "row" }), ...cells.slice(1).map((cell) => element("td", cell)));
    }
    return table;
  };

  const pairPage = (pair) => {
    const target = data.targets[pairs.target[pair]];
    const whole = element("p");
    whole.append(link(`All of ${target}`, addressOf(target)));
    return [
      `${target} / ${data.symbols[pairs.symbol[pair]]}: ${data.routes[pairs.route[pair]].code}`,
      element("p", `pooled ${data.states[pairs.cs_state[pair]]}, local ${data.states[pairs.local_state[pair]]}; because: ${reasonsOf(pair) || "nothing refuses"}`),
      element("p", flipOf(pair), "flip"), listOf(factsOf(pair)),
      scrolling(numbersOf("The symbol's own side", data.local, pair), numbersOf("The pooled side of the target", data.pooled, pairs.target[pair])), whole,
    ];
  };

  const targetPage = (code) => {
    const one = data.by_target[code];
    const counts = new Array(data.routes.length).fill(0);
    for (let pair = 0; pair < nPairs; pair += 1) if (pairs.target[pair] === code) counts[pairs.route[pair]] += 1;
    const chips = element("p", null, "chips");
    counts.forEach((count, route) => { if (count) chips.append(element("span", `${count.toLocaleString("en")} ${data.routes[route].name}`, `chip ${data.routes[route].name}`)); });
    const show = element("button", "Show its pairs");
    show.type = "button";
    show.addEventListener("click", () => {
      byId("by-target").value = String(code);
      choose();
      shut();
      byId("pairs").scrollIntoView();
    });
    const parts = [data.targets[code], chips, listOf([["metric", data.metrics[code] || "score"], ...one.facts])];
    const tables = [numbersOf("The pooled side", data.pooled, code)];
    if (one.models.length) {
      tables.push(plainTable("Best models, out of sample", ["family", "symbol", "metric", "score"], one.models.map((model) => [model.family, model.symbol ?? "pooled", model.metric, shown(model.score)])));
    }
    parts.push(scrolling(...tables));
    if (one.features.length) parts.push(listOf([["best features", one.features.join(", ")]]));
    if (one.findings.length) {
      const names = ["status", "detector", "feature", "symbol", "message"];
      parts.push(scrolling(plainTable("Leakage findings", names, one.findings.map((finding) => names.map((name) => finding[name] ?? "")))));
    }
    return [...parts, show];
  };

  const panel = byId("evidence");
  const shut = () => panel.close();
  const show = ([title, ...parts]) => {
    const close = element("button", "Close");
    close.type = "button";
    close.addEventListener("click", shut);
    const head = element("div", null, "head");
    head.append(Object.assign(element("h3", title), { id: "evidence-title" }), close);
    panel.replaceChildren(head, ...parts);
    if (!panel.open) panel.showModal();
    panel.scrollTop = 0;
  };
  panel.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
  panel.addEventListener("click", (event) => { if (event.target === panel) shut(); });
  const openAddress = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    const target = data.targets.indexOf(asked.get("target"));
    if (target < 0) return;
    const symbol = data.symbols.indexOf(asked.get("symbol"));
    if (symbol < 0) return show(targetPage(target));
    for (let pair = 0; pair < nPairs; pair += 1) if (pairs.target[pair] === target && pairs.symbol[pair] === symbol) show(pairPage(pair));
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
  byId("map").addEventListener("click", (event) => {
    const [cell, name] = [event.target.closest("[data-cell]"), event.target.closest("[data-target]")];
    if (!cell && !name) return;
    const [target, symbol] = (cell ? cell.dataset.cell : name.dataset.target).split(",").map(Number);
    location.hash = addressOf(data.targets[target], data.symbols[symbol]);
  });
  window.addEventListener("hashchange", openAddress);
  choose();
  openAddress();
})();
