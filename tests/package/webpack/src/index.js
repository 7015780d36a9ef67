// The page of plain/, by the name of the package.
import { Sprat, SpratError } from "sprat";

const form = document.querySelector("form");
const output = document.querySelector("output");

const model = new URLSearchParams(location.search).get("model") ?? "models/sprat-tiny/";
const loading = Sprat.load({ model, device: "cpu" });

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  output.dataset.state = "waiting";
  try {
    const sprat = await loading;
    for await (const event of sprat.chat([{ role: "user", content: form.querySelector("input").value }])) {
      if (event.type === "start") output.textContent = "";
      if (event.type === "delta") output.textContent += event.text;
      if (event.type !== "end") continue;
      output.textContent = event.text;
      output.dataset.state = event.receipt.source;
    }
  } catch (error) {
    if (!(error instanceof SpratError)) throw error;
    output.textContent = error.message;
    output.dataset.state = error.code;
  }
});
