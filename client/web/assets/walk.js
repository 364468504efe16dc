"use strict";
// Step by hand. The server gives the open decisions after the moves so far; the report draws the run up to there.
function handWalk({ asked, post, address, say, frame }) {
  const $ = (id) => document.getElementById(id);
  const KEYS = { Enter: () => next(1), u: () => undo(), f: () => finish(), r: () => reset() };
  const MOVES = ["next", "five", "undo", "finish", "reset", "other", "save-tape", "save-run"];
  let on = false, told = null, drawn = false, queue = Promise.resolve();
  // moves: each a text of decisions. past: what undo goes back to.
  let moves = [], past = [];

  function el(tag, given, ...inside) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(given)) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value); else made.setAttribute(key, value);
    }
    made.append(...inside);
    return made;
  }

  // Moves -----------------------------------------------------------------------------------------------

  // One after the other: a key that comes while the server works waits for its turn.
  function later(act) {
    $("walk").setAttribute("aria-busy", "true");
    const mine = queue = queue.then(act).catch((error) => say(error.message, true)).then(() => { if (queue === mine) $("walk").setAttribute("aria-busy", "false"); });
    return mine;
  }

  async function go(wanted, keep, about) {
    const answer = await post("/walk", { ...asked(), moves: wanted });
    if (keep) past.push(moves);
    told = answer;
    // In full: no link depends on what the default schedule is one day.
    moves = answer.moves;
    address(moves);
    list();
    await draw();
    say(about || (moves.length ? report() : `${where()}.`));
  }

  const take = (decision) => later(() => go([...moves, decision], true));
  // A second click comes when the list is another one already.
  const pick = (decision) => later(() => (told.walk.choices.some((choice) => choice.decision === decision) ? go([...moves, decision], true) : undefined));
  const next = (count) => later(() => (told.walk.usual ? go([...moves, `n ${count}`], true) : say(ended())));
  const finish = () => later(() => (told.walk.over ? say(ended()) : go([...moves, "f"], true)));
  const ended = () => (told.walk.over ? "The run is over. Undo goes back." : "Nothing is left to do: Finish ends the run and judges it.");
  const reset = () => later(() => go([], moves.length > 0, "The walk starts again. Undo brings back what was."));

  function undo() {
    return later(async () => {
      if (!moves.length && !past.length) { say("Nothing to undo."); return; }
      const back = past.pop() || moves.slice(0, -1);
      await go(back, false, "");
      say(`Undone. ${where()}.`);
    });
  }

  // Lose a message that has already arrived: go back to where it arrived.
  function lose(message) {
    const of = (step) => step.trim().split(" ").slice(1, 4).join(" ") === message.replace("#", "");
    return later(async () => {
      for (let i = moves.length - 1; i >= 0; i--) {
        const steps = moves[i].split(";"), at = steps.findIndex(of);
        if (at < 0) continue;
        const kept = [...moves.slice(0, i), ...(at ? [steps.slice(0, at).join(";")] : [])];
        await go([...kept, `drop ${message.replace("#", "")}`], true);
        say(`Went back to where ${message} arrived, and lost it there. ${report()}`);
        return;
      }
      await go([...moves, `drop ${message.replace("#", "")}`], true);
    });
  }

  // What is said and shown ------------------------------------------------------------------------------

  const broken = (walk) => [...new Set(walk.changes.flatMap((change) => change.broken))];
  const verdict = () => (told.walk.over ? `the run is over: ${told.walk.verdict}` : `so far ${told.walk.verdict}`);
  const where = () => `Decision ${told.walk.decisions}, record ${told.walk.records}, ${told.walk.time.toLocaleString("en")} ns; ${verdict()}`;

  function report() {
    const { changes, facts, decisions } = told.walk, now = broken(told.walk);
    const apart = facts.some((fact) => fact.value === "NO" && fact.before !== "NO");
    return [
      `Decision ${decisions}: ${changes.length} new record${changes.length === 1 ? "" : "s"}${changes.length ? `, the last: ${changes[changes.length - 1].text}` : ""}.`,
      told.walk.over ? `The run is over: ${told.walk.verdict}.` : "",
      now.length ? `Violated by this move: ${now.join(", ")}.` : "", apart ? "The two sides now disagree." : "",
    ].filter(Boolean).join(" ");
  }

  function facts(rows) {
    return el("dl", {}, ...rows.flatMap(({ name, value, before }) => {
      const changed = moves.length > 0 && value !== before;
      const told = el("dd", { class: `${changed ? "changed" : ""} ${value === "NO" ? "apart" : ""}`.trim() }, value);
      if (changed && before) told.append(" ", el("del", {}, before));
      return [el("dt", {}, name), told];
    }));
  }

  function list() {
    const walk = told.walk, inside = $("walk").contains(document.activeElement) && document.activeElement.closest("#choices, #finish");
    // Neighbours about one message stand together.
    const groups = [];
    for (const choice of walk.choices) {
      if (!groups.length || groups[groups.length - 1].message !== choice.message) groups.push({ message: choice.message, choices: [] });
      groups[groups.length - 1].choices.push(choice);
    }
    const button = (choice) => {
      const first = choice.number === 1 && walk.usual, text = choice.message ? choice.text.slice(choice.message.length + 1) : choice.text;
      const made = el("button", { type: "button", title: choice.decision, "data-decision": choice.decision, onclick: () => (first ? next(1) : pick(choice.decision)) }, el("b", {}, String(choice.number)), ` ${text}`);
      made.setAttribute("aria-label", `${choice.number}: ${choice.text}${first ? ", next" : ""}`);
      if (choice.number < 10) made.setAttribute("aria-keyshortcuts", String(choice.number));
      if (first) made.className = "next";
      return made;
    };
    $("choices").replaceChildren(...groups.map(({ message, choices }) => el(
      "div", { role: "group", "aria-label": message || "others", class: message ? "message" : "others" }, ...(message ? [el("p", {}, message)] : []), ...choices.map(button),
    )));
    if (walk.over) $("choices").append(el("p", {}, `The run is over: ${walk.verdict} (${walk.reason}).`));
    else if (!walk.usual) $("choices").append(el("p", {}, "Nothing is left to do: Finish ends the run and judges it."));
    const waits = Object.entries(walk.blocked).filter(([, why]) => why !== "finished").map(([thread, why]) => `${thread}: ${why}`);
    $("blocked").textContent = waits.length && !walk.over ? `Cannot step: ${waits.join("; ")}` : "";
    $("where").textContent = where();
    $("beliefs").replaceChildren(facts(walk.facts.filter((fact) => fact.side === "belief")));
    const changed = walk.facts.filter((fact) => fact.side !== "belief" && fact.value !== fact.before);
    $("changed").replaceChildren(changed.length && moves.length ? facts(changed) : el("p", { class: "muted" }, "nothing"));
    for (const id of MOVES) $(id).disabled = false;
    for (const id of ["next", "five", "finish"]) $(id).disabled = walk.over || (id !== "finish" && !walk.usual);
    $("other").disabled = walk.over;
    $("undo").disabled = !moves.length && !past.length;
    if (inside) ($("choices").querySelector("button") || ($("finish").disabled ? $("undo") : $("finish"))).focus();
  }

  // The report takes the new run in place, so that its filters, its focus and the place of the reader stay.
  async function draw() {
    const { report: path, walk } = told, step = walk.records, fresh = walk.changes.length ? walk.changes[0].seq : 0;
    const open = walk.choices.filter((choice) => choice.message).map(({ decision, text, message }) => {
      const [, way, n, kind] = decision.split(" ");
      return { message: `${way} #${n} ${kind}`, text: text.slice(message.length + 1), decision };
    });
    if (!drawn) {
      await new Promise((done) => { frame.addEventListener("load", done, { once: true }); frame.src = `${path}#step=${step}`; });
      drawn = true;
    }
    const page = await (await fetch(path)).text();
    frame.contentWindow.postMessage({ page, step, fresh: moves.length ? fresh : 0, open }, location.origin);
    // If it does not say that it has drawn this, it is loaded again next time.
    drawn = await new Promise((done) => {
      const heard = ({ source, origin, data }) => { if (source === frame.contentWindow && origin === location.origin && data?.grown) stop(true); };
      const late = setTimeout(() => stop(false), 5000);
      const stop = (answer) => { clearTimeout(late); removeEventListener("message", heard); done(answer); };
      addEventListener("message", heard);
    });
  }

  // Files -----------------------------------------------------------------------------------------------

  function download(name, content, type) {
    const link = el("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  const saveTape = () => later(async () => {
    const { scenario, design, tape, over } = told.walk;
    download("walk.tape", `lbrlab-tape 1\n${tape.map((line) => `${line}\n`).join("")}`, "text/plain");
    const of = asked().scenario || "FILE";
    say(`Saved as walk.tape. To play it: lbrlab run ${of} -d ${design} --tape walk.tape${over ? "" : " --then-default"}${of === "FILE" ? `, where FILE has the text of ${scenario}` : ""}`);
  });

  const saveRun = () => later(async () => {
    download("walk.json", await (await post("/walk/file", { ...asked(), moves }, true)).text(), "application/json");
    say(`Saved as walk.json. To play it: lbrlab run walk.json${told.walk.over ? "" : " --then-default"}`);
  });

  // Begin and end ---------------------------------------------------------------------------------------

  // focus: whether the list gets the focus, so that Enter takes the next decision.
  function begin(given = [], about = "", focus = false) {
    on = true;
    document.body.classList.add("by-hand");
    $("walk").hidden = false;
    $("by-hand").setAttribute("aria-pressed", "true");
    return later(async () => {
      past = [];
      moves = [];
      told = null;
      for (const part of ["where", "choices", "blocked", "beliefs", "changed"]) $(part).replaceChildren();
      for (const id of MOVES) $(id).disabled = true;
      try {
        await go(given, false, about);
        if (focus) $("choices").querySelector("button")?.focus();
      } catch (error) {
        if (!given.length) { frame.src = "about:blank"; drawn = false; throw error; }
        await go([], false, " ");
        say(`The walk of the link cannot be repeated, so it starts again: ${error.message}`, true);
      }
    });
  }

  function end() {
    on = drawn = false;
    told = null;
    moves = [];
    document.body.classList.remove("by-hand");
    $("walk").hidden = true;
    $("by-hand").setAttribute("aria-pressed", "false");
  }

  function press(key, repeat) {
    if (!on || !told) return false;
    if (/^[1-9]$/.test(key)) {
      // Of the list that is there when its turn comes.
      if (!repeat) later(() => {
        const choice = told.walk.choices[key - 1];
        return choice ? go([...moves, choice.decision], true) : say(`There is no decision ${key} here.`);
      });
      return true;
    }
    if (!KEYS[key]) return false;
    KEYS[key]();
    return true;
  }

  $("next").addEventListener("click", () => next(1));
  $("five").addEventListener("click", () => next(5));
  $("undo").addEventListener("click", undo);
  $("finish").addEventListener("click", finish);
  $("reset").addEventListener("click", reset);
  $("save-tape").addEventListener("click", saveTape);
  $("save-run").addEventListener("click", saveRun);
  $("other").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const typed = $("other").value.trim();
    if (typed) take(typed).then(() => { if (!$("status").classList.contains("wrong")) $("other").value = ""; });
  });
  addEventListener("keydown", (event) => {
    const { tagName } = event.target;
    if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(tagName)) return;
    if (event.key === "Enter" && /^(BUTTON|SUMMARY|A)$/.test(tagName)) return;
    if (press(event.key, event.repeat)) event.preventDefault();
  });

  return { begin, end, press, pick, lose, isOn: () => on, moves: () => moves };
}
