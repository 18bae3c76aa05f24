// An enhancement: counts the time down, says when it is nearly up, and keeps a second click from asking twice.
"use strict";

const countdown = document.getElementById("countdown");
const form = document.getElementById("decision");
// The server's clock decides; only the time since the page came is counted here.
const endsMs = Date.now() + Number(countdown.dataset.seconds) * 1000;
let sent = false;
let timer = 0;

function show() {
  const left = Math.ceil((endsMs - Date.now()) / 1000);
  if (left > 0) {
    const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    countdown.textContent = countdown.dataset.left.replace("{time}", time);
    // Said once: a text that changes every second must not be read out every second.
    const soon = document.getElementById("soon");
    if (left < 60 && soon.textContent === "") soon.textContent = countdown.dataset.soon;
    return;
  }
  clearInterval(timer);
  countdown.textContent = countdown.dataset.left.replace("{time}", "0:00");
  document.getElementById("soon").textContent = "";
  const ranOut = document.getElementById("ran-out");
  ranOut.textContent = ranOut.dataset.text;
  for (const button of form.querySelectorAll("button")) button.disabled = true;
}

form.addEventListener("submit", (event) => {
  if (sent) event.preventDefault();
  sent = true;
});
// A page that comes back from the history may ask again; the server says if it is too late.
window.addEventListener("pageshow", () => { sent = false; });

timer = setInterval(show, 1000);
show();
