"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const token = document.querySelector("meta[name=token]").content;
  const own = "(own text)";
  let lists = null, busy = false, waiting = false, walk = null;

  function options(box, choices, picked) {
    box.replaceChildren(...choices.map(([value, text, title]) => {
      const one = document.createElement("option");
      one.value = value; one.textContent = text; one.title = title || "";
      one.selected = value === picked;
      return one;
    }));
  }

  const design = () => lists.designs.find((one) => one.name === $("design").value);
  const flipped = () => ($("axis").value ? `${$("design").value}+${$("axis").value}=${$("value").value}` : $("design").value);

  function say(text, wrong = false) {
    $("status").textContent = text;
    $("status").className = wrong ? "wrong" : "";
  }

  // The axis and its values; the value of the design stands first and means no change.
  function axes(axis = "", value = "") {
    options($("axis"), [["", "no axis flipped"], ...lists.axes.map((one) => [one.name, one.name, one.about])], axis);
    values(value);
  }

  function values(picked = "") {
    const axis = lists.axes.find((one) => one.name === $("axis").value);
    $("value").disabled = !axis;
    const has = axis ? design().axes[axis.name] : "";
    const others = axis ? axis.values.filter((one) => one.name !== has) : [];
    options($("value"), others.map((one) => [one.name, one.name, one.about]), picked);
    about();
  }

  function about() {
    const axis = lists.axes.find((one) => one.name === $("axis").value);
    const value = axis && axis.values.find((one) => one.name === $("value").value);
    // The report says what scenario and design are about.
    $("about").textContent = axis
      ? `${axis.name}: ${axis.about} It is ${design().axes[axis.name]}; now ${$("value").value}${value && value.about ? `: ${value.about}` : ""}.`
      : "Select a message in the picture to drop it, or flip an axis of the design to see what changes.";
  }

  async function text() {
    const name = $("scenario").value;
    if (name === own) return;
    const answer = await fetch(`/scenario/${encodeURIComponent(name)}`);
    $("text").value = await answer.text();
    $("text").dataset.of = name;
    $("text").dataset.kept = $("text").value;
  }

  function asked() {
    const edited = $("scenario").value === own || $("text").value !== ($("text").dataset.kept || "");
    return {
      scenario: edited ? "" : $("scenario").value,
      text: edited ? $("text").value : "",
      design: flipped(),
      faults: $("faults").value.split("\n").map((line) => line.trim()).filter(Boolean),
      against: $("beside").value === "axis" && $("axis").value ? $("design").value : "",
      bare: $("beside").value === "bare",
      wire: $("wire").value,
    };
  }

  // The answer to a request of this page. Throws an Error with what the server says.
  async function post(path, body, raw = false) {
    let answer;
    try {
      answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json", "X-Lbrlab-Token": token }, body: JSON.stringify(body) });
    } catch (error) {
      throw new Error(`the server does not answer: ${error.message}`);
    }
    if (!answer.ok) throw new Error((await answer.json()).error);
    return raw ? answer : answer.json();
  }

  // An input is another one: play again; or begin the walk by hand again, from which "back" of the browser leads back.
  function changed(what) {
    about();
    if (!walk.isOn()) { run(); return; }
    const moves = walk.moves().length;
    if (moves) history.pushState(null, "", location.href);
    const before = moves ? ` Back in the browser returns to the ${moves} move${moves > 1 ? "s" : ""} before.` : "";
    walk.begin([], `The ${what} has changed, so the walk starts again.${before}`);
  }

  async function run(step = "") {
    if (walk.isOn()) walk.end();
    if (busy) { waiting = true; return; }
    busy = true;
    $("go").disabled = true;
    say("playing");
    const what = asked(), begin = performance.now();
    try {
      const told = await post("/play", what);
      const two = what.against || (what.bare && what.faults.length);
      $("report").src = `${told.report}#${[step ? `step=${step}` : "", two ? "with=1" : ""].filter(Boolean).join("&")}`;
      say(`played in ${Math.round(performance.now() - begin)} ms`);
      history.replaceState(null, "", `#${link(what)}`);
    } catch (error) {
      say(error.message, true);
    } finally {
      busy = false;
      $("go").disabled = false;
      if (waiting) { waiting = false; run(); }
    }
  }

  function link(what, moves = null) {
    const parts = new URLSearchParams();
    if (what.text) parts.set("text", what.text); else parts.set("scenario", what.scenario);
    parts.set("design", $("design").value);
    if ($("axis").value) parts.set("flip", `${$("axis").value}=${$("value").value}`);
    what.faults.forEach((fault) => parts.append("fault", fault));
    if (moves) { parts.set("walk", moves.join(",")); return parts.toString(); }
    if ($("beside").value) parts.set("beside", $("beside").value);
    if (what.wire !== "sim") parts.set("wire", what.wire);
    return parts.toString();
  }

  async function follow() {
    const given = new URLSearchParams(location.hash.slice(1));
    const unknown = [];
    const known = (what, list, name, usual) => {
      if (name && !list.some((one) => one.name === name)) unknown.push(`${what} '${name}'`);
      return list.some((one) => one.name === name) ? name : usual;
    };
    const scenario = given.has("text") ? own : known("scenario", lists.scenarios, given.get("scenario"), "central-story");
    options($("scenario"), [...lists.scenarios.map((one) => [one.name, one.name, one.about]), [own, own]], scenario);
    options($("design"), lists.designs.map((one) => [one.name, one.name, one.about]), known("design", lists.designs, given.get("design"), "revoke-gp"));
    const [axis, value] = (given.get("flip") || "").split("=");
    const flip = known("axis", lists.axes, axis, "");
    if (flip) known(`value of ${flip}`, lists.axes.find((one) => one.name === flip).values, value || "(none)", "");
    axes(flip, value);
    $("faults").value = given.getAll("fault").join("\n");
    $("beside").value = ["bare", "axis"].includes(given.get("beside")) ? given.get("beside") : "";
    // A link may not start processes on this machine: two processes have to be chosen by hand.
    $("wire").value = "sim";
    if (scenario === own) { $("text").value = given.get("text"); delete $("text").dataset.kept; $("edit").open = true; } else await text();
    // Another run than that of the link would be taken for it.
    if (unknown.length) {
      if (walk.isOn()) walk.end();
      $("report").src = "about:blank";
      say(`the link names an unknown ${unknown.join(", ")}; nothing is played`, true);
      return;
    }
    if (given.has("walk")) { await walk.begin(given.get("walk").split(",").filter(Boolean)); return; }
    await run();
    if (given.get("wire") === "grpc") say("the link asks for two processes: choose them and run");
  }

  function listen() {
    $("form").addEventListener("submit", (event) => { event.preventDefault(); run(); });
    $("by-hand").addEventListener("click", () => { if (walk.isOn()) run(); else walk.begin([], "", true); });
    $("scenario").addEventListener("change", async () => { await text(); changed("scenario"); });
    $("design").addEventListener("change", () => { values(); changed("design"); });
    $("axis").addEventListener("change", () => { if ($("axis").value && !$("beside").value) $("beside").value = "axis"; values(); changed("design"); });
    $("value").addEventListener("change", () => changed("design"));
    $("beside").addEventListener("change", () => run());
    $("faults").addEventListener("change", () => { if (walk.isOn()) changed("list of faults"); });
    $("text").addEventListener("change", () => { if (walk.isOn()) changed("scenario"); });
    $("share").addEventListener("click", async () => {
      history.replaceState(null, "", `#${link(asked(), walk.isOn() ? walk.moves() : null)}`);
      try { await navigator.clipboard.writeText(location.href); say("the link is copied"); } catch { say(location.href); }
    });
    addEventListener("hashchange", follow);
    // The report asks for what was clicked on in it: to drop a message, to take a decision, or for a key.
    addEventListener("message", ({ origin, source, data }) => {
      if (origin !== location.origin || source !== $("report").contentWindow || !data) return;
      if (walk.isOn()) {
        if (typeof data.decision === "string") walk.pick(data.decision);
        else if (typeof data.message === "string") walk.lose(data.message);
        else if (typeof data.key === "string") walk.press(data.key, false);
      } else if (typeof data.fault === "string") {
        $("faults").value = [$("faults").value.trim(), data.fault].filter(Boolean).join("\n");
        if (!$("beside").value) $("beside").value = "bare";
        run();
      }
    });
  }

  (async () => {
    lists = await (await fetch("/lists")).json();
    walk = handWalk({ asked: () => { const { scenario, text, design, faults } = asked(); return { scenario, text, design, faults }; }, post, address: (moves) => history.replaceState(null, "", `#${link(asked(), moves)}`), say, frame: $("report") });
    listen();
    await follow();
    document.documentElement.dataset.ready = "yes";
  })();
})();
