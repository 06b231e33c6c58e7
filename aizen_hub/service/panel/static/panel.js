"use strict";
// What the pages do besides htmx: times in the reader's zone, the search key, tokens in people fields, files into text
// fields, copying, ticking all, toasts. Every page works without it.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (number) => String(number).padStart(2, "0");

// Write a time in the reader's zone; its title keeps the time in UTC.
function localize(element) {
  const value = new Date(element.dateTime);
  if (Number.isNaN(value.getTime())) return;
  const year = value.getFullYear() === new Date().getFullYear() ? "" : ` ${value.getFullYear()}`;
  const day = `${value.getDate()} ${MONTHS[value.getMonth()]}${year}`;
  const clock = `${two(value.getHours())}:${two(value.getMinutes())}`;
  element.textContent = { day, clock, time: `${day}, ${clock}` }[element.dataset.az] ?? element.textContent;
}

// Turn the text field of names into tokens; a hidden field keeps the names, separated by commas.
function makeTokens(box) {
  const field = box.querySelector("input[data-suggest]");
  if (!field || box.dataset.ready) return;
  box.dataset.ready = "yes";
  const kept = document.createElement("input");
  kept.type = "hidden";
  kept.name = field.name;
  const list = document.createElement("datalist");
  list.id = `${field.id}-names`;
  box.append(kept, list);
  field.removeAttribute("name");
  field.setAttribute("list", list.id);
  const required = field.required;
  const names = [];

  function show() {
    kept.value = [...names, field.value.trim()].filter(Boolean).join(", ");
    field.required = required && !kept.value;
  }
  function changed() {
    show();
    kept.dispatchEvent(new Event("change", { bubbles: true }));
  }
  function add(text, announce = true) {
    for (const name of text.split(/[,;\n]+/).map((part) => part.trim()).filter(Boolean)) {
      if (names.includes(name)) continue;
      names.push(name);
      const token = document.createElement("span");
      token.className = "az-token";
      token.textContent = name;
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `Remove ${name}`);
      button.textContent = "×";
      button.addEventListener("click", () => {
        names.splice(names.indexOf(name), 1);
        token.remove();
        field.focus();
        changed();
      });
      token.append(button);
      box.insertBefore(token, field);
    }
    field.value = "";
    list.replaceChildren();
    if (announce) changed();
    else show();
  }

  let timer = 0;
  field.addEventListener("input", () => {
    const picked = [...list.options].some((option) => option.value === field.value);
    if (picked || /[,;\n]/.test(field.value)) {
      add(field.value);
      return;
    }
    show();
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const text = field.value.trim();
      if (!text) return;
      const address = new URL(field.dataset.suggest, location.href);
      address.searchParams.set("q", text);
      const response = await fetch(address, { headers: requestHeaders() }).catch(() => null);
      if (!response || !response.ok || field.value.trim() !== text) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      list.replaceChildren(...[...page.querySelectorAll("option")].map((option) => document.adoptNode(option)));
    }, 200);
  });
  field.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text");
    if (/[,;\n]/.test(text)) {
      event.preventDefault();
      add(field.value + text);
    }
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && field.value.trim()) {
      event.preventDefault();
      add(field.value);
    } else if (event.key === "Backspace" && !field.value && names.length) {
      box.querySelectorAll(".az-token button")[names.length - 1].click();
    }
  });
  field.addEventListener("blur", () => field.value.trim() && add(field.value));
  // What the page came with is no change.
  if (field.value.trim()) add(field.value, false);
}

// The headers of a request of our own script; the token tells it from scripts of other pages.
function requestHeaders() {
  return { "HX-Request": "true", ...JSON.parse(document.body.getAttribute("hx-headers") ?? "{}") };
}

// A day ends in the reader's zone: the hidden field beside a date holds that moment.
function setMoment(hidden) {
  const field = hidden.closest("fieldset").querySelector(`input[name="${hidden.dataset.endOf}"]`);
  const [year, month, day] = field.value.split("-").map(Number);
  hidden.value = field.value ? new Date(year, month - 1, day + 1).toISOString() : "";
}

