// What docs/webview says of the messages, made from the schema: `node edge/js/tests/bridge-docs.mjs` writes it.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { METHODS, PROTOCOL } from "../bridge/schema.js";

const docs = (name) => fileURLToPath(new URL(`../../../docs/webview/${name}`, import.meta.url));
const [BEGIN, END] = ["<!-- messages: made by edge/js/tests/bridge-docs.mjs -->", "<!-- end of messages -->"];

/** A form in a few words. */
function words({ type, enum: values, anyOf, items }) {
  if (values) return values.map((value) => `\`${value}\``).join(" / ");
  if (anyOf) return anyOf.map(words).join(" / ");
  return type === "array" ? `list of ${words(items)}s` : type;
}

function fields({ properties = {}, required = [] } = {}) {
  const all = Object.entries(properties).map(([name, schema]) => `\`${name}${required.includes(name) ? "" : "?"}\` ${words(schema)}`);
  return all.join(", ") || "none";
}

/** The table of the README. */
export function table() {
  const rows = [...METHODS.values()].map(({ name, from, kind, params, result, about }) =>
    [`\`${name}\``, from, kind === "either" ? "request or notification" : kind, fields(params), result ? fields(result) : "", about].join(" | "),
  );
  return ["| message | from | kind | params | result | what it does |", "|---|---|---|---|---|---|", ...rows.map((row) => `| ${row} |`)].join("\n");
}

/** Every message as JSON Schema. */
export function schema() {
  const $defs = {};
  for (const { name, params, result, about } of METHODS.values()) {
    $defs[`${name}.params`] = { ...params, description: about };
    if (result) $defs[`${name}.result`] = result;
  }
  const title = `Messages between a Sprat page and its host, version ${PROTOCOL}`;
  return `${JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", title, $defs }, null, 1)}\n`;
}

/** The README with its table as it should be. */
export function readme(text = readFileSync(docs("README.md"), "utf8")) {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error("docs/webview/README.md has lost the place of its table");
  return `${text.slice(0, begin)}${BEGIN}\n\n${table()}\n\n${text.slice(end)}`;
}

export const written = () => ({ readme: readFileSync(docs("README.md"), "utf8"), schema: readFileSync(docs("messages.schema.json"), "utf8") });

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(docs("messages.schema.json"), schema());
  writeFileSync(docs("README.md"), readme());
}
