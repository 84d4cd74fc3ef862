"use strict";
/* What a page shows, in its address behind the #: a view can be shared, reloaded and gone back to. */
const LONGEST = 4000;  // characters of a text that an address may bring
const CALM = 400;  // milliseconds; browsers refuse a hundred new addresses in half a minute

/* Takes an option of a list that there is, or the first one. */
const choose = (select, value) => {
  const at = [...select.options].findIndex((option) => option.value === value);
  select.selectedIndex = Math.max(at, 0);
};
/* Takes a whole number between two ends, or the one that counts without it. */
const wholeNumber = (text, low, high, otherwise) => {
  const number = /^[0-9]{1,6}$/.test(text) ? Number(text) : NaN;
  return number >= low && number <= high ? number : otherwise;
};

/* Keeps a view in the address. `describe` gives it as texts by short names, empty for what is as at
   the start; `show` takes such texts by a function, and leaves out what there is not. `start` shows
   the address's view and tells whether there is any; `note` is called with a control's name whenever
   a person changed something: what one control changes at once becomes one step back. */
const keepView = (describe, show) => {
  const parse = () => {  // null for a link to a part of the page, which leaves the view as it is
    const text = location.hash.slice(1);
    return text === "" || text.includes("=") ? new URLSearchParams(text) : null;
  };
  const write = () => new URLSearchParams(Object.entries(describe()).filter(([, text]) => text !== "")).toString();
  let [shown, waiting, last, timer] = ["", null, null, null];
  const flush = () => {
    clearTimeout(timer);
    if (waiting !== null && waiting !== shown) {
      shown = waiting;
      try {
        history.pushState(null, "", waiting === "" ? location.href.split("#")[0] : `#${waiting}`);
      } catch { /* Not allowed here: the page does without. */ }
    }
    waiting = null;
  };
  const take = (view) => {
    waiting = null;
    show((name) => (view.get(name) ?? "").slice(0, LONGEST));
    shown = write();
    return shown !== "";
  };
  addEventListener("popstate", () => {
    const view = parse();
    if (view) take(view);
  });
  const note = (control) => {
    if (control !== last) flush();
    [waiting, last] = [write(), control];
    clearTimeout(timer);
    timer = setTimeout(flush, CALM);
  };
  return { note, start: () => take(parse() ?? new URLSearchParams()), address: () => `#${write()}` };
};
