/** The engine's worker, with the page's files: first of all, what answers in the place of the network. */
import "./files.js";
// @ts-expect-error: only the built package has it
import "sprat/worker.js";
