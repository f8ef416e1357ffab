// The chosen theme, before anything is drawn: a page must not flash in the other one.
// "auto" follows the system. Runs as a plain script, because modules run after the first paint.
(function () {
  "use strict";
  const NAMES = ["auto", "light", "dark"];
  function read() {
    try {
      const held = localStorage.getItem("marsa.theme");
      return NAMES.includes(held) ? held : "auto";
    } catch {
      return "auto"; // storage is switched off
    }
  }
  function set(name) {
    document.documentElement.dataset.theme = name;
    try {
      localStorage.setItem("marsa.theme", name);
    } catch {
      // It holds for this page alone.
    }
  }
  const root = document.documentElement;
  root.dataset.theme = read();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => {
      const name = root.dataset.theme;
      const next = NAMES[(NAMES.indexOf(name) + 1) % NAMES.length];
      button.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[name];
      button.setAttribute("aria-label", `Colours: ${name}. Change to ${next}`);
      button.title = `Colours: ${name}`;
    };
    button.addEventListener("click", () => {
      set(NAMES[(NAMES.indexOf(root.dataset.theme) + 1) % NAMES.length]);
      show();
      document.dispatchEvent(new Event("marsa:theme"));
    });
    show();
  });
})();
