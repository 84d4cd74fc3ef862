"use strict";
/* The gallery: sort, filter, turn pages, look closer. Pictures are read when they are shown. */
(() => {
  const PER_PAGE = 24;
  const SVG = "http://www.w3.org/2000/svg";
  const get = (id) => document.getElementById(id);
  const report = JSON.parse(get("report").textContent);
  const { runs, images } = report;
  images.forEach((image, index) => { image.index = index; });
  const state = { page: 0, chosen: images.slice(), at: -1, step: null };

  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const draw = (tag, name, attributes) => {
    const element = document.createElementNS(SVG, tag);
    if (name) element.setAttribute("class", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const payload = (index) => JSON.parse(get(`image-${index}`).textContent);
  const edges = (box) => box.map((edge) => edge.toFixed(1)).join(", ");
  const right = (image, run) => image.runs[run].error === "hit";

  /* One picture: the photograph, the map over it, outline and boxes as vectors on top. */
  const frame = (image, shown, run, step) => {
    const own = image.runs[run];
    const maps = shown.runs[run];
    const width = image.width || 1;
    const height = image.height || 1;
    const cell = make("div", "cell");
    const box = make("div", "frame");
    box.style.setProperty("--ratio", image.width ? Math.min(8, Math.max(1 / 8, width / height)) : 4 / 3);
    const map = maps && (step !== null && maps.steps ? maps.steps[step] : maps);
    if (shown.image) {
      const photo = make("img", map ? "photo below-map" : "photo");
      photo.decoding = "async";
      photo.alt = "";
      if (!image.width) photo.addEventListener("load", () => {
        box.style.setProperty("--ratio", photo.naturalWidth / photo.naturalHeight);
      });
      photo.src = shown.image;
      box.append(photo);
    } else box.append(make("div", "gone", `No picture: ${shown.why}`));
    const layer = draw("svg", "", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    if (map) {
      const [x0, y0, x1, y1] = maps.region;
      const heat = make("img", "map");
      heat.alt = "";
      heat.decoding = "async";
      heat.src = map.map;
      heat.style.left = `${100 * x0}%`;
      heat.style.top = `${100 * y0}%`;
      heat.style.width = `${100 * (x1 - x0)}%`;
      heat.style.height = `${100 * (y1 - y0)}%`;
      box.append(heat);
      if (map.contour) {
        const toImage = `translate(${x0 * width} ${y0 * height}) scale(${(x1 - x0) * width / report.units} ${(y1 - y0) * height / report.units})`;
        for (const name of ["halo", "contour"]) layer.append(draw("path", name, { d: map.contour, transform: toImage }));
      }
    }
    const rectangle = ([x0, y0, x1, y1], name) => {
      for (const kind of ["halo", name]) {
        layer.append(draw("rect", kind, { x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0) }));
      }
    };
    image.true.forEach((each) => rectangle(each, "true"));
    const predicted = map && step !== null && maps.steps ? map.box : own.box;
    if (predicted) rectangle(predicted, "predicted");
    box.append(layer);
    cell.append(box);
    return cell;
  };

  const verdict = (image, run) => {
    const own = image.runs[run];
    if (own.unreadable) return ["could not be read", false];
    if (!report.ofBoxes) return [own.pxap === null ? "no object" : `PxAP ${own.pxap.toFixed(1)}`, own.pxap !== null];
    return [`IoU ${own.iouText}, ${own.error}`, own.error === "hit"];
  };

  const describe = (image) => {
    const parts = [image.class];
    runs.forEach((run, index) => parts.push(`${runs.length > 1 ? `${run.name}: ` : ""}${verdict(image, index)[0]}`));
    return parts.join(", ");
  };

  const card = (image, index) => {
    const item = make("li");
    const button = make("button", "card");
    button.type = "button";
    button.setAttribute("aria-label", `${describe(image)}. Open ${image.id}`);
    const shown = payload(image.index);
    const row = make("div", "row");
    runs.forEach((_, index) => row.append(frame(image, shown, index, null)));
    button.append(row, make("span", "name", image.class));
    runs.forEach((run, index) => {
      const [text, good] = verdict(image, index);
      const line = make("span", "facts-of");
      if (runs.length > 1) line.append(`${run.name}: `);
      const own = image.runs[index];
      const said = make("span", `verdict ${good ? "good" : "bad"}`, text);
      if (!own.unreadable && own.error) said.title = report.boxKinds[own.error];
      line.append(said);
      if (own.rank !== null && own.rank > 0 && own.predicted) line.append(make("span", "soft", ` (taken for ${own.predicted})`));
      button.append(line);
    });
    button.addEventListener("click", () => {
      open(index);
      view.note("image");
    });
    item.append(button);
    return item;
  };

  /* Sorting and filtering. */
  const value = {
    iou: (image, run) => image.runs[run].iou ?? image.runs[run].pxap,
    bestIou: (image, run) => image.runs[run].bestIou,
    score: (image, run) => image.runs[run].score,
    gain: (image) => image.runs[runs.length - 1].iou - image.runs[0].iou,
  };
  const sorts = [["order", "order of the data"], ["iou+", report.ofBoxes ? "worst IoU first" : "worst PxAP first"], ["iou-", report.ofBoxes ? "best IoU first" : "best PxAP first"]];
  if (report.ofBoxes) sorts.push(["bestIou+", "worst best IoU first"]);
  if (images.some((image) => image.runs.some((own) => own.score !== null))) sorts.push(["score+", "least probable first"], ["score-", "most probable first"]);
  sorts.push(["id", "file name"], ["class", "class"]);
  if (runs.length > 1 && report.ofBoxes) {
    const [from, to] = [runs[0].name, runs[runs.length - 1].name];
    sorts.push(["gain-", `${to} gains most over ${from}`], ["gain+", `${to} loses most to ${from}`]);
  }
  const outcomes = [["", "all images"]];
  if (report.ofBoxes) {
    outcomes.push(["wrong", "all but hit"]);
    for (const [kind, meaning] of Object.entries(report.boxKinds)) outcomes.push([kind, kind, meaning]);
  }
  if (images.some((image) => image.runs.some((own) => own.rank !== null))) outcomes.push(["misclassified", "misclassified"]);
  if (images.some((image) => image.runs.some((own) => own.unreadable))) outcomes.push(["unreadable", "could not be read"]);
  const kept = {
    wrong: (own) => own.error !== "hit",
    misclassified: (own) => own.rank !== 0,
    unreadable: (own) => Boolean(own.unreadable),
  };
  const differs = [["", "all images"], ["any", "differ: some right, some not"]];
  runs.forEach((run, index) => differs.push([String(index), `only ${run.name} right`]));

  const fill = (select, options) => {
    for (const [key, text, meaning] of options) {
      const option = make("option", "", text);
      option.value = key;
      if (meaning) option.title = meaning;
      select.append(option);
    }
  };
  fill(get("of-run"), runs.map((run, index) => [String(index), run.name]));
  fill(get("sort"), sorts);
  fill(get("outcome"), outcomes);
  const classes = [...new Set(images.map((image) => image.class))].sort((a, b) => a.localeCompare(b));
  fill(get("class"), [["", "all classes"], ...classes.map((name, index) => [String(index), name])]);
  fill(get("differ"), differs);
  get("run-choice").hidden = runs.length < 2;
  get("differ-choice").hidden = runs.length < 2 || !report.ofBoxes;

  const pick = () => {
    const run = Number(get("of-run").value);
    const outcome = get("outcome").value;
    const wanted = get("class").value;
    const differ = get("differ").value;
    const text = get("text").value.trim().toLowerCase();
    const chosen = images.filter((image) => {
      const own = image.runs[run];
      if (outcome && !(kept[outcome] ? kept[outcome](own) : own.error === outcome)) return false;
      if (wanted && image.class !== classes[Number(wanted)]) return false;
      if (text && !image.id.toLowerCase().includes(text)) return false;
      if (!differ) return true;
      const hits = runs.map((_, index) => right(image, index));
      if (differ === "any") return hits.includes(true) && hits.includes(false);
      return hits.every((hit, index) => hit === (index === Number(differ)));
    });
    const sort = get("sort").value;
    if (sort === "id" || sort === "class") chosen.sort((a, b) => a[sort].localeCompare(b[sort]) || a.index - b.index);
    else if (sort !== "order") {
      const key = value[sort.slice(0, -1)];
      const sign = sort.endsWith("+") ? 1 : -1;
      const number = (image) => key(image, run) ?? (sign > 0 ? Infinity : -Infinity);
      chosen.sort((a, b) => {
        const [one, two] = [number(a), number(b)];
        return one === two ? a.index - b.index : sign * (one < two ? -1 : 1);
      });
    }
    state.chosen = chosen;
    state.page = 0;
  };
  const arrange = () => {
    pick();
    show();
  };

  const show = () => {
    const { chosen } = state;
    const pages = Math.max(1, Math.ceil(chosen.length / PER_PAGE));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const start = state.page * PER_PAGE;
    get("count").textContent = chosen.length === images.length ? `${images.length} images` : `${chosen.length} of ${images.length} images`;
    get("page").textContent = `Page ${state.page + 1} of ${pages}`;
    get("before").disabled = state.page === 0;
    get("after").disabled = state.page === pages - 1;
    const cards = chosen.slice(start, start + PER_PAGE).map((image, row) => card(image, start + row));
    get("nothing").hidden = cards.length > 0;
    get("cards").replaceChildren(...cards);
  };
  const turn = (by) => {
    state.page += by;
    show();
    get("count").scrollIntoView({ block: "nearest" });
  };

  /* One image at full width. */
  const detail = get("detail");
  const facts = (image, run) => {
    const own = image.runs[run];
    const list = make("dl");
    const add = (name, text) => { list.append(make("dt", "", name), make("dd", "", text)); };
    const [text, good] = verdict(image, run);
    const said = make("dd");
    said.append(make("span", `verdict ${good ? "good" : "bad"}`, text));
    if (!own.unreadable && own.error) said.append(`: ${report.boxKinds[own.error]}`);
    list.append(make("dt", "", "Result"), said);
    if (own.unreadable) add("Reason", own.unreadable);
    if (own.mapClass !== null) add("Map of", `${own.mapClass}${own.score === null ? "" : `, probability ${own.scoreText}`}`);
    if (own.predicted !== null) add("Predicted", own.predicted);
    if (own.rank !== null && !own.unreadable) add("True class", own.rank === 0 ? "first of all" : `number ${own.rank + 1} of all`);
    if (report.ofBoxes) {
      add("Box", own.box ? edges(own.box) : "none");
      if (own.bestThreshold !== null) {
        add("Best IoU", `${own.bestIouText} at threshold ${own.bestThreshold.toFixed(3)}`);
      }
    }
    return list;
  };
  const look = () => {
    const image = state.chosen[state.at];
    const shown = payload(image.index);
    get("detail-title").textContent = `${image.class}: ${image.id}`;
    const steps = Math.max(0, ...shown.runs.map((maps) => (maps && maps.steps ? maps.steps.length : 0)));
    if (state.step !== null && state.step >= steps) state.step = null;
    const choice = get("steps");
    choice.replaceChildren();
    if (steps > 1) {
      for (let step = -1; step < steps; step += 1) {
        const button = make("button", "", step < 0 ? "As scored" : `Step ${step + 1}`);
        button.type = "button";
        const wanted = step < 0 ? null : step;
        button.setAttribute("aria-pressed", String(state.step === wanted));
        button.addEventListener("click", () => {
          state.step = wanted;
          look();
          view.note("step");
          choice.children[step + 1].focus();
        });
        choice.append(button, " ");
      }
    }
    const notes = report.crop ? ["Overlaps are measured inside the centre crop, which the map covers."] : [];
    if (image.width) notes.push(`Original ${image.width} × ${image.height} pixels.`);
    if (shown.runs.every((maps) => !maps)) notes.push("No map was kept of this image.");
    if (shown.runs.some((maps) => maps && maps.blank)) notes.push("The map is blank.");
    if (shown.runs.some((maps) => maps && maps.cut)) notes.push("The smallest pieces of the outline are left out.");
    if (state.step !== null) notes.push("All steps share one scale, from their lowest to their highest value; each outline and box is that of the threshold on the step's own range.");
    get("detail-note").textContent = notes.join(" ");
    get("panels").replaceChildren(...runs.map((run, index) => {
      const panel = make("div", "panel");
      const maps = shown.runs[index];
      if (runs.length > 1) panel.append(make("h3", "", run.name));
      panel.append(frame(image, shown, index, state.step));
      if (!maps && !shown.runs.every((each) => !each)) panel.append(make("p", "soft", "No map was kept of this run."));
      if (maps && maps.steps && state.step !== null) {
        const step = maps.steps[state.step];
        panel.append(make("p", "", `After step ${state.step + 1}: ${step.predicted}; the map's class has probability ${step.score}${report.ofBoxes ? `; ${step.box ? `box ${edges(step.box)}` : "no box"}` : ""}`));
      }
      panel.append(facts(image, index));
      return panel;
    }));
    get("previous").disabled = state.at === 0;
    get("next").disabled = state.at === state.chosen.length - 1;
  };
  const open = (index) => {
    state.at = index;
    look();
    if (!detail.open) detail.showModal();
  };
  const move = (by) => {
    const next = state.at + by;
    if (next >= 0 && next < state.chosen.length) {
      open(next);
      view.note("image");
    }
  };
  detail.addEventListener("keydown", (event) => {
    if (event.target.type === "range") return;
    if (event.key === "ArrowRight") move(1);
    else if (event.key === "ArrowLeft") move(-1);
  });
  detail.addEventListener("close", () => {
    if (state.at < 0) return;
    const page = Math.floor(state.at / PER_PAGE);
    if (page !== state.page) {
      state.page = page;
      show();
    }
    const item = get("cards").children[state.at % PER_PAGE];
    if (item) item.firstElementChild.focus();
    view.note("image");
  });
  get("close").addEventListener("click", () => detail.close());
  get("previous").addEventListener("click", () => move(-1));
  get("next").addEventListener("click", () => move(1));

  /* Controls. */
  const sliders = [get("opacity"), get("detail-opacity")];
  const fade = (percentage) => {
    document.body.style.setProperty("--opacity", String(percentage / 100));
    for (const slider of sliders) slider.value = percentage;
  };
  const lists = { run: "of-run", sort: "sort", show: "outcome", agree: "differ" };  // name in the address: id
  const describeView = () => {
    const told = { class: get("class").value && classes[Number(get("class").value)], file: get("text").value };
    for (const [name, id] of Object.entries(lists)) told[name] = get(id).selectedIndex > 0 ? get(id).value : "";
    told.map = sliders[0].value === sliders[0].defaultValue ? "" : sliders[0].value;
    told.page = state.page > 0 ? String(state.page + 1) : "";
    told.image = detail.open ? state.chosen[state.at].id : "";
    told.step = detail.open && state.step !== null ? String(state.step + 1) : "";
    return told;
  };
  const setFilters = (read) => {
    for (const [name, id] of Object.entries(lists)) choose(get(id), read(name));
    choose(get("class"), String(classes.indexOf(read("class"))));
    get("text").value = read("file");
    fade(wholeNumber(read("map"), 0, 100, sliders[0].defaultValue));
    pick();
  };
  const view = keepView(describeView, (read) => {
    setFilters(read);
    state.page = wholeNumber(read("page"), 1, images.length, 1) - 1;
    show();
    state.at = read("image") === "" ? -1 : state.chosen.findIndex((image) => image.id === read("image"));
    state.step = wholeNumber(read("step"), 1, 1000, 0) - 1;
    if (state.step < 0) state.step = null;
    if (state.at >= 0) open(state.at);
    else if (detail.open) detail.close();
  });
  const changed = (id, act) => () => {
    act();
    view.note(id);
  };
  for (const slider of sliders) slider.addEventListener("input", changed("map", () => fade(Number(slider.value))));
  for (const id of [...Object.values(lists), "class"]) get(id).addEventListener("change", changed(id, arrange));
  get("text").addEventListener("input", changed("text", arrange));
  get("before").addEventListener("click", changed("page", () => turn(-1)));
  get("after").addEventListener("click", changed("page", () => turn(1)));
  get("reset").addEventListener("click", changed("reset", () => {
    setFilters(() => "");
    show();
  }));

  /* Tables whose columns sort. */
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = make("button", "", header.textContent);
      button.type = "button";
      header.replaceChildren(button);
      button.addEventListener("click", () => {
        const falls = header.getAttribute("aria-sort") === "ascending" || (column > 0 && !header.hasAttribute("aria-sort"));
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        header.setAttribute("aria-sort", falls ? "descending" : "ascending");
        const key = (row) => row.cells[column].textContent;
        const rows = [...body.rows].sort((a, b) => {
          const [one, two] = [key(a), key(b)];
          const order = column === 0 ? one.localeCompare(two) : (parseFloat(one) || 0) - (parseFloat(two) || 0);
          return falls ? -order : order;
        });
        body.append(...rows);
      });
    });
  }

  document.body.style.setProperty("--card", `${Math.min(15 + 10 * (runs.length - 1), 60)}rem`);
  if (view.start() && !detail.open) get("gallery").scrollIntoView();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
