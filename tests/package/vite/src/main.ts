import { Sprat, SpratError, type ChatEvent, type Message } from "sprat";

const form = document.querySelector("form")!;
const input = document.querySelector("input")!;
const output = document.querySelector("output")!;

// The model may lie anywhere that allows it, here on a server of its own.
const model = new URLSearchParams(location.search).get("model") ?? "models/sprat-tiny/";
const loading = Sprat.load({ model, device: "cpu" });

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  output.dataset.state = "waiting";
  const messages: Message[] = [{ role: "user", content: input.value }];
  try {
    const sprat = await loading;
    for await (const event of sprat.chat(messages)) show(event);
  } catch (error) {
    if (!(error instanceof SpratError)) throw error;
    output.textContent = error.message;
    output.dataset.state = error.code;
  }
});

function show(event: ChatEvent): void {
  if (event.type === "start") output.textContent = "";
  if (event.type === "delta") output.textContent += event.text;
  if (event.type !== "end") return;
  output.textContent = event.text;
  output.dataset.state = event.receipt.source;
}
