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
  const [opacity, marks] = [byId("opacity"), byId("marks")];
  const shade = () => {
    document.documentElement.style.setProperty("--opacity", String(Number(opacity.value) / 100));
    document.body.classList.toggle("plain", !marks.checked);
  };
  const describeView = () => ({
    search: byId("search").value,
    sort: byId("sort").selectedIndex > 0 ? byId("sort").value : "",
    show: byId("filter").selectedIndex > 0 ? byId("filter").value : "",
    map: opacity.value === opacity.defaultValue ? "" : opacity.value,
    marks: marks.checked ? "" : "off",
  });
  const view = keepView(describeView, (get) => {
    byId("search").value = get("search");
    choose(byId("sort"), get("sort"));
    choose(byId("filter"), get("show"));
    opacity.value = String(wholeNumber(get("map"), 0, 100, opacity.defaultValue));
    marks.checked = get("marks") !== "off";
    shade();
    arrange();
  });
  const changed = { opacity: shade, marks: shade, search: arrange, sort: arrange, filter: arrange };
  for (const [id, act] of Object.entries(changed)) {
    for (const kind of ["input", "change"]) {
      byId(id).addEventListener(kind, () => {
        act();
        view.note(id);
      });
    }
  }
  document.querySelector(".controls").addEventListener("submit", (event) => event.preventDefault());
  view.start();
})();
