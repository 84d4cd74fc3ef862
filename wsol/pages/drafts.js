"use strict";
/* The drafts: one threshold for the boxes of all images. Pictures are read when they come in sight. */
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const get = (id) => document.getElementById(id);
  const drafts = JSON.parse(get("drafts").textContent);
  const { thresholds } = drafts;
  const images = [...document.querySelectorAll("script.image-facts")].map((script) => JSON.parse(script.textContent));

  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  /* Boxes are written down at the levels where they change: the last change up to a level holds. */
  const at = (changes, level) => {
    let low = 0;
    let high = changes.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (changes[middle][0] <= level) low = middle;
      else high = middle;
    }
    return changes[low];
  };
  const outline = (draft, change) => {
    const [left, top, right, bottom] = draft.region;
    const x = (edge) => (edge * (right - left)) / draft.side + left;
    const y = (edge) => (edge * (bottom - top)) / draft.side + top;
    let path = "";
    for (let i = 1; i < change.length; i += 4) {
      path += `M${x(change[i])} ${y(change[i + 1])}H${x(change[i + 2])}V${y(change[i + 3])}H${x(change[i])}Z`;
    }
    return path;
  };

  /* One card for each class of an image. */
  const makeCard = (image, index, rank) => {
    const draft = image.classes[rank];
    const item = make("li");
    const row = make("div", "row");
    const cell = make("div", "cell");
    const frame = make("div", "frame");
    frame.style.setProperty("--ratio", Math.min(8, Math.max(1 / 8, image.width / image.height)));
    const layer = document.createElementNS(SVG, "svg");
    layer.setAttribute("viewBox", `0 0 ${image.width} ${image.height}`);
    layer.setAttribute("preserveAspectRatio", "none");
    layer.setAttribute("aria-hidden", "true");
    const paths = ["halo", "predicted"].map((name) => {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", name);
      layer.append(path);
      return path;
    });
    frame.append(layer);
    cell.append(frame);
    row.append(cell);
    const name = make("bdi", "name", draft.name);
    name.title = draft.name;
    const file = make("bdi", "file", image.file);
    file.title = image.path;
    const told = make("span");
    item.append(row, name, make("span", "soft", `${draft.percent}, `), told, file);
    return { index, rank, image, draft, item, frame, paths, told, change: null, regions: null };
  };
  const cards = images.flatMap((image, index) => (image.error === undefined ? image.classes.map((_, rank) => makeCard(image, index, rank)) : []));
  get("cards").append(...cards.map((card) => card.item));

  const picture = (name, source) => {
    const shown = make("img", name);
    shown.alt = "";
    shown.decoding = "async";
    shown.loading = "lazy";
    shown.src = source;
    return shown;
  };
  const showPictures = (card) => {
    const pictures = JSON.parse(get(`pictures-${card.index}`).textContent);
    const [left, top, right, bottom] = card.draft.region;
    const { width, height } = card.image;
    const heat = picture("map", pictures.maps[card.rank]);
    heat.style.left = `${(100 * left) / width}%`;
    heat.style.top = `${(100 * top) / height}%`;
    heat.style.width = `${(100 * (right - left)) / width}%`;
    heat.style.height = `${(100 * (bottom - top)) / height}%`;
    const below = pictures.image === null ? make("div", "gone", `No picture: ${pictures.why}`) : picture("photo below-map", pictures.image);
    card.frame.prepend(below, heat);
  };
  const byItem = new Map(cards.map((card) => [card.item, card]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        seen.unobserve(entry.target);
        showPictures(byItem.get(entry.target));
      }
    }
  }, { rootMargin: "600px" });
  for (const card of cards) seen.observe(card.item);

  /* The slider. */
  const slider = get("threshold");
  slider.max = String(thresholds.length - 1);
  const taken = thresholds.indexOf(drafts.threshold);
  get("taken").style.setProperty("--at", String(taken / (thresholds.length - 1)));
  const count = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;
  const wanted = { threshold: drafts.threshold, score: drafts.minScore };

  const draw = () => {
    wanted.threshold = thresholds[Number(slider.value)];
    slider.setAttribute("aria-valuetext", String(wanted.threshold));
    get("value").textContent = String(wanted.threshold);
    for (const card of cards) {
      const level = Math.trunc(wanted.threshold * card.draft.peak);
      const change = at(card.draft.boxes, level);
      const [, regions] = at(card.draft.regions, level);
      if (change !== card.change) {
        card.change = change;
        const path = outline(card.draft, change);
        for (const each of card.paths) each.setAttribute("d", path);
      }
      if (regions !== card.regions) {
        card.regions = regions;
        card.told.textContent = regions === 0 ? "no box" : count(regions, "region");
      }
    }
    tell();
  };

  /* Filters. */
  const fill = (select, options) => {
    for (const [key, text] of options) {
      const option = make("option", "", text);
      option.value = key;
      select.append(option);
    }
  };
  const classes = [...new Set(cards.map((card) => card.draft.name))].sort((a, b) => a.localeCompare(b));
  fill(get("class"), [["", "all classes"], ...classes.map((name, index) => [String(index), name])]);
  fill(get("regions"), [["", "any number"], ["0", "none: no box"], ["1", "one"], ["2", "two or more"], ["5", "five or more"]]);
  const keeps = (number, choice) => choice === "" || (Number(choice) < 2 ? number === Number(choice) : number >= Number(choice));

  const tell = () => {
    const name = get("class").value;
    const regions = get("regions").value;
    let [shown, boxes, without] = [0, 0, 0];
    for (const card of cards) {
      const hidden = card.draft.score < wanted.score || !keeps(card.regions, regions) || (name !== "" && card.draft.name !== classes[Number(name)]);
      if (card.item.hidden !== hidden) card.item.hidden = hidden;
      if (hidden) continue;
      const own = (card.change.length - 1) / 4;
      shown += 1;
      boxes += own;
      without += own === 0;
    }
    const all = shown === cards.length ? count(shown, "draft") : `${shown} of ${count(cards.length, "draft")}`;
    get("count").textContent = `${all}: ${boxes === 1 ? "1 box" : `${boxes} boxes`}${without ? `, ${without} without a box` : ""}`;
    get("nothing").hidden = shown > 0 || cards.length === 0;
    const score = wanted.score > 0;
    get("command").textContent = drafts.command
      ? `${drafts.command} --threshold ${wanted.threshold}${score ? ` --min-score ${wanted.score}` : ""}`
      : `threshold=${wanted.threshold}${score ? `, min_score=${wanted.score}` : ""}`;
    get("copied").textContent = "";
    for (const link of document.querySelectorAll("a.part")) link.hash = view.address();
  };

  const move = (position) => {
    slider.value = String(position);
    draw();
  };
  const shade = () => document.body.style.setProperty("--opacity", String(get("map").checked ? drafts.opacity : 0));
  const describeView = () => ({
    threshold: wanted.threshold === drafts.threshold ? "" : String(wanted.threshold),
    class: get("class").value === "" ? "" : classes[Number(get("class").value)],
    score: wanted.score === drafts.minScore ? "" : String(wanted.score),
    regions: get("regions").value,
    map: get("map").checked ? "on" : "",
  });
  const setFilters = (read) => {
    const name = classes.indexOf(read("class"));
    choose(get("class"), name < 0 ? "" : String(name));
    choose(get("regions"), read("regions"));
    const score = read("score") === "" ? NaN : Number(read("score"));
    wanted.score = score >= 0 && score <= 1 ? score : drafts.minScore;
    get("score").value = String(wanted.score);
    get("map").checked = read("map") === "on";
    shade();
  };
  const view = keepView(describeView, (read) => {
    setFilters(read);
    const named = read("threshold") === "" ? -1 : thresholds.indexOf(Number(read("threshold")));
    move(named < 0 ? taken : named);
  });
  const changed = (id, act) => () => {
    act();
    view.note(id);
  };
  slider.addEventListener("input", changed("threshold", draw));
  get("back").addEventListener("click", changed("back", () => move(taken)));
  get("score").addEventListener("input", () => {
    if (get("score").checkValidity()) {
      wanted.score = Number(get("score").value);
      tell();
      view.note("score");
    }
  });
  for (const id of ["class", "regions"]) get(id).addEventListener("change", changed(id, tell));
  get("map").addEventListener("change", changed("map", () => {
    shade();
    tell();
  }));
  get("reset").addEventListener("click", changed("reset", () => {
    setFilters(() => "");
    tell();
  }));

  get("copy").addEventListener("click", async () => {
    const text = get("command").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // not allowed: the old way, by a selection
      getSelection().selectAllChildren(get("command"));
      if (!document.execCommand("copy")) {
        get("copied").textContent = "Selected: copy it with your keyboard";
        return;
      }
    }
    get("copied").textContent = "Copied";
  });

  /* What could not be read. */
  const unreadable = images.filter((image) => image.error !== undefined);
  if (unreadable.length > 0) {
    const list = get("unreadable");
    list.hidden = false;
    list.open = unreadable.length <= 5;
    list.querySelector("summary").textContent = `${count(unreadable.length, "image")} could not be read`;
    list.querySelector("ul").append(...unreadable.map((image) => {
      const line = make("li");
      line.append(make("bdi", "", image.path), ": ", make("bdi", "", image.error));
      return line;
    }));
  }

  view.start();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
