(() => {
  "use strict";
  const PAGE = 100;
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);
  const words = (name) => name.replaceAll("_", " ");
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  // a filter above a table hides rows that do not hold its words
  document.querySelectorAll(".table-filter").forEach((form) => {
    const rows = [...byId(form.dataset.table).tBodies[0].rows];
    const [text, real] = form.querySelectorAll("input");
    const apply = () => {
      const wanted = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row) => {
        const content = row.textContent.toLowerCase();
        row.hidden = (real.checked && row.dataset.real === "0") ||
          !wanted.every((word) => content.includes(word));
        shown += !row.hidden;
      });
      form.querySelector("output").textContent = `${shown} of ${rows.length} shown`;
    };
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", apply);
    form.hidden = false;
    apply();
  });

  const explorer = byId("explorer");
  if (!explorer) return;
  const data = JSON.parse(byId("explorer-data").textContent);
  const { columns, coded, score, region, pictures } = data;
  const size = score.length;
  const value = (name, row) =>
    name in coded ? coded[name].names[coded[name].codes[row]] ?? null : columns[name][row];
  const haystack = Array.from({ length: size }, (_, row) =>
    [...Object.keys(columns), ...Object.keys(coded)]
      .map((name) => value(name, row) ?? "").join(" ").replaceAll("_", " ").toLowerCase());
  const place = new Map(columns.finding.map((id, row) => [id, row]));

  const [list, more, detail, search, sort] = ["list", "more", "detail", "search", "sort"].map(byId);
  const selects = [...explorer.querySelectorAll("[data-filter]")];
  let found = [];      // rows that pass the filters, sorted
  let drawn = 0;       // how many of them stand in the list
  let active = -1;     // the row that Tab reaches
  let opened = -1;     // the row in the detail
  let opener = null;   // where the focus goes back to
  let overlay = 50;    // strength of the label over its picture, percent
  let predicted = false; // whether the model's label is drawn instead of the given one

  const make = (tag, attributes = {}, ...children) => {
    const one = document.createElement(tag);
    Object.entries(attributes).forEach(([name, text]) => one.setAttribute(name, text));
    one.append(...children.filter((child) => child !== null));
    return one;
  };
  const label = (row) => {
    const category = value("category", row);
    return `${value("task", row)}${category === null ? "" : `.${category}`}`;
  };
  const change = (row) => {
    const [given, suggested] = [columns.given[row], columns.suggested[row]];
    return given === null && suggested === null ? "" : `${given ?? "nothing"} → ${suggested ?? "?"}`;
  };

  selects.forEach((select) => {
    const { names, codes } = coded[select.dataset.filter];
    const counts = new Map();
    codes.forEach((code) => counts.set(code, (counts.get(code) || 0) + 1));
    names.forEach((name, code) =>
      select.append(make("option", { value: code }, `${words(name)} (${counts.get(code) || 0})`)));
    select.closest("label").hidden = names.length < 2;
  });

  const buttonOf = (row) => list.querySelector(`[data-row="${row}"]`);
  const listed = (row) => {
    const mark = make("span", { class: "score" }, score[row].toFixed(2), make("i"));
    mark.lastChild.style.width = `${100 * score[row]}%`;
    const under = [columns.image_id[row], value("split", row), change(row)].filter(Boolean).join(" · ");
    const button = make("button",
      { type: "button", class: "row", tabindex: "-1", "data-row": row },
      mark,
      make("span", {}, `${capital(words(value("issue", row)))} `, make("code", {}, label(row))),
      make("span", { class: "soft" }, under));
    if (row === opened) button.setAttribute("aria-current", "true");
    return make("li", {}, button);
  };
  const extend = () => {
    const part = found.slice(drawn, drawn + PAGE);
    list.append(...part.map(listed));
    drawn += part.length;
    const left = found.length - drawn;
    more.hidden = left === 0;
    more.textContent = `Show ${Math.min(PAGE, left)} more of ${left.toLocaleString("en")}`;
  };
  const reach = (row) => {
    buttonOf(active)?.setAttribute("tabindex", "-1");
    active = row;
    buttonOf(active)?.setAttribute("tabindex", "0");
  };
  const ORDERS = {
    score: (a, b) => score[b] - score[a] || a - b,
    image: (a, b) => columns.image_id[a].localeCompare(columns.image_id[b], "en", { numeric: true }) ||
      a - b,
    task: (a, b) => label(a).localeCompare(label(b), "en") || a - b,
  };
  const apply = () => {
    const wanted = search.value.toLowerCase().replaceAll("_", " ").split(/\s+/).filter(Boolean);
    const filters = selects.filter((select) => select.value !== "")
      .map((select) => [coded[select.dataset.filter].codes, Number(select.value)]);
    found = [];
    for (let row = 0; row < size; row += 1) {
      if (filters.every(([codes, code]) => codes[row] === code) &&
          wanted.every((word) => haystack[row].includes(word))) found.push(row);
    }
    found.sort(ORDERS[sort.value]);
    list.replaceChildren();
    drawn = 0;
    extend();
    reach(found.includes(opened) ? opened : found[0] ?? -1);
    byId("shown").textContent =
      `${found.length.toLocaleString("en")} of ${size.toLocaleString("en")} findings`;
    if (opened >= 0) {
      // what is open either has new neighbors, or is not among what was asked for any more
      if (found.includes(opened)) fill(opened); else hide();
    }
  };

  const drawing = (row) => {
    const picture = pictures[columns.image_id[row]];
    const stored = picture && !picture.why;
    if (!stored) {
      const why = picture ? picture.why : "picture not on this page";
      return make("div", { class: "drawing missing unknown", role: "img", "aria-label": why },
        make("span", {}, why));
    }
    const part = (tag, attributes) => {
      const one = document.createElementNS(SVG, tag);
      Object.entries(attributes).forEach(([name, text]) => one.setAttribute(name, text));
      return one;
    };
    const root = part("svg", {
      class: "drawing", viewBox: `0 0 ${picture.width} ${picture.height}`, role: "img",
      "aria-label": `${columns.image_id[row]} with its label ${label(row)}`,
    });
    root.append(part("use", { href: `#p${picture.number}` }));
    const task = value("task", row);
    const [known, suffix] = predicted ? [picture.predicted, "-predicted"] : [picture.labels, ""];
    if (known[task]?.drawn) {
      root.append(part("use", {
        class: known[task].outlines ? "outlines" : "over",
        href: `#p${picture.number}-${task}${suffix}`,
      }));
    }
    if (region[row]) {
      const [x, y, right, bottom] = region[row];
      ["region under", "region"].forEach((name) => root.append(part("rect",
        { class: name, x, y, width: Math.max(right - x, 0), height: Math.max(bottom - y, 0) })));
    }
    return root;
  };
  const slider = (root) => {
    const input = make("input", { type: "range", min: 0, max: 100, step: 10, value: overlay });
    const paint = () => root.style.setProperty("--over", overlay / 100);
    input.addEventListener("input", () => { overlay = Number(input.value); paint(); });
    paint();
    return make("label", { class: "strength-of-label" }, "Label over the picture", input);
  };
  const facts = (row, known, other) => {
    const pairs = [
      ["Evidence", columns.evidence[row]],
      ["Given → suggested", change(row)],
      ["What to do", capital(words(value("action", row)))],
      ["Score", `${score[row].toFixed(2)} of 1`],
      ["Image", columns.image_id[row]],
      ["Split, group", `${value("split", row)}, ${columns.group[row]}`],
      ["Labeled by", value("source", row)],
      ["Label", known ? known.words : ""],
      ["Model", other ? other.words : ""],
      ["Id", columns.finding[row]],
    ];
    return make("dl", {}, ...pairs.filter(([, text]) => text).flatMap(([name, text]) => [
      make("dt", {}, name),
      make("dd", name.startsWith("Given") ? { class: "change" } : {}, text),
    ]));
  };
  const step = (by) => {
    const at = found.indexOf(opened);
    const next = found[at + by];
    if (at < 0 || next === undefined) return;
    while (at + by >= drawn) extend();
    open(next);
  };
  // given label or what the model says, where there are predictions
  const choice = (row) => {
    const button = make("button", { type: "button", class: "choice", "aria-pressed": predicted },
      "Show what the model says");
    button.addEventListener("click", () => {
      predicted = !predicted;
      fill(row);
      detail.querySelector(".choice").focus();
    });
    return button;
  };
  const fill = (row) => {
    const picture = pictures[columns.image_id[row]];
    const known = picture?.labels[value("task", row)];
    const other = picture?.predicted[value("task", row)];
    const drawn = predicted && other ? other : known;
    const close = make("button", { type: "button" }, "Close");
    close.addEventListener("click", shut);
    const root = drawing(row);
    const legend = drawn?.legend.length ? make("ul", { class: "swatches" },
      ...drawn.legend.map(([name, color]) => {
        const swatch = make("i");
        swatch.style.background = color;
        return make("li", {}, swatch, name);
      })) : null;
    const [before, after] = [["Previous", -1], ["Next", 1]].map(([name, by]) => {
      const button = make("button", { type: "button" }, name);
      button.disabled = found[found.indexOf(row) + by] === undefined;
      button.addEventListener("click", () => {
        step(by);
        // the button was replaced together with the rest of the panel
        const again = [...detail.querySelectorAll(".steps button")][by < 0 ? 0 : 1];
        (again.disabled ? detail : again).focus();
      });
      return button;
    });
    const title = `${capital(words(value("issue", row)))}: ${label(row)}`;
    detail.replaceChildren(
      make("header", {}, make("h3", { id: "detail-title" }, title), close), root,
      ...[root.querySelector(".over") ? slider(root) : null, other && !picture.why ? choice(row) : null,
        legend].filter(Boolean),
      facts(row, known, other), make("div", { class: "steps" }, before, after));
    detail.scrollTop = 0;
  };
  const open = (row) => {
    buttonOf(opened)?.removeAttribute("aria-current");
    opened = row;
    reach(row);
    buttonOf(row)?.setAttribute("aria-current", "true");
    fill(row);
    detail.hidden = false;
    detail.parentElement.classList.add("open");
    history.replaceState(null, "", `#finding=${columns.finding[row]}`);
    keepInBox(buttonOf(row));
  };
  const keepInBox = (button) => {
    if (!button) return;
    const box = button.closest(".list-box");
    const [top, height] = [button.offsetTop - box.offsetTop, button.offsetHeight];
    if (top < box.scrollTop) box.scrollTop = top;
    if (top + height > box.scrollTop + box.clientHeight) box.scrollTop = top + height - box.clientHeight;
  };
  const hide = () => {
    buttonOf(opened)?.removeAttribute("aria-current");
    opened = -1;
    opener = null;
    detail.hidden = true;
    detail.parentElement.classList.remove("open");
    history.replaceState(null, "", "#findings");
  };
  const shut = () => {
    if (opened < 0) return;
    const from = opener?.isConnected ? opener : buttonOf(opened);
    hide();
    from?.focus();
  };

  // from a link or from the address: the finding may be filtered away, or beyond the rows drawn
  const visit = (id, from) => {
    const row = place.get(id);
    if (row === undefined) {
      byId("shown").textContent = `Finding ${id} is not on this page; look it up in the file of all.`;
      explorer.scrollIntoView();
      return;
    }
    if (!found.includes(row)) {
      byId("filters").reset();
      apply();
    }
    while (found.indexOf(row) >= drawn) extend();
    opener = from;
    open(row);
    explorer.scrollIntoView();
    detail.focus({ preventScroll: true });
  };
  const PREFIX = "#finding=";
  const wanted = () =>
    location.hash.startsWith(PREFIX) ? decodeURIComponent(location.hash.slice(PREFIX.length)) : null;

  document.addEventListener("click", (event) => {
    const link = event.target.closest(`a[href^="${PREFIX}"]`);
    if (!link) return;
    event.preventDefault();
    visit(decodeURIComponent(link.getAttribute("href").slice(PREFIX.length)), link);
  });
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    opener = button;
    open(Number(button.dataset.row));
    // Enter and a click both come here; only who types is taken into the panel
    if (event.detail === 0 || getComputedStyle(detail).position === "fixed") detail.focus();
  });
  list.addEventListener("keydown", (event) => {
    const at = found.indexOf(active);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: found.length - 1 }[event.key];
    if (to === undefined || found[to] === undefined) return;
    event.preventDefault();
    while (to >= drawn) extend();
    reach(found[to]);
    buttonOf(active).focus({ preventScroll: true });
    keepInBox(buttonOf(active));
    if (opened >= 0) open(active);
  });
  // where the panel covers the page, Tab stays inside it
  detail.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" || getComputedStyle(detail).position !== "fixed") return;
    const stops = [...detail.querySelectorAll("button:not(:disabled), input")];
    const edge = event.shiftKey ? stops[0] : stops[stops.length - 1];
    if (document.activeElement !== edge && !(event.shiftKey && document.activeElement === detail)) return;
    event.preventDefault();
    (event.shiftKey ? stops[stops.length - 1] : stops[0]).focus();
  });
  more.addEventListener("click", () => {
    const first = found[drawn];
    extend();
    reach(first);
    buttonOf(first).focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && opened >= 0) {
      event.preventDefault();
      shut();
    } else if (event.key === "/" && !event.ctrlKey && !event.metaKey &&
        !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      event.preventDefault();
      search.focus();
    }
  });
  const form = byId("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  window.addEventListener("hashchange", () => { if (wanted() !== null) visit(wanted(), null); });

  byId("plain-findings").style.display = "none";
  explorer.hidden = false;
  apply();
  if (wanted() !== null) visit(wanted(), null);
})();
