// The page's connection to the server, and what it says of it.
const show = (id, text) => { document.getElementById(id).textContent = text; };
let socket;
let lost = "refused";

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/live/websocket`);
  socket.onopen = () => { lost = "lost"; show("live", "connected"); socket.send("hello"); };
  socket.onmessage = event => show("echo", event.data);
  // A connection that was there comes back: the server may just be starting again.
  socket.onclose = () => { show("live", lost); if (lost === "lost") setTimeout(connect, 500); };
}

document.getElementById("ask").addEventListener("click", () => socket.send("asked"));
connect();
