"use strict";
// The token is in the fragment, which browsers never send. It leaves this page only in the body of one POST.
const token = decodeURIComponent(location.hash.slice(1));
history.replaceState(null, "", location.pathname);
const form = document.getElementById("form");
const outcome = document.getElementById("outcome");
if (!token) {
  form.hidden = true;
  outcome.textContent = "This link is incomplete. Open the whole link that you received.";
}
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const password = document.getElementById("password").value;
  if (password !== document.getElementById("repeated").value) {
    outcome.textContent = "The two passwords differ.";
    return;
  }
  outcome.textContent = "One moment…";
  try {
    const response = await fetch("api/v1/activate", {
      method: "POST",
      credentials: "omit",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token, password }),
    });
    if (response.ok) {
      form.hidden = true;
      outcome.textContent = "Your account is active. You can sign in now.";
    } else {
      const problem = await response.json();
      outcome.textContent = [problem.detail, problem.remedy].filter(Boolean).join("; ");
    }
  } catch {
    outcome.textContent = "The service does not answer. Try again in a moment; the link stays valid.";
  }
});
