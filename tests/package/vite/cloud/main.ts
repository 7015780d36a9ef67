import { SpratOpenAI } from "sprat/cloud";

const form = document.querySelector("form")!;
const output = document.querySelector("output")!;
const client = new SpratOpenAI({ baseURL: new URL("v1", location.href) });

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  output.dataset.state = "waiting";
  const content = form.querySelector("input")!.value;
  const answer = await client.chat.completions.create({ model: "sprat-small", messages: [{ role: "user", content }] });
  output.textContent = answer.choices[0]?.message.content ?? "";
  output.dataset.state = "cloud";
});
