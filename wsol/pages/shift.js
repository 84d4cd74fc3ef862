"use strict";
// Sorts and filters the gallery, and steps through the maps.
(() => {
  const byId = (id) => document.getElementById(id);
  const cards = [...document.querySelectorAll(".card")];
  const main = byId("main");
  const text = (card, key) => card.dataset[key] || "";
  const number = (card, key) => (text(card, key) === "" ? Infinity : Number(text(card, key)));
  const orders = {
    given: () => 0,
    travel: (a, b) => number(b, "travel") - number(a, "travel"),
    iou: (a, b) => (number(a, "iou") < number(b, "iou") ? -1 : number(a, "iou") > number(b, "iou") ? 1 : 0),
    name: (a, b) => text(a, "name").localeCompare(text(b, "name")),
    file: (a, b) => text(a, "file").localeCompare(text(b, "file")),
  };

  function arrange() {
    const wanted = byId("search").value.trim().toLowerCase();
    const kind = byId("filter").value;
    const order = orders[byId("sort").value];
    const sorted = [...cards].sort((a, b) => order(a, b) || number(a, "order") - number(b, "order"));
    let shown = 0;
    for (const card of sorted) {
      const words = `${text(card, "name")} ${text(card, "file")}`.toLowerCase();
      const kinds = text(card, "kinds").split(" ");
      card.hidden = !words.includes(wanted) || (kind !== "all" && !kinds.includes(kind));
      shown += card.hidden ? 0 : 1;
      main.insertBefore(card, byId("nothing"));
    }
    byId("nothing").hidden = shown > 0 || cards.length === 0;
    byId("count").textContent = `${shown} of ${cards.length}`;
  }

  function showStep(card, step) {
    const scrub = card.querySelector(".scrub");
    if (!scrub) return;
    const count = Number(scrub.max);
    const chosen = ((step - 1 + count) % count) + 1;
    scrub.value = String(chosen);
    card.querySelector(".stage output").textContent = String(chosen);
    card.querySelectorAll(".frame").forEach((frame, index) => {
      frame.toggleAttribute("hidden", index !== chosen - 1);
    });
  }

  for (const card of cards) {
    const scrub = card.querySelector(".scrub");
    if (scrub) {
      scrub.addEventListener("input", () => showStep(card, Number(scrub.value)));
      showStep(card, 1);
    }
  }
  const play = byId("play");
  let timer = null;
  if (play) {
    play.addEventListener("click", () => {
      const running = timer === null;
      play.setAttribute("aria-pressed", String(running));
      play.textContent = running ? "Stop" : "Play";
      if (running) {
        timer = setInterval(() => {
          for (const card of cards) {
            const scrub = card.querySelector(".scrub");
            if (!card.hidden && scrub) showStep(card, Number(scrub.value) + 1);
          }
        }, 1000);
      } else {
        clearInterval(timer);
        timer = null;
      }
    });
  }
  const opacity = byId("opacity");
  opacity.addEventListener("input", () => {
    document.documentElement.style.setProperty("--opacity", String(Number(opacity.value) / 100));
  });
  byId("marks").addEventListener("change", () => {
    document.body.classList.toggle("plain", !byId("marks").checked);
  });
  for (const id of ["search", "sort", "filter"]) {
    for (const kind of ["input", "change"]) byId(id).addEventListener(kind, arrange);
  }
  document.querySelector(".controls").addEventListener("submit", (event) => event.preventDefault());
  arrange();
})();
