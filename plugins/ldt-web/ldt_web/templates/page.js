"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, i) => {
    const cell = row.cells[i];
    if (!cell) return "";
    const exact = cell.dataset.v;
    return exact !== undefined && exact !== "" && !isNaN(exact) ? Number(exact) : exact || cell.textContent;
  };
  if (table.tBodies[0].rows.length > 1) heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => {
        const [x, y] = [value(a, i), value(b, i)];
        if (typeof x === "number" && typeof y === "number") return down ? y - x : x - y;
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        return String(x).localeCompare(String(y)) * (down ? -1 : 1);
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    });
  });
  const save = document.createElement("button");
  save.type = "button";
  save.className = "save";
  save.textContent = "Save as CSV";
  save.setAttribute("aria-label", "Save as CSV: " + table.caption.textContent);
  save.addEventListener("click", () => {
    const quote = (cell) => {
      const exact = cell.dataset.v;
      let text = exact !== undefined ? exact : cell.textContent.trim();
      if (exact === undefined && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
      return '"' + text.replace(/"/g, '""') + '"';
    };
    const lines = [...table.rows].map((row) => [...row.cells].map(quote).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff" + lines.join("\r\n")], { type: "text/csv" }));
    link.download = (table.caption.textContent.trim().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || "table") + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  table.closest(".scroll").after(save);
}
