// The engine in a page's own dedicated worker, which starts the engine's worker inside of it.
import { Sprat } from "./sprat/sprat.js";

let sprat;
onmessage = async ({ data: { model, question } }) => {
  sprat ??= await Sprat.load({ model });
  for await (const event of sprat.chat([{ role: "user", content: question }])) {
    if (event.type === "end") postMessage({ text: event.text, source: event.receipt.source });
  }
};
