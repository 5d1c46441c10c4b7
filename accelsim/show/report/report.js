"use strict";
(() => {
  const tip = document.getElementById("tip");
  const told = document.getElementById("told");

  // Tips: the page's own titles, shown at once and also for the keyboard.
  const texts = new WeakMap();
  for (const mark of document.querySelectorAll("[data-mark]")) {
    const title = mark.querySelector("title");
    if (title) {
      texts.set(mark, title.textContent);
      title.remove();
    }
  }

  function showTip(text, x, y) {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, x + 14), innerWidth - box.width - 8);
    const above = y - box.height - 12;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 8 ? above : Math.min(y + 18, innerHeight - box.height - 8)}px`;
  }

  let anchor = null; // what the keyboard has reached; a tip of the pointer's has none

  function hideTip() {
    tip.hidden = true;
    anchor = null;
  }

  function showAt(text, element) {
    const box = element.getBoundingClientRect();
    showTip(text, box.left + box.width / 2, box.top);
    anchor = element;
  }

  function tell(text, element) {
    element.scrollIntoView({ block: "nearest" });
    showAt(text, element);
    told.textContent = text;
  }

  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest?.("[data-mark]");
    if (mark && texts.has(mark)) {
      anchor = null;
      showTip(texts.get(mark), event.clientX, event.clientY);
    } else if (!event.target.closest?.(".map")) hideTip();
  });
  const moved = () => (anchor ? showAt(tip.textContent, anchor) : hideTip());
  document.addEventListener("scroll", moved, { passive: true, capture: true });

  // Arrow keys step through the marks of a figure.
  for (const figure of document.querySelectorAll("[data-steps]")) {
    const marks = [...figure.querySelectorAll("[data-mark]")];
    if (figure.classList.contains("scatter")) {
      marks.sort((one, other) => parseFloat(one.getAttribute("x")) - parseFloat(other.getAttribute("x")));
    }
    let now = -1;
    const leave = () => {
      marks[now]?.classList.remove("on");
      hideTip();
    };
    figure.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") leave();
      if (!step || !marks.length) return;
      event.preventDefault();
      marks[now]?.classList.remove("on");
      now = now < 0 ? (step > 0 ? 0 : marks.length - 1) : (now + step + marks.length) % marks.length;
      marks[now].classList.add("on");
      tell(texts.get(marks[now]), marks[now]);
    });
    figure.addEventListener("blur", leave);
  }

  // Heat maps: a cell's text comes from the list of the map.
  for (const map of document.querySelectorAll(".map")) {
    const rows = Number(map.dataset.rows);
    const columns = Number(map.dataset.columns);
    const values = map.dataset.values.split("|");
    const cursor = map.querySelector(".cursor");
    let row = 0;
    let column = -1;
    const put = () => {
      cursor.removeAttribute("hidden");
      cursor.setAttribute("x", column);
      cursor.setAttribute("y", row);
    };
    const text = () => values[row * columns + column] || "nothing here";
    const leave = () => {
      cursor.setAttribute("hidden", "");
      hideTip();
    };
    map.addEventListener("pointermove", (event) => {
      const box = map.getBoundingClientRect();
      column = Math.min(columns - 1, Math.max(0, Math.floor((columns * (event.clientX - box.left)) / box.width)));
      row = Math.min(rows - 1, Math.max(0, Math.floor((rows * (event.clientY - box.top)) / box.height)));
      put();
      anchor = null;
      showTip(text(), event.clientX, event.clientY);
    });
    map.addEventListener("pointerleave", leave);
    map.addEventListener("blur", leave);
    map.addEventListener("keydown", (event) => {
      const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      if (event.key === "Escape") leave();
      if (!step) return;
      event.preventDefault();
      row = Math.min(rows - 1, Math.max(0, row + step[0]));
      column = Math.min(columns - 1, Math.max(0, column + step[1]));
      put();
      tell(text(), cursor);
    });
  }

  // Tables: ranks of every column are given; what is missing (-1) comes last either way.
  function sorted(count, rank, direction) {
    const order = [...Array(count).keys()];
    return order.sort((one, other) => {
      const left = rank(one);
      const right = rank(other);
      if (left < 0 || right < 0) return (left < 0) - (right < 0) || one - other;
      return direction * (left - right) || one - other;
    });
  }

  for (const table of document.querySelectorAll(".table")) {
    const body = table.querySelector("tbody");
    const heads = [...table.querySelectorAll("th")];
    const source = table.querySelector("script");
    const data = source ? JSON.parse(source.textContent) : null;
    const rows = [...body.rows];
    const ranks = data ? null : rows.map((row) => row.dataset.ranks.split(" ").map(Number));
    const count = data ? data.cells[0].length : rows.length;
    const size = rows.length;
    let order = [...Array(count).keys()];
    let page = 0;

    const draw = () => {
      if (!data) {
        body.append(...order.map((index) => rows[index]));
        return;
      }
      const shown = order.slice(page * size, (page + 1) * size);
      rows.forEach((row, place) => {
        row.hidden = place >= shown.length;
        if (row.hidden) return;
        [...row.cells].forEach((cell, column) => {
          cell.textContent = data.cells[column][shown[place]];
        });
      });
      const [previous, next] = table.querySelectorAll("[data-turn]");
      previous.disabled = page === 0;
      next.disabled = (page + 1) * size >= count;
      const first = (page * size + 1).toLocaleString("en-US");
      const last = (page * size + shown.length).toLocaleString("en-US");
      table.querySelector(".pages span").textContent = `${first} to ${last} of ${count.toLocaleString("en-US")}`;
    };

    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rank = data ? (index) => data.ranks[column][index] : (index) => ranks[index][column];
        order = sorted(count, rank, up ? 1 : -1);
        page = 0;
        draw();
      });
    });
    for (const turn of table.querySelectorAll("[data-turn]")) {
      turn.addEventListener("click", () => {
        page += Number(turn.dataset.turn);
        draw();
        table.querySelector(".scroll").scrollTop = 0;
      });
    }
  }
})();
