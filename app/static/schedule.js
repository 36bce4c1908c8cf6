// The form of a schedule explains itself while one types; without this, the button Preview does.
"use strict";
(() => {
  const seen = document.getElementById("seen"), button = document.querySelector("[data-live]");
  if (!seen || !button) return;
  const form = button.form, kind = form.elements.schedule_type, task = form.elements.automation_class;

  // Only the fields of the chosen kind and task; what is wrong stays in sight.
  function fit() {
    for (const part of form.querySelectorAll("[data-kinds]")) part.hidden = !part.dataset.kinds.split(" ").includes(kind.value);
    let known = false;
    for (const part of form.querySelectorAll("[data-task]")) {
      part.hidden = part.dataset.task !== task.value;
      known ||= !part.hidden;
    }
    for (const part of form.querySelectorAll("[data-no-task]")) part.hidden = known && !part.querySelector(".is-wrong");
  }

  let waits, asked;
  async function look() {
    asked?.abort();
    asked = new AbortController();
    try {
      const answer = await fetch(button.dataset.live, { method: "POST", body: new FormData(form), headers: { "X-Live": "1" }, signal: asked.signal });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      seen.replaceChildren(...page.body.childNodes);
    } catch { /* asked anew, or offline: the button is still there */ }
  }
  function soon() { clearTimeout(waits); waits = setTimeout(look, 400); }

  form.addEventListener("input", soon);
  form.addEventListener("change", () => { fit(); soon(); });
  window.addEventListener("pageshow", fit);
  fit();
  if (form.elements.row || kind.value !== "event") soon();
})();
