// Before the page is drawn: light or dark, as its reader chose or as his system has it.
const chosen = document.documentElement.dataset.theme;
const system = matchMedia("(prefers-color-scheme: dark)");

function apply() {
  const dark = chosen === "dark" || (chosen !== "light" && system.matches);
  document.documentElement.dataset.bsTheme = dark ? "dark" : "light";
  document.dispatchEvent(new CustomEvent("sidegate:theme"));
}

apply();
system.addEventListener("change", apply);
