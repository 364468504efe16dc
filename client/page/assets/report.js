"use strict";
// Draws the model of the page. Every text goes in as text, never as HTML.
(() => {
  let MODEL = JSON.parse(document.getElementById("model").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const H = 22, NUMBER = 46, STRIP = 100, MARK = 6, WIDE = 16, EDGE = 12, NARROW = 620, ROOM = 120;
  const GUESTS = ["#d1580a", "#15803d", "#8a3ffc", "#a16207", "#be185d", "#4d7c0f"];
  const CODES = { held: "--held", violated: "--overlap", open: "--open", "not exercised": "--idle" };
  const COLOURS = { host: "--host", active: "--active", grant: "--right", passthrough: "--muted", overlap: "--overlap", down: "--overlap" };
  const $ = (id) => document.getElementById(id);
  const state = {
    run: 0, other: -1, step: 1, side: 0, axis: "step", cpu: 0, vm: "", search: "", ancestors: false,
    sources: new Set(), kinds: new Set(), lanes: new Set(),
  };
  let view = null, printing = false, until = 0, ticking = 0;
  // Inside lbrlab web, in a walk by hand: the first record of the last move, and the open decisions about messages.
  let fresh = 0, open = null;

  // Small helpers ---------------------------------------------------------------------------------------

  function el(tag, given, ...inside) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(given || {})) {
      if (key === "class") made.className = value;
      else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...inside.filter((one) => one !== null && one !== undefined));
    return made;
  }

  function draw(tag, given, text) {
    const made = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(given)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  const css = (name) => (name.startsWith("--") ? `var(${name})` : name);

  function at(changes, seq) {
    let low = 0, high = changes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (changes[middle][0] <= seq) low = middle + 1; else high = middle;
    }
    return low - 1;
  }

  const valueAt = (changes, seq) => { const i = at(changes, seq); return i < 0 ? "" : changes[i][1]; };

  function duration(ns) {
    for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["us", 1e3]]) if (ns >= size) return `${+(ns / size).toFixed(3)} ${unit}`;
    return `${ns} ns`;
  }

  function colourOf(run, owner) {
    const name = run.owners[owner];
    if (!name) return "none";
    if (name.startsWith("host")) return "var(--host)";
    if (!name.startsWith("guest")) return "var(--muted)";
    const vms = [...new Set(run.owners.filter((o) => o.startsWith("guest")).map((o) => o.slice(6).split("/")[0]))];
    return GUESTS[vms.indexOf(name.slice(6).split("/")[0]) % GUESTS.length];
  }

  // What is shown ---------------------------------------------------------------------------------------

  function ancestorsOf(run, seq) {
    const found = new Set([seq]), left = [seq];
    for (const v of run.violations) if (v[1] === seq) { v[3].forEach((s) => { if (!found.has(s)) { found.add(s); left.push(s); } }); }
    while (left.length) {
      const row = run.rows[left.pop() - 1];
      for (const cause of row ? row[7] : []) if (!found.has(cause)) { found.add(cause); left.push(cause); }
    }
    return found;
  }

  function shows(run, seq, kept) {
    const row = run.rows[seq - 1];
    if (state.sources.has(run.sources[row[3]]) || state.kinds.has(run.kinds[row[2]])) return false;
    if (row[1] >= 0 && state.lanes.has(run.lanes[row[1]][0])) return false;
    if (state.vm && row[5] && row[5] !== state.vm) return false;
    if (kept && !kept.has(seq)) return false;
    return !state.search || row[4].toLowerCase().includes(state.search.toLowerCase());
  }

  function compute() {
    const panes = state.other < 0 ? [MODEL.runs[state.run]] : [MODEL.runs[state.run], MODEL.runs[state.other]];
    const kept = state.ancestors ? panes.map((run, i) => (i === state.side ? ancestorsOf(run, state.step) : null)) : [];
    let slots = [];
    if (panes.length === 1) panes[0].rows.forEach((_, i) => { if (shows(panes[0], i + 1, kept[0])) slots.push([i + 1]); });
    else {
      slots = paired(panes).filter((slot) => slot.some((seq, i) => seq && shows(panes[i], seq, kept[i])));
    }
    if (until) { const end = slots.findIndex((slot) => slot[0] > until); if (end >= 0) slots = slots.slice(0, end); }
    const ys = new Float64Array(slots.length + 1), gaps = [];
    let y = EDGE, last = null;
    slots.forEach((slot, i) => {
      const side = slot[0] ? 0 : 1, time = panes[side].rows[slot[side] - 1][0];
      if (state.axis === "time" && last !== null && time > last) {
        const gap = Math.min(160, 14 + 14 * Math.log10((time - last) / 1000 + 1));
        gaps.push([y, gap, time - last]);
        y += gap;
      }
      last = last === null ? time : Math.max(last, time);
      ys[i] = y;
      y += H;
    });
    ys[slots.length] = y;
    const places = panes.map((run, side) => {
      const place = new Int32Array(run.rows.length + 2).fill(slots.length);
      slots.forEach((slot, i) => { if (slot[side]) place[slot[side]] = i; });
      for (let seq = run.rows.length; seq > 0; seq--) if (place[seq] === slots.length) place[seq] = place[seq + 1];
      return place;
    });
    view = { panes, slots, ys, gaps, places, first: firstDifference(panes, slots) };
    $("canvas").style.height = `${y + EDGE}px`;
    const all = panes[0].rows.length;
    const shown = slots.filter((slot) => slot[0]).length;
    $("count").textContent = `${shown.toLocaleString("en")} of ${all.toLocaleString("en")} records`;
  }

  // Both runs against the first of the page: pairs of the two follow from their pairs with it.
  function paired(panes) {
    const index = state.run === 0 ? state.other : state.other === 0 ? state.run : -1;
    const pairs = [];
    if (index > 0) {
      for (const [one, other, count] of MODEL.alignments[index - 1].segments)
        for (let n = 0; n < count; n++) pairs.push(state.run === 0 ? [one + n, other + n] : [other + n, one + n]);
    } else {
      const of = (run) => new Map(MODEL.alignments[run - 1].segments.flatMap(([a, b, n]) => [...Array(n).keys()].map((i) => [a + i, b + i])));
      const left = of(state.run), right = of(state.other);
      for (const [base, seq] of left) if (right.has(base)) pairs.push([seq, right.get(base)]);
    }
    const slots = [];
    let one = 1, other = 1;
    for (const [a, b] of [...pairs, [panes[0].rows.length + 1, panes[1].rows.length + 1]]) {
      while (one < a) slots.push([one++, 0]);
      while (other < b) slots.push([0, other++]);
      if (a <= panes[0].rows.length && b <= panes[1].rows.length) slots.push([a, b]);
      one = a + 1; other = b + 1;
    }
    return slots;
  }

  function firstDifference(panes, slots) {
    if (panes.length === 1) return -1;
    return slots.findIndex(([a, b]) => !a || !b || panes[0].rows[a - 1][4] !== panes[1].rows[b - 1][4] || panes[0].rows[a - 1][0] !== panes[1].rows[b - 1][0]);
  }

  // The chart -------------------------------------------------------------------------------------------

  // A pane that would leave too little room for the text has narrow lanes and no invariants (pair), or neither LBR nor
  // time as well (small): the panel has them.
  function layout(run, width) {
    const alone = view.panes.length === 1;
    if (alone && width < NARROW) return shape(run, true, true);
    const shapes = [...(alone ? [shape(run, false, false)] : []), shape(run, true, false)];
    return shapes.find((one) => width - one.text >= ROOM) || shape(run, true, true);
  }

  function shape(run, pair, small) {
    // A time that never changes is left out, too.
    const time = small || !run.rows.length || run.rows[run.rows.length - 1][0] === run.rows[0][0] ? 0 : 62, lane = pair ? 22 : 30, lanes = NUMBER + time, strip = lanes + run.lanes.length * lane + 6;
    const marks = strip + STRIP + 10;
    return { lanes, lane, time, strip, marks, text: small ? strip : pair ? strip + STRIP + 8 : marks + widthOfMarks(run) + 8, pair, small };
  }

  // The columns of the invariants: those that are violated first, wide enough for a name.
  const isViolated = ([, , verdict]) => verdict === "violated";
  const widthOfMarks = (run) => run.invariants.reduce((sum, one) => sum + (isViolated(one) ? WIDE : MARK), 0);

  function columns(run) {
    let from = 0;
    return [true, false].flatMap((violated) => run.invariants.filter((one) => isViolated(one) === violated).map((one) => {
      const column = { one, from, wide: violated ? WIDE : MARK };
      from += column.wide;
      return column;
    }));
  }

  const x = (place, lane) => place.lanes + lane * place.lane + place.lane / 2;
  const yOf = (side, seq) => { const i = view.places[side][Math.min(seq, view.panes[side].rows.length + 1)]; return i >= view.slots.length ? view.ys[view.slots.length] : view.ys[i] + H / 2; };

  function paint() {
    const canvas = $("canvas"), scroll = $("scroll");
    const top = printing ? 0 : scroll.scrollTop, height = printing ? 1e9 : scroll.clientHeight;
    const { slots, ys, panes } = view;
    let from = 0;
    { let low = 0, high = slots.length; while (low < high) { const m = (low + high) >> 1; if (ys[m] < top - 10 * H) low = m + 1; else high = m; } from = low; }
    let to = from;
    while (to < slots.length && ys[to] < top + height + 10 * H) to++;
    const piece = document.createDocumentFragment();
    const each = Math.max(canvas.clientWidth / panes.length, 200);
    const kept = ancestorsOf(panes[state.side], state.step);
    panes.forEach((run, side) => {
      const place = layout(run, each), left = side * each;
      piece.append(graphics(run, side, place, left, each, from, to, Math.max(0, top - 300), Math.min(ys[slots.length] + EDGE, top + height + 300)));
      for (let i = from; i < to; i++) piece.append(rowOf(run, side, place, left, each, i, kept));
    });
    for (const [y, gap, ns] of view.gaps)
      if (y + gap > top - 300 && y < top + height + 300) {
        const label = el("div", { class: "row muted" }, el("span", { class: "t" }, `+${duration(ns)}`));
        label.style.top = `${y + gap / 2 - H / 2}px`; label.style.pointerEvents = "none"; label.style.background = "none";
        label.firstChild.style.left = "0"; label.firstChild.style.width = "100px";
        piece.append(label);
      }
    canvas.replaceChildren(piece);
    canvas.setAttribute("aria-activedescendant", `s${state.side}-${state.step}`);
  }

  function rowOf(run, side, place, left, width, i, kept) {
    const seq = view.slots[i][side], differs = i === view.first ? " differs" : "";
    if (!seq) {
      const blank = el("div", { class: `row blank${differs}`, "aria-hidden": "true" });
      blank.style.top = `${view.ys[i]}px`; blank.style.left = `${left}px`; blank.style.width = `${width}px`; blank.style.right = "auto";
      return blank;
    }
    const [time, lane, kind, , text, , broken] = run.rows[seq - 1];
    const names = broken.map((n) => run.invariants[n][0]);
    const picked = seq === state.step && side === state.side;
    const where = lane >= 0 ? `${run.lanes[lane][0]}: ` : "";
    const row = el("div", {
      class: `row ${run.kinds[kind]}${names.length ? " broken" : ""}${differs}${side === state.side && kept.has(seq) && !picked ? " ancestor" : ""}${fresh && seq >= fresh ? " fresh" : ""}`,
      id: `s${side}-${seq}`, role: "option", "aria-selected": String(picked), "aria-setsize": run.rows.length, "aria-posinset": seq,
      "aria-label": `step ${seq}, ${where}${text}${names.length ? `, violates ${names.join(", ")}` : ""}${differs ? ", first difference" : ""}`,
      title: `${where}${text}`,
      onclick: () => select(seq, side),
    });
    row.style.top = `${view.ys[i]}px`; row.style.left = `${left}px`; row.style.width = `${width}px`; row.style.right = "auto";
    const put = (name, content, from, wide) => { const one = el("span", { class: name }, content); one.style.left = `${from}px`; one.style.width = `${wide}px`; row.append(one); };
    put("n", String(seq), 0, NUMBER - 8);
    if (place.time) put("t", duration(time), NUMBER - 6, place.time - 4);
    put("x", `${names.length ? "!! " : ""}${text}${names.length ? `   ${names.join(", ")}` : ""}`, place.text, Math.max(60, width - place.text - 6));
    return row;
  }

  function graphics(run, side, place, left, width, from, to, top, bottom) {
    const board = draw("svg", { width: Math.ceil(place.text), height: Math.ceil(Math.max(bottom - top, 1)), "aria-hidden": "true", "data-side": side });
    board.style.top = `${top}px`; board.style.left = `${left}px`; board.style.zIndex = 1;
    const Y = (seq) => yOf(side, seq) - top;
    const end = run.rows.length;
    run.lanes.forEach(([, group], lane) => board.append(draw("line", {
      x1: x(place, lane), x2: x(place, lane), y1: 0, y2: bottom - top, stroke: css("--line"), "stroke-width": group === "wire" ? 8 : 1, "stroke-opacity": group === "wire" ? .35 : 1,
    })));
    const seen = (seq) => { const i = view.places[side][seq]; return i < view.slots.length && view.slots[i][side] === seq; };
    const inside = (a, b) => Y(b) >= 0 && Y(a) <= bottom - top;
    for (const [lane, kind, text, first, lastOr] of run.bars) {
      const last = Math.min(lastOr || end, end);
      if (!inside(first, last)) continue;
      const shift = { host: -8, guest: 3, own: 3, active: -3, passthrough: -7, grant: 2, overlap: -10, down: -6 }[kind];
      const wide = kind === "overlap" ? 20 : kind === "down" ? 12 : 5;
      const fill = kind === "guest" || kind === "own" ? guestColour(run, text) : css(COLOURS[kind]);
      const bar = draw("rect", { x: x(place, lane) + shift, y: Y(first), width: wide, height: Math.max(Y(last) - Y(first), 3), fill, "fill-opacity": kind === "overlap" || kind === "down" ? .35 : 1, "data-bar": kind, "data-first": first, "data-last": last });
      if (kind === "overlap") { bar.setAttribute("stroke", css("--overlap")); bar.setAttribute("stroke-width", 2); }
      bar.append(draw("title", {}, text));
      board.append(bar);
    }
    for (let i = from; i < to; i++) {
      const seq = view.slots[i][side];
      if (!seq) continue;
      const [, lane, , , , , broken] = run.rows[seq - 1];
      if (lane >= 0) board.append(draw("circle", { cx: x(place, lane), cy: Y(seq), r: broken.length ? 5 : 3, fill: css(broken.length ? "--overlap" : "--text"), "data-dot": seq }));
      if (!place.small) strip(run, seq, place.strip, view.ys[i] - top, board);
    }
    run.messages.forEach((message, number) => arrow(run, place, board, message, number, Y, inside, seen));
    if (!place.pair) columns(run).forEach(({ one: [name, , , changes], from: left, wide }) => changes.forEach(([seq, verdict], i) => {
      const next = i + 1 < changes.length ? changes[i + 1][0] : end + 1;
      const y1 = Y(seq) - H / 2, y2 = next > end ? view.ys[view.slots.length] - top : Y(next) - H / 2;
      if (y2 <= 0 || y1 >= bottom - top || y2 <= y1) return;
      const mark = draw("rect", { x: place.marks + left, y: Math.max(y1, 0), width: wide - 1, height: Math.min(y2, bottom - top) - Math.max(y1, 0), fill: css(CODES[verdict]), "data-invariant": name, "data-verdict": verdict });
      mark.append(draw("title", {}, `${name}: ${verdict}`));
      board.append(mark);
    }));
    return board;
  }

  function guestColour(run, text) {
    const vm = text.split("/")[0], at = run.owners.findIndex((o) => o.startsWith(`guest ${vm}/`));
    return at < 0 ? GUESTS[0] : colourOf(run, at);
  }

  function strip(run, seq, left, top, board) {
    const ring = run.rings[state.cpu];
    const i = ring ? at(ring, seq) : -1;
    if (i < 0) return;
    const cell = STRIP / run.depth, fresh = ring[i][0] === seq;
    let from = 0;
    const runs = ring[i][1];
    for (let n = 0; n < runs.length; n += 2) {
      const fill = colourOf(run, runs[n]);
      if (fill !== "none") board.append(draw("rect", { x: left + from * cell, y: top + 5, width: runs[n + 1] * cell - .4, height: H - 10, fill, "fill-opacity": fresh ? 1 : .6, "data-ring": seq, "data-owner": run.owners[runs[n]], "data-count": runs[n + 1] }));
      from += runs[n + 1];
    }
    board.append(draw("rect", { x: left, y: top + 5, width: STRIP, height: H - 10, fill: "none", stroke: css("--line") }));
  }

  const FATES = { delivered: "--text", delayed: "--open", overtaking: "--open", doubled: "--active", damaged: "--overlap", dropped: "--overlap", "in flight": "--muted", "cut off": "--overlap" };

  function arrow(run, place, board, [name, kind, sent, fate, sender, receiver, wire, arrivals], number, Y, inside, seen) {
    const last = arrivals.length ? arrivals[arrivals.length - 1][0] : sent;
    if (!inside(sent, last) || !seen(sent) || !seen(last)) return;
    const colour = css(FATES[fate]), group = draw("g", { "data-message": number, "data-fate": fate, "data-sent": sent });
    const fault = arrivals.map((a) => a[2]).filter(Boolean)[0];
    group.append(draw("title", {}, `${name} ${kind}: ${fate}${fault ? `, fault ${fault}` : ""}`));
    const x1 = x(place, sender), y1 = Y(sent);
    const line = (x2, y2, dashed) => group.append(draw("line", { x1, y1, x2, y2, stroke: colour, "stroke-width": 1.6, ...(dashed ? { "stroke-dasharray": "4 3" } : {}) }));
    const took = arrivals.filter((a) => ["take", "overtake", "duplicate", "corrupt"].includes(a[1]));
    for (const [seq] of took) {
      const x2 = x(place, receiver), y2 = Y(seq), way = Math.sign(x2 - x1);
      line(x2 - way * 4, y2, fate === "delayed");
      group.append(draw("path", { d: `M${x2} ${y2}l${-way * 8} -4v8z`, fill: colour, "data-head": seq }));
    }
    if (!took.length) {
      const x2 = x(place, wire), y2 = arrivals.length ? Y(last) : y1;
      line(x2, y2, true);
      // A message that is lost ends in a cross, one that is still under way in a ring.
      if (fate === "in flight" || (arrivals.length && arrivals[arrivals.length - 1][1] === "hold")) group.append(draw("circle", { cx: x2, cy: y2, r: 4.5, stroke: colour, "stroke-width": 2, fill: css("--back"), "data-stub": last }));
      else group.append(draw("path", { d: `M${x2 - 5} ${y2 - 5}l10 10m0 -10l-10 10`, stroke: colour, "stroke-width": 2.5, "data-stub": last }));
      if (fault) {
        const label = draw("text", { x: x2 + 7, y: y2 + 4, fill: colour, "font-size": 11, "font-weight": 700, stroke: css("--back"), "stroke-width": 3, "paint-order": "stroke" }, fault);
        group.append(label);
      }
    } else if (fault) {
      group.append(draw("text", { x: (x1 + x(place, receiver)) / 2, y: (y1 + Y(took[0][0])) / 2 - 3, fill: colour, "font-size": 11, "font-weight": 700, stroke: css("--back"), "stroke-width": 3, "paint-order": "stroke" }, fault));
    }
    board.append(group);
  }

  function head() {
    document.querySelector("main").classList.toggle("pair", view.panes.length > 1);
    const box = $("lanehead"), width = $("canvas").clientWidth / view.panes.length;
    let longest = 8;
    box.replaceChildren();
    view.panes.forEach((run, side) => {
      const place = layout(run, width), left = side * width;
      const put = (text, from, flat) => { const one = el("span", flat ? { class: "flat" } : {}, text); one.style.left = `${left + from}px`; box.append(one); if (!flat) longest = Math.max(longest, text.length); };
      run.lanes.forEach(([name], lane) => put(name, x(place, lane), false));
      if (!place.small) put(`LBR of cpu${state.cpu}`, place.strip, true);
      if (!place.pair) {
        const all = columns(run), rest = all.find(({ one }) => !isViolated(one));
        all.filter(({ one }) => isViolated(one)).forEach(({ one: [name], from, wide }) => put(name, place.marks + from + wide / 2, false));
        if (rest) put(rest.from ? "other invariants" : "invariants", place.marks + rest.from + (rest.from ? MARK : 0), true);
      }
      if (view.panes.length > 1) put(`${run.design}: ${run.verdict}${run.faults.length ? `, ${run.faults.length} fault${run.faults.length > 1 ? "s" : ""}` : ""}`, place.text, true);
    });
    box.style.height = `${16 + 5.4 * longest}px`;
  }

  function legend() {
    const run = view.panes[0], box = $("legend");
    box.replaceChildren();
    const add = (fill, text) => { const key = el("i"); key.style.background = fill; box.append(el("span", {}, key, text)); };
    const width = $("canvas").clientWidth / view.panes.length, places = view.panes.map((one) => layout(one, width));
    const narrow = places.every((place) => place.pair), small = places.every((place) => place.small);
    if (!small) run.owners.forEach((name, n) => { if (name && name !== "?") add(colourOf(run, n), `branches of ${name.replace(/^host (?!idle$)(.*)/, "thread $1 in the host").replace(/^host idle$/, "the idle task")}`); });
    if (run.bars.some((bar) => bar[1] === "overlap")) add(css("--overlap"), "host and guest use the LBR at once");
    if (run.bars.some((bar) => bar[1] === "down")) add(css("--overlap"), "a service or a link is down");
    add(css("--active"), "guest's event ACTIVE");
    add(css("--right"), "KVM holds a grant");
    add(css("--muted"), "LBR passed through");
    if (narrow) box.append(el("span", {}, `No room for ${small ? "the LBR and " : ""}the columns of the invariants: the panel of a step has them.`));
    else for (const [verdict, code] of Object.entries(CODES)) add(css(code), verdict);
  }

  // The panel -------------------------------------------------------------------------------------------

  function link(seq, side) {
    return el("a", { href: `#${hashOf({ ...state, step: seq, side })}`, onclick: (event) => { event.preventDefault(); select(seq, side); } }, `step ${seq}`);
  }

  function panel() {
    const run = view.panes[state.side], seq = state.step, row = run.rows[seq - 1], box = $("detail");
    if (!row) return;
    const lane = row[1] >= 0 ? `${run.lanes[row[1]][0]}, ` : "";
    $("at").textContent = `Step ${seq}: ${row[4]}`;
    box.replaceChildren(el("p", { class: "muted" }, `${lane}${run.kinds[row[2]]}, ${duration(row[0])}`, state.other >= 0 ? `, ${run.design}` : ""));
    for (const [n, at, text, because] of run.violations) {
      if (at !== seq) continue;
      const told = el("div", { class: "violation" }, el("b", {}, `${run.invariants[n][0]} violated`), `: ${text}. `);
      because.forEach((cause) => told.append(link(cause, state.side), " "));
      box.append(told);
    }
    for (const message of run.messages) if (message[2] === seq || message[7].some((a) => a[0] === seq)) box.append(about(message));
    if (row[7].length) {
      const led = el("p", {}, "After ");
      row[7].forEach((cause) => led.append(link(cause, state.side), " "));
      box.append(led);
    }
    box.append(el("h3", {}, "What each side believes"), factTable(run, "belief"));
    const sides = el("div", { class: "sides" });
    sides.append(el("div", {}, el("h3", {}, "Host"), factTable(run, "host")), el("div", {}, el("h3", {}, "KVM"), factTable(run, "kvm")));
    box.append(sides, el("h3", {}, "On the wire"), factTable(run, "wire"));
    run.rings.forEach((ring, cpu) => box.append(el("h3", {}, `LBR of cpu${cpu}, newest first`), cells(run, ring)));
    const strips = el("div", { class: "strip" });
    for (const [name, , , changes] of run.invariants) {
      const verdict = valueAt(changes, seq);
      strips.append(el("span", { class: `is-${verdict.replace(" ", "-")}` }, `${verdict === "violated" ? "✕ " : verdict === "held" ? "✓ " : verdict === "open" ? "… " : "– "}${name}`));
    }
    box.append(el("h3", {}, "Invariants up to here"), strips);
  }

  function about([name, kind, sent, fate, , , , arrivals, rule]) {
    const told = el("p", {}, el("b", {}, `${kind} ${name}`), `: ${fate}; sent in `, link(sent, state.side));
    for (const [seq, fate, fault, reason] of arrivals) told.append(`, ${fate}${fault ? ` by fault ${fault}` : ""}${reason ? ` (${reason})` : ""} in `, link(seq, state.side));
    const here = (open || []).filter((choice) => choice.message === `${name} ${kind}`), ask = (what) => () => window.parent.postMessage(what, location.origin);
    if (here.length) {
      told.append(". Now:");
      here.forEach(({ text, decision }) => told.append(" ", el("button", { type: "button", "data-decision": decision, onclick: ask({ decision }) }, text)));
      return told;
    }
    if (fate === "dropped") return told;
    // Inside lbrlab web the page around plays the run again.
    if (window.parent !== window) told.append(" ", el("button", { type: "button", id: "drop", onclick: ask({ fault: rule, message: `${name} ${kind}` }) }, open ? "Go back and drop it" : "Drop it"));
    else told.append(el("span", { class: "muted" }, ". To lose it: "), el("code", {}, `--fault '${rule}'`));
    return told;
  }

  function factTable(run, side) {
    const body = el("tbody");
    for (const [of, name, changes] of run.facts) {
      const i = of === side ? at(changes, state.step) : -1;
      if (i < 0 || (changes[i][1] === "closed" && changes[i][0] !== state.step)) continue;
      const value = changes[i][1], fresh = changes[i][0] === state.step && i > 0;
      const cell = el("td", {}, value);
      if (fresh) cell.append(" ", el("del", {}, changes[i - 1][1]));
      body.append(el("tr", { class: fresh ? "changed" : value === "NO" ? "apart" : "" }, el("th", { scope: "row" }, name), cell));
    }
    return body.children.length ? el("table", { "data-side": side }, body) : el("p", { class: "muted" }, "nothing");
  }

  function cells(run, ring) {
    const box = el("div", { class: "cells", role: "img" }), i = at(ring, state.step), told = [];
    const runs = i < 0 ? [] : ring[i][1];
    for (let n = 0; n < runs.length; n += 2) {
      const name = run.owners[runs[n]], fill = colourOf(run, runs[n]);
      told.push(`${runs[n + 1]} ${name || "empty"}`);
      for (let k = 0; k < runs[n + 1]; k++) {
        const one = el("b", { title: name || "empty" }, name ? (name.startsWith("host") ? "h" : name.startsWith("guest") ? "g" : "?") : "");
        if (fill !== "none") { one.style.background = fill; one.style.color = "var(--back)"; }
        box.append(one);
      }
    }
    box.setAttribute("aria-label", told.join(", "));
    return box;
  }

  // Selection, links, keys ------------------------------------------------------------------------------

  function hashOf(s) {
    const parts = { step: s.step, run: s.run || "", with: s.other >= 0 ? s.other : "", side: s.side || "", axis: s.axis === "time" ? "time" : "", cpu: s.cpu || "", vm: s.vm, search: s.search, ancestors: s.ancestors ? 1 : "", sources: [...s.sources].join(","), kinds: [...s.kinds].join(","), lanes: [...s.lanes].join(",") };
    return Object.entries(parts).filter(([, value]) => value !== "").map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
  }

  function readHash() {
    const given = new URLSearchParams(location.hash.slice(1));
    const number = (key, usual, end) => { const n = Number.parseInt(given.get(key) ?? "", 10); return Number.isInteger(n) && n >= 0 && n < end ? n : usual; };
    state.run = number("run", 0, MODEL.runs.length);
    state.other = number("with", -1, MODEL.runs.length);
    if (state.other === state.run) state.other = -1;
    state.side = state.other < 0 ? 0 : number("side", 0, 2);
    const run = MODEL.runs[state.side ? state.other : state.run];
    state.step = Math.max(1, number("step", firstStep(run), run.rows.length + 1));
    state.axis = given.get("axis") === "time" ? "time" : "step";
    state.cpu = number("cpu", 0, run.rings.length);
    state.vm = given.get("vm") ?? "";
    state.search = given.get("search") ?? "";
    state.ancestors = given.get("ancestors") === "1";
    state.sources = new Set((given.get("sources") ?? "").split(",").filter(Boolean));
    state.kinds = new Set((given.get("kinds") ?? "").split(",").filter(Boolean));
    state.lanes = new Set((given.get("lanes") ?? "").split(",").filter(Boolean));
  }

  const firstStep = (run) => (run.violations.length ? Math.min(...run.violations.map((v) => v[1])) : 1);

  function select(seq, side = state.side, far = false) {
    const run = view.panes[side];
    state.side = side;
    state.step = Math.min(Math.max(seq, 1), run.rows.length);
    if (state.ancestors) compute();
    show(far);
  }

  function show(far) {
    history.replaceState(null, "", `#${hashOf(state)}`);
    const i = view.places[state.side][state.step], scroll = $("scroll");
    if (i < view.slots.length) {
      const y = view.ys[i];
      if (far) scroll.scrollTop = Math.max(0, y - scroll.clientHeight / 3);
      else if (y < scroll.scrollTop + H) scroll.scrollTop = Math.max(0, y - 2 * H);
      else if (y + H > scroll.scrollTop + scroll.clientHeight - H) scroll.scrollTop = y + 3 * H - scroll.clientHeight;
    }
    paint();
    panel();
  }

  function move(by) {
    const side = state.side, { slots, places } = view;
    let i = places[side][state.step];
    const exact = i < slots.length && slots[i][side] === state.step;
    i = exact ? i + by : by > 0 ? i + by - 1 : i + by;
    i = Math.min(Math.max(i, 0), slots.length - 1);
    const way = by < 0 ? -1 : 1;
    while (i > 0 && i < slots.length - 1 && !slots[i][side]) i += way;
    while (i >= 0 && i < slots.length && !slots[i][side]) i -= way;
    if (slots[i]) select(slots[i][side]);
  }

  function violation(way) {
    const seqs = [...new Set(view.panes[state.side].violations.map((v) => v[1]))].sort((a, b) => a - b);
    const next = way > 0 ? seqs.find((seq) => seq > state.step) : seqs.reverse().find((seq) => seq < state.step);
    if (next) select(next, state.side, true);
  }

  function otherEnd() {
    for (const [, , sent, , , , , arrivals] of view.panes[state.side].messages) {
      if (sent === state.step && arrivals.length) return select(arrivals[arrivals.length - 1][0]);
      if (arrivals.some((a) => a[0] === state.step)) return select(sent);
    }
    return undefined;
  }

  // Play: the lanes grow from the selected step, four records a second.
  function play() {
    if (ticking) { stop(); again(false); return; }
    if (state.side) { state.side = 0; }
    if (state.step >= view.panes[0].rows.length) state.step = 1;
    $("play").textContent = "\u25a0 stop";
    until = state.step;
    ticking = setInterval(() => {
      if (until >= view.panes[0].rows.length) { stop(); again(false); return; }
      until += 1;
      state.step = until;
      again(false);
    }, 250);
    again(false);
  }

  function stop() {
    clearInterval(ticking);
    ticking = until = 0;
    $("play").textContent = "\u25b6 play";
  }

  function again(far = true) {
    compute();
    head();
    legend();
    $("ancestors").checked = state.ancestors;
    document.querySelectorAll("input[name=axis]").forEach((one) => { one.checked = one.value === state.axis; });
    show(far);
  }

  const KEYS = {
    ArrowDown: () => move(1), j: () => move(1), ArrowUp: () => move(-1), k: () => move(-1), PageDown: () => move(20), PageUp: () => move(-20),
    Home: () => move(-1e9), End: () => move(1e9), n: () => violation(1), p: () => violation(-1), m: otherEnd,
    a: () => { state.ancestors = !state.ancestors; again(); }, t: () => { state.axis = state.axis === "time" ? "step" : "time"; again(); },
    "/": () => $("search").focus(), " ": play,
  };

  // A walk by hand: the page around gives the page of the same run with its next records. Only its data are taken.
  function grow(told) {
    const page = new DOMParser().parseFromString(told.page, "text/html");
    MODEL = JSON.parse(page.getElementById("model").textContent);
    document.querySelectorAll("#tables section").forEach((one) => one.remove());
    $("tables").append(...page.querySelectorAll("#tables section"));
    document.title = page.title;
    stop();
    ({ fresh, open } = told);
    Object.assign(state, { run: 0, other: -1, side: 0, step: Math.min(Math.max(told.step, 1), MODEL.runs[0].rows.length) });
    state.cpu = Math.min(state.cpu, MODEL.runs[0].rings.length - 1);
    $("at").setAttribute("aria-live", "off");
    header();
    fill();
    again();
    window.parent.postMessage({ grown: true }, location.origin);
  }

  // In a walk the newest record stays in sight: timeline and panel end with the frame.
  function fill() {
    if (!open) return;
    const main = document.querySelector("main"), wide = innerWidth > 900;
    for (const one of [$("chart"), $("panel")]) one.style.height = wide ? `${Math.max(320, innerHeight - main.offsetTop - 16)}px` : "";
  }

  // The header and the tools ----------------------------------------------------------------------------

  function options(id, choices, picked, act) {
    const box = $(id);
    box.replaceChildren(...choices.map(([value, text]) => el("option", { value, selected: String(value) === String(picked) }, text)));
    box.onchange = () => act(box.value);
  }

  function boxes(id, names, hidden) {
    $(id).replaceChildren(...names.map((name) => el("label", {}, el("input", {
      type: "checkbox", checked: !hidden.has(name), onchange: (event) => { if (event.target.checked) hidden.delete(name); else hidden.add(name); again(false); },
    }), ` ${name}`)));
  }

  function header() {
    const run = MODEL.runs[state.run];
    const name = (one, n) => `${MODEL.runs.length > 1 ? `${n + 1}. ` : ""}${one.scenario} under ${one.design}`;
    $("title").textContent = `${run.scenario} under ${run.design}`;
    $("verdict").textContent = run.verdict;
    $("verdict").className = `badge is-${run.verdict}`;
    $("verdict").title = run.reason;
    $("purpose").textContent = run.purpose;
    $("about").textContent = `${run.design}: ${run.about}. Played on ${run.wire}.`;
    $("command").textContent = run.command;
    $("command").parentElement.hidden = !run.command;
    $("faults").textContent = run.faults.length ? `Faults: ${run.faults.map(([text, met], n) => `f${n + 1} ${text}${met ? "" : " (it met no message)"}`).join(", ")}` : "";
    const left = run.total - run.rows.length;
    $("notice").hidden = !left;
    $("notice").textContent = left ? `This run has ${run.total.toLocaleString("en")} records. The page shows the first ${run.rows.length.toLocaleString("en")}; ${left.toLocaleString("en")} are left out.` : "";
    $("broken").replaceChildren(...run.invariants.flatMap(([invariant, about, verdict], n) => {
      const first = run.violations.find((v) => v[0] === n);
      if (verdict !== "violated") return [];
      return [el("button", { type: "button", title: about, onclick: () => { if (first) select(first[1], 0, true); } }, `${invariant}${first ? ` @ ${first[1]}` : ""}`)];
    }));
    $("pick-run").hidden = $("pick-other").hidden = MODEL.runs.length < 2;
    options("run", MODEL.runs.map((one, n) => [n, name(one, n)]), state.run, (value) => { state.run = +value; if (state.other === state.run) state.other = -1; state.side = 0; state.step = firstStep(MODEL.runs[state.run]); header(); again(); });
    options("other", [[-1, "nothing"], ...MODEL.runs.map((one, n) => [n, name(one, n)]).filter(([n]) => n !== state.run)], state.other, (value) => { state.other = +value; state.side = 0; state.step = Math.min(state.step, MODEL.runs[state.run].rows.length); again(); if (view.first >= 0) { const [one, other] = view.slots[view.first]; select(one || other, one ? 0 : 1, true); } });
    options("cpu", run.rings.map((_, n) => [n, `cpu${n}`]), state.cpu, (value) => { state.cpu = +value; again(false); });
    options("vm", [["", "all"], ...[...new Set(run.lanes.map((lane) => lane[2]).filter(Boolean))].map((vm) => [vm, vm])], state.vm, (value) => { state.vm = value; again(false); });
    boxes("sources", run.sources, state.sources);
    boxes("kinds", run.kinds, state.kinds);
    boxes("lanes", run.lanes.map((lane) => lane[0]), state.lanes);
    $("search").value = state.search;
  }

  function start() {
    readHash();
    header();
    again();
    let waiting = false;
    $("scroll").addEventListener("scroll", () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; paint(); }); } });
    addEventListener("resize", () => { fill(); head(); legend(); if (open) show(false); else paint(); });
    addEventListener("hashchange", () => { readHash(); header(); again(); });
    addEventListener("beforeprint", () => { printing = view.slots.length <= 2000; $("tables").open = true; head(); legend(); paint(); });
    addEventListener("afterprint", () => { printing = false; paint(); });
    $("search").addEventListener("input", (event) => { state.search = event.target.value; again(false); });
    $("ancestors").addEventListener("change", (event) => { state.ancestors = event.target.checked; again(); });
    document.querySelectorAll("input[name=axis]").forEach((one) => one.addEventListener("change", () => { state.axis = one.value; again(); }));
    $("canvas").addEventListener("click", (event) => {
      const drawn = event.target.closest("svg");
      if (!drawn) return;
      const y = event.clientY - $("canvas").getBoundingClientRect().top, side = +drawn.dataset.side;
      const i = view.ys.findIndex((top, n) => n < view.slots.length && y >= top && y < top + H);
      if (i >= 0 && view.slots[i][side]) select(view.slots[i][side], side);
    });
    $("play").addEventListener("click", play);
    $("before").addEventListener("click", () => violation(-1));
    $("after").addEventListener("click", () => violation(1));
    $("copy").addEventListener("click", async () => {
      try { await navigator.clipboard.writeText($("command").textContent); $("copy").textContent = "Copied"; }
      catch { getSelection().selectAllChildren($("command")); $("copy").textContent = "Selected: press Ctrl-C"; }
    });
    addEventListener("message", ({ origin, source, data }) => {
      if (window.parent !== window && source === window.parent && origin === location.origin && typeof data?.page === "string") grow(data);
    });
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA|SUMMARY|BUTTON)$/.test(event.target.tagName)) {
        if (event.key === "Escape") { document.querySelectorAll(".menu").forEach((menu) => { menu.open = false; }); $("canvas").focus(); }
        return;
      }
      const act = KEYS[event.key];
      if (act) { event.preventDefault(); act(); } else if (open && /^([1-9ufr]|Enter)$/.test(event.key)) window.parent.postMessage({ key: event.key }, location.origin);
    });
    document.documentElement.dataset.ready = "yes";
  }

  start();
})();
