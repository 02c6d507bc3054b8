"use strict";
(() => {
  const said = document.getElementById("said");
  const key = (row, index) => {
    const cell = row.cells[index];
    const number = cell.dataset.sort;
    return number === undefined ? cell.textContent.trim() : Number(number);
  };
  const compare = (a, b) => {
    const left = typeof a === "number", right = typeof b === "number";
    if (left && right) return a - b;
    if (left !== right) return left ? -1 : 1;
    return a.localeCompare(b, "en", { numeric: true });
  };
  const sort = (table, index, header) => {
    const falling = header.getAttribute("aria-sort") === "ascending";
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row, index), row]);
    rows.sort((a, b) => (falling ? compare(b[0], a[0]) : compare(a[0], b[0])));
    table.querySelectorAll("th[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", falling ? "descending" : "ascending");
    body.append(...rows.map((row) => row[1]));
    said.textContent = `Sorted by ${header.textContent.trim()}, ${falling ? "descending" : "ascending"}`;
  };
  document.querySelectorAll("figure.table table").forEach((table) => {
    table.tHead.querySelectorAll("th").forEach((header, index) => {
      header.querySelector("button").addEventListener("click", () => sort(table, index, header));
    });
  });
  const all = document.querySelectorAll("#examples details");
  const button = document.getElementById("open-all");
  if (button && all.length) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const open = ![...all].every((one) => one.open);
      all.forEach((one) => { one.open = open; });
      button.textContent = open ? "Close all" : "Open all";
    });
  }
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));
  document.addEventListener("play", (event) => {
    document.querySelectorAll("audio").forEach((one) => { if (one !== event.target) one.pause(); });
  }, true);
})();
