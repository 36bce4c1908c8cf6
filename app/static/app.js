// What makes pages nicer; every act works without it (people PG2). It finds data-… attributes.
"use strict";
(() => {
  const $$ = (what, where = document) => [...where.querySelectorAll(what)];

  // The page says which words to use, so that they come in its language: <body data-words-…>.
  const said = (name, otherwise) => document.body.dataset["words" + name] || otherwise;

  // --- countdown (PS5): from the server's remaining seconds, on a clock that nobody can set ---
  const MINUTE = 60, HOUR = 3600, DAY = 86400;
  const two = n => String(n).padStart(2, "0");
  function left(s) {
    if (s >= DAY) return `${Math.floor(s / DAY)} d ${Math.floor(s % DAY / HOUR)} h`;
    if (s >= HOUR) return `${Math.floor(s / HOUR)} h ${two(Math.floor(s % HOUR / MINUTE))} min`;
    if (s >= 15 * MINUTE) return `${Math.floor(s / MINUTE)} min ${two(s % MINUTE)} s, ` + said("Soon", "soon");
    return `${Math.floor(s / MINUTE)} min ${two(s % MINUTE)} s, ` + said("Last", "last minutes");
  }
  const spoken = document.createElement("p");
  spoken.className = "hidden-words";
  spoken.setAttribute("role", "status");
  function speak(words) { spoken.isConnected || document.body.append(spoken); spoken.textContent = words; }
  const clocks = new WeakMap();
  function tick() {
    for (const clock of $$(".countdown[data-seconds]")) {
      let own = clocks.get(clock);
      if (!own) clocks.set(clock, own = { end: performance.now() + 1000 * clock.dataset.seconds, last: Infinity });
      const s = Math.max(Math.ceil((own.end - performance.now()) / 1000), 0);
      clock.textContent = s ? `(${left(s)})` : `(${said("Over", "time is up")})`;
      clock.classList.toggle("is-soon", s < HOUR && s >= 15 * MINUTE);
      clock.classList.toggle("is-last", s < 15 * MINUTE);
      for (const mark of [HOUR, 15 * MINUTE, 5 * MINUTE, 0])
        if (own.last !== Infinity && own.last > mark && s <= mark) speak(s ? left(s) : said("Over", "time is up"));
      if (own.last > 0 && own.last !== Infinity && s === 0) setTimeout(() => refreshed() || location.reload(), 1500);
      own.last = s;
    }
  }
  if ($$(".countdown[data-seconds]").length) { tick(); setInterval(tick, 1000); }

  // --- a question before an act: <form data-confirm="Leave the waitlist?"> ---
  document.addEventListener("submit", event => {
    const form = event.target, button = event.submitter;
    if (form.dataset.sent) { event.preventDefault(); return; }  // a second click
    const question = button?.dataset.confirm || form.dataset.confirm;
    if (!question || form.dataset.sure) {
      if (form.method === "post") { form.dataset.sent = "1"; setTimeout(() => delete form.dataset.sent, 3000); }
      return;
    }
    event.preventDefault();
    const dialog = document.createElement("dialog");
    const words = Object.assign(document.createElement("p"), { textContent: question, id: "question" });
    const acts = Object.assign(document.createElement("div"), { className: "acts" });
    const yes = Object.assign(document.createElement("button"), { className: "button is-primary", textContent: button?.textContent.trim() || "OK" });
    const no = Object.assign(document.createElement("button"), { className: "button", textContent: said("Back", "No, go back") });
    dialog.setAttribute("aria-labelledby", "question");
    yes.onclick = () => { form.dataset.sure = "1"; dialog.close(); form.requestSubmit(button); };
    no.onclick = () => dialog.close();
    dialog.onclose = () => { dialog.remove(); button?.focus(); };
    acts.append(yes, no);
    dialog.append(words, acts);
    document.body.append(dialog);
    dialog.showModal();
  });
  window.addEventListener("pageshow", () => $$("form[data-sent]").forEach(form => delete form.dataset.sent));

  // --- tick all: <input type=checkbox data-ticks="person"> ticks every input named person ---
  document.addEventListener("change", event => {
    const box = event.target;
    if (box.dataset?.ticks) $$(`input[type=checkbox][name="${CSS.escape(box.dataset.ticks)}"]`, box.form || document).forEach(one => { one.checked = box.checked; });
    const head = box.name && (box.form || document).querySelector(`[data-ticks="${CSS.escape(box.name)}"]`);
    if (head && head !== box) {
      const all = $$(`input[type=checkbox][name="${CSS.escape(box.name)}"]`, box.form || document), on = all.filter(one => one.checked).length;
      head.checked = on === all.length;
      head.indeterminate = on > 0 && on < all.length;
    }
  });

  // --- fragments: <section id="queue" data-refresh="30"> is fetched anew from this very page ---
  const busy = part => document.hidden || part.contains(document.activeElement) || part.querySelector("dialog[open], details[open] form");
  async function refresh(parts) {
    parts = parts.filter(part => part.isConnected && !busy(part));
    if (!parts.length) return;
    try {
      const answer = await fetch(location.href, { headers: { "X-Refresh": "1" }, credentials: "same-origin" });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of parts) {
        const fresh = page.getElementById(part.id);
        if (fresh && !busy(part) && fresh.innerHTML !== part.dataset.seen) {
          part.dataset.seen = fresh.innerHTML;
          part.replaceChildren(...fresh.childNodes);
          tick();
        }
      }
    } catch { /* offline: the next round tries again */ }
  }
  function refreshed() { const all = $$("[data-refresh][id]"); refresh(all); return all.length > 0; }
  const rounds = new Map();
  for (const part of $$("[data-refresh][id]")) {
    const seconds = Math.max(Number(part.dataset.refresh) || 30, 2);
    rounds.set(seconds, [...(rounds.get(seconds) || []), part]);
  }
  rounds.forEach((parts, seconds) => setInterval(() => refresh(parts), 1000 * seconds));

  // --- an error summary gets the focus; an open menu closes by Escape or a click elsewhere ---
  document.querySelector(".summary")?.focus();
  document.addEventListener("click", event => $$("details.menu[open]").forEach(menu => menu.contains(event.target) || menu.removeAttribute("open")));
  document.addEventListener("keydown", event => event.key === "Escape" && $$("details.menu[open]").forEach(menu => { menu.removeAttribute("open"); menu.querySelector("summary").focus(); }));
})();
