/** The worker with the network, which has the page's files instead: first of all, what answers in its place. */
import "./bytes.js";
import "./files.js";
// @ts-expect-error: only the built package has it
import "sprat/link.js";
