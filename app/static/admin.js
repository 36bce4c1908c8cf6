// The administration's own script; every act works without it.
"use strict";
(() => {
  // The menu is a drawer on a phone and stands open beside the page elsewhere.
  const wide = matchMedia("(min-width: 1024px)");
  const menu = document.querySelector("[data-open-wide]");
  const fit = () => { if (menu) menu.open = wide.matches; };
  fit();
  wide.addEventListener("change", fit);

  // <button type="button" data-more="id">: one more of the last part in that list of fields.
  document.addEventListener("click", event => {
    const button = event.target.closest("[data-more]");
    if (!button) return;
    const list = document.getElementById(button.dataset.more), last = list.lastElementChild;
    const next = last.cloneNode(true), number = list.children.length;
    for (const part of next.querySelectorAll("[name], [id], [for]")) {
      for (const attribute of ["name", "id", "for"])
        if (part.hasAttribute(attribute)) part.setAttribute(attribute, part.getAttribute(attribute).replace(/-\d+(?=-)/, `-${number}`));
      if (part.matches("input:not([type=checkbox])")) part.value = "";
    }
    for (const title of next.querySelectorAll("[data-number]")) title.textContent = number + 1;
    list.append(next);
    next.querySelector("input:not([type=hidden])").focus();
  });
})();