// The end of a role that a form changes. Where it is no end of a day here, the day stays that of UTC, and so its moment.
function showEnd(hidden) {
  const field = hidden.closest("fieldset").querySelector(`input[name="${hidden.dataset.endOf}"]`);
  if (!field.dataset.ends) return setMoment(hidden);
  const end = new Date(field.dataset.ends);
  if (end.getHours() || end.getMinutes() || end.getSeconds()) return;
  const last = new Date(end.getTime() - 1000);
  field.value = `${last.getFullYear()}-${two(last.getMonth() + 1)}-${two(last.getDate())}`;
  setMoment(hidden);
}

function prepare(root) {
  root.querySelectorAll("time[data-az]").forEach(localize);
  root.querySelectorAll("[data-tokens]").forEach(makeTokens);
  root.querySelectorAll("[data-copy], [data-dismiss], [data-file-for], [data-tick-all]").forEach((element) => {
    element.hidden = false;
  });
  root.querySelectorAll("input[data-end-of]").forEach(showEnd);
  root.querySelectorAll("input[data-here]").forEach((field) => {
    field.value = location.href;
  });
}

function showToast(text) {
  const toast = document.createElement("div");
  toast.className = "az-toast";
  toast.setAttribute("role", "alert");
  toast.textContent = text;
  document.getElementById("az-toasts").replaceChildren(toast);
}

document.addEventListener("click", async (event) => {
  const dismiss = event.target.closest("[data-dismiss]");
  if (dismiss) dismiss.closest(".az-toast").remove();
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent);
    copy.textContent = "Copied";
  }
  const { tickAll } = event.target.closest("[data-tick-all]")?.dataset ?? {};
  if (tickAll) document.querySelectorAll(`input[type=checkbox][name="${tickAll}"]`).forEach((box) => (box.checked = true));
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.getElementById("az-search");
  if (search && search.offsetParent) {
    event.preventDefault();
    search.focus();
  }
});

document.addEventListener("input", (event) => {
  const { selects } = event.target.dataset;
  if (selects && event.target.value) {
    const choice = event.target.closest("fieldset").querySelector(`input[type=radio][value="${selects}"]`);
    if (choice) choice.checked = true;
  }
  event.target.closest("fieldset")?.querySelectorAll(`input[data-end-of="${CSS.escape(event.target.name)}"]`).forEach(setMoment);
});

document.addEventListener("change", async (event) => {
  const { fileFor } = event.target.closest("[data-file-for]")?.dataset ?? {};
  const [file] = (fileFor && event.target.files) || [];
  if (!file) return;
  const field = document.getElementById(fileFor);
  field.value = await file.text();
  field.dispatchEvent(new Event("change", { bubbles: true }));
});

// A form that is being sent needs no preview any more: what the preview is about may be gone before it is asked for.
const sentForms = new Set();
document.addEventListener("submit", (event) => {
  if (!event.defaultPrevented) sentForms.add(event.target);
});
window.addEventListener("pageshow", () => sentForms.clear());
for (const name of ["htmx:beforeRequest", "htmx:beforeOnLoad"]) {
  document.addEventListener(name, (event) => {
    if (sentForms.has(event.detail.elt.closest("form"))) event.preventDefault();
  });
}

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target } = event.detail;
  // A row that was opened below another one goes when the next one is opened, and not when a part of it is replaced.
  if (xhr.status === 200 && !target.closest("tr[data-single]")) document.querySelectorAll("tr[data-single]").forEach((row) => row.remove());
  if (xhr.status < 400 || xhr.status === 422) return;
  if (xhr.getResponseHeader("HX-Retarget")) event.detail.shouldSwap = true;
  else showToast("Not saved: the service does not answer. What you typed is still here.");
});
document.addEventListener("htmx:sendError", () => {
  showToast("Not saved: the service does not answer. What you typed is still here.");
});
document.addEventListener("htmx:afterSettle", (event) => {
  prepare(document);
  const { elt } = event.detail;
  // A row that was opened below another one is its sibling.
  const focused = elt.querySelector("[data-focus]") ?? elt.nextElementSibling?.querySelector("tr[data-single] [data-focus]");
  if (focused) focused.focus();
});

prepare(document);
document.querySelector("#errors[data-focus]")?.focus();
