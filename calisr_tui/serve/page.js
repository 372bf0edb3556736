"use strict";
// textual.js opens a socket at the address below once all is loaded, and sets the classes of the body.
const address = new URL("ws", location.href);
address.protocol = address.protocol.replace("http", "ws");
document.querySelector("#terminal").dataset.sessionWebsocketUrl = address;

window.WebSocket = class extends WebSocket {
  constructor(url) {
    super(url);
    this.addEventListener("close", (event) => {
      document.querySelector("#reason").textContent = event.reason || "The connection was lost.";
    });
  }
};

document.querySelector("#restart").addEventListener("click", () => location.reload());
